"""The loss surfaces of the presets: energy, space of the weights, where to start, and how weights are recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log10

import torch
from torch import Tensor

from mlflow_thermo import layout_of, schema
from mlflow_thermo.schema import ParameterSlice
from projects.fixed_lr import UNIFORM_SAMPLES, prepare, resolve
from projects.gibbs.charts import ChartedSpheres
from projects.gibbs.energy import Energy
from projects.gibbs.geometry import Blocks, FlatSpace, Geometry, Spheres, normal_like
from projects.gibbs.networks import INPUTS, UNITS, smooth_network
from projects.gibbs.scale_invariant import TANH, ScaleInvariantMLP
from projects.gibbs.start import settled_state

#: Weights (n_temps, n_chains, d) to start from, of an energy, for a tensor of that shape.
Start = Callable[[Energy, Tensor, torch.Generator], Tensor]

#: Of the search for a state of the deepest basin: temperatures, chains, leapfrogs and trajectories.
_HOT = (1e-3, 1.6e-2, 8)
_SEARCH_CHAINS, _SEARCH_LEAPFROGS, _SEARCH_DRAWS = 8, 20, 300


@dataclass(frozen=True)
class Surface:
    """A loss with the space of its weights.

    Attributes
    ----------
    energy : L and its gradient on all of the data.
    sizes : weights of each unit, each on a sphere of its own; none where the weights are free.
    layout : the parameters in a weight vector.
    name, data : of what the loss is on, samples (n, ...) and labels (n,).
    start : see `Start`.
    start_cost : gradients that the start takes.
    """

    energy: Energy
    sizes: tuple[int, ...]
    layout: tuple[ParameterSlice, ...]
    name: str
    data: tuple[Tensor, Tensor]
    start: Start
    start_cost: int = 0

    @property
    def n_train(self) -> int:
        """Samples of the data."""
        return len(self.data[1])

    @property
    def d(self) -> int:
        """Number of weights."""
        return sum(place.size for place in self.layout)

    @property
    def protocol(self) -> str:
        """What keeps the weights where they are, in the recorder's words."""
        return schema.SPHERES if self.sizes else schema.FIXED_LR

    @property
    def scale(self) -> float:
        """Recorded weights over sampled ones: sampled units have norm 1, recorded ones together, as the training's."""
        return len(self.sizes) ** -0.5 if self.sizes else 1.0

    def geometry(self) -> Geometry:
        """A space for one sampler, which will tune it."""
        return ChartedSpheres(self.sizes) if self.sizes else FlatSpace()

    def uniform_loss(self, dtype: torch.dtype, generator: torch.Generator) -> tuple[float, float] | tuple[None, None]:
        """Mean and standard deviation of the loss of uniformly random units; None where weights are free."""
        if not self.sizes:
            return None, None
        weights = torch.randn(UNIFORM_SAMPLES, self.d, generator=generator, dtype=dtype)
        losses = self.energy(Blocks(self.sizes).unit(weights))[0]
        return float(losses.mean()), float(losses.std())


def make_surface(preset: str, dtype: torch.dtype) -> Surface:
    """The surface of a preset, with its data in `dtype`."""
    return _SURFACES[preset](dtype)


def _anywhere(energy: Energy, like: Tensor, generator: torch.Generator) -> Tensor:
    """Every chain at random: those of one basin come together, and it shows where they do not."""
    return normal_like(like, generator)


def _settled(sizes: tuple[int, ...]) -> Start:
    """All chains in one basin and in one of the copies that differ by the order of the units."""

    def start(energy: Energy, like: Tensor, generator: torch.Generator) -> Tensor:
        hot = torch.logspace(log10(_HOT[0]), log10(_HOT[1]), _HOT[2], dtype=like.dtype)
        scattered = torch.randn(_HOT[2], _SEARCH_CHAINS, like.shape[-1], generator=generator, dtype=like.dtype)
        state = settled_state(
            energy,
            Spheres(sizes),
            hot,
            scattered,
            leapfrogs=_SEARCH_LEAPFROGS,
            draws=_SEARCH_DRAWS,
            generator=generator,
        )
        return state.expand_as(like).clone()

    return start


def _shallow(dtype: torch.dtype) -> Surface:
    """The network and the data of the default training preset, whose batch is all images."""
    # No step is taken: any learning rate will do.
    setup = prepare(resolve({"preset": "digits", "lr": 1.0}), torch.device("cpu"))
    x, y = setup.data.x_train.flatten(1).to(dtype), setup.data.y_train
    named = [(name, p) for name, p in setup.model.named_parameters() if p.requires_grad]
    head = setup.model.get_parameter("head.weight").detach().to(dtype)
    energy = ScaleInvariantMLP(x, y, head, (head.shape[1],), TANH)
    return Surface(energy, tuple(energy.block_sizes), layout_of(named), "digits", (x, y), _anywhere)


def _two_layers(dtype: torch.dtype) -> Surface:
    """Two hidden ReLU layers of 4 units under a head of norm 10, on the first 400 digits of 4x4 mean pixels."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    small = pixels.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
    x = torch.tensor((small - small.mean()) / small.std(), dtype=dtype)[:400]
    head = torch.empty(10, 4).normal_(generator=torch.Generator().manual_seed(0))
    head = (10 * head / head.norm()).to(dtype)
    y = torch.tensor(labels)[: len(x)]
    energy = ScaleInvariantMLP(x, y, head, (4, 4))
    layers = [(f"layers.{i}.weight", torch.empty(shape)) for i, shape in enumerate(energy.shapes)]
    sizes = tuple(energy.block_sizes)
    cost = _HOT[2] * _SEARCH_CHAINS * _SEARCH_LEAPFROGS * _SEARCH_DRAWS
    return Surface(energy, sizes, layout_of(layers), "digits 4x4", (x, y), _settled(sizes), cost)


def _smooth(dtype: torch.dtype) -> Surface:
    """`smooth_network`, from the weights behind its targets."""
    network = smooth_network(dtype=dtype)
    named = [("slopes", torch.empty(UNITS, INPUTS)), ("offsets", torch.empty(UNITS))]

    def start(energy: Energy, like: Tensor, generator: torch.Generator) -> Tensor:
        return network.teacher.expand_as(like).clone()

    return Surface(network, (), layout_of(named), "smooth network", (network.x, network.y), start)


_SURFACES: dict[str, Callable[[torch.dtype], Surface]] = {
    "digits": _shallow,
    "digits-mlp": _two_layers,
    "smooth": _smooth,
}
