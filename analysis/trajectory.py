"""The snapshots of a run, in the one form that all stages of the analysis share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from analysis.results import AnyArray, FloatArray, IntArray, Status
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import METROPOLIS, REPEATS, SPHERE, SPHERES, ParameterSlice

if TYPE_CHECKING:
    from xarray import DataTree

#: From names of metrics to the steps (n,) and values (n,) of each that a run has logged.
History: TypeAlias = Callable[[Sequence[str]], Mapping[str, tuple[IntArray, FloatArray]]]


@dataclass(frozen=True)
class Trajectory:
    """Snapshots of one run's weights: of each of its chains, in the order in which they were taken.

    Chains go on from one state with batches of their own. A run that has only one may give its arrays without the
    axis of the chains.

    Attributes
    ----------
    steps : (draw,) optimiser step of each snapshot, increasing.
    weights : (chain, draw, d) float array; float32 as recorded, or float64.
    loss : (chain, draw) training loss that belongs to each snapshot, in loss units; NaN where none was recorded.
    snapshot_loss : (chain, draw) minibatch loss at each snapshot's own weights, where `loss` is a mean over the steps
        between two; NaN where none was recorded.
    lr : learning rate.
    seed : run seed.
    protocol : ``sphere``, ``spheres``, ``fixed_elr`` or ``fixed_lr``; on the sphere the weights live on S^(d-1).
    run_id : name of the run.
    series : name of the snapshot series, e.g. ``spaced``.
    n_weights : d of the trained model; larger than ``weights.shape[-1]`` when the weights were stored as an
        isometric embedding. The formulas need this d.
    units : under ``spheres`` the number of weights of each unit, which live on a sphere of their own.
    layout : which weight each column is; () where that is not known.
    params, metrics : of the run on its tracking server, as logged; empty for a run of a folder.
    attributes : whatever else the training wrote into the index of the series.
    sketch_error : relative error of the distances where the snapshots are a sketch.
    digest : of the files that hold the snapshots; empty where that is not known.
    shared : (chain, draw, m) the same snapshots in columns that all runs of one model share, where those of `weights`
        are the run's own, as in an isometric embedding; None where they are the model's.

    Raises
    ------
    ValueError
        Weights of another number of axes, arrays of different length, or steps that do not increase.

    Examples
    --------
    >>> import numpy as np
    >>> from analysis import Trajectory
    >>> run = Trajectory(steps=np.arange(1, 6), weights=np.zeros((5, 3)), loss=np.ones(5), lr=0.1)
    >>> len(run), run.n_chains, run.n_weights, run.take(slice(2, None)).steps.tolist()
    (5, 1, 3, [3, 4, 5])
    """

    steps: IntArray
    weights: AnyArray
    loss: FloatArray
    lr: float = float("nan")
    seed: int = 0
    protocol: str = "fixed_lr"
    run_id: str = ""
    series: str = "spaced"
    n_weights: int = 0
    units: tuple[int, ...] = ()
    layout: tuple[ParameterSlice, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    sketch_error: float | None = None
    snapshot_loss: FloatArray | None = None
    shared: AnyArray | None = None
    digest: str = ""

    def __post_init__(self) -> None:
        if self.weights.ndim == 2:
            for name in ("weights", "loss", "snapshot_loss", "shared"):
                if getattr(self, name) is not None:
                    object.__setattr__(self, name, getattr(self, name)[None])
        if self.weights.ndim != 3:
            raise ValueError(
                f"weights must have shape (n_snapshots, n_weights) or (n_chains, n_snapshots, n_weights), got "
                f"{self.weights.shape}"
            )
        shape = self.weights.shape[:2]
        if len(self.steps) != shape[1] or self.loss.shape != shape:
            raise ValueError(
                f"steps, weights and loss must have one entry per snapshot: got {len(self.steps)}, {shape} "
                f"and {self.loss.shape}"
            )
        if shape[1] > 1 and not bool(np.all(np.diff(self.steps) > 0)):
            raise ValueError("steps must increase: sort the snapshots and remove repeated steps")
        if self.n_weights == 0:
            object.__setattr__(self, "n_weights", int(self.weights.shape[-1]))
        if (self.protocol == SPHERES) != bool(self.units) or sum(self.units) not in (0, self.n_weights):
            raise ValueError(
                f"protocol {self.protocol!r} with units {self.units}: under 'spheres', and only there, units name how "
                f"many of the {self.n_weights} weights each unit has"
            )

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def n_chains(self) -> int:
        """Number of chains."""
        return len(self.weights)

    @property
    def spheres(self) -> tuple[int, ...]:
        """Weights on each of the spheres that they live on, in their order; () where they are free."""
        return (self.n_weights,) if self.protocol == SPHERE else self.units

    @property
    def on_sphere(self) -> bool:
        """Whether the weights live on spheres, so that a dimension of each is not free."""
        return bool(self.spheres)

    @property
    def dim(self) -> int:
        """D of the entropy formulas: the free dimensions of the weights."""
        return self.n_weights - len(self.spheres)

    @property
    def repeats_are_draws(self) -> bool:
        """Whether snapshots may repeat each other, as those of a sampler do that rejects moves."""
        return bool(self.attributes.get(REPEATS) == METROPOLIS)

    @property
    def points(self) -> AnyArray:
        """Snapshots (chain · draw, d) of all chains, one chain after the other."""
        return self.weights.reshape(-1, self.weights.shape[-1])

    @property
    def losses(self) -> FloatArray:
        """Losses (chain · draw,) in the order of `points`."""
        return self.loss.reshape(-1)

    @property
    def common(self) -> AnyArray:
        """Snapshots (chain · draw, m) in columns that mean the same in all runs of one model."""
        return self.points if self.shared is None else self.shared.reshape(-1, self.shared.shape[-1])

    def at_own_weights(self) -> Trajectory:
        """The same run with the losses at the snapshots' own weights, where those are known."""
        return self if self.snapshot_loss is None else replace(self, loss=self.snapshot_loss)

    def take(self, index: slice | IntArray) -> Trajectory:
        """The same run with only the snapshots at `index` of every chain."""
        return replace(
            self,
            steps=self.steps[index],
            weights=self.weights[:, index],
            loss=self.loss[:, index],
            snapshot_loss=None if self.snapshot_loss is None else self.snapshot_loss[:, index],
            shared=None if self.shared is None else self.shared[:, index],
        )


def datatree_of(run: Trajectory) -> DataTree:
    """The snapshots of a run as ArviZ takes them: groups ``posterior`` and ``sample_stats`` over (chain, draw).

    Parameters
    ----------
    run : of which each parameter of the layout becomes a variable of its own shape; snapshots that are stored as inner
        products or as a sketch, whose columns are no parameters, one variable ``coordinates``.

    Returns
    -------
    xarray.DataTree
        With the optimiser step of each draw as a coordinate, losses in ``sample_stats``, and learning rate, seed,
        protocol and run id as attributes.

    Raises
    ------
    ThermoError
        xarray is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from analysis import Trajectory
    >>> from analysis.trajectory import datatree_of
    >>> tree = datatree_of(Trajectory(steps=np.arange(1, 6), weights=np.zeros((2, 5, 3)), loss=np.ones((2, 5)), lr=0.1))
    >>> dict(tree["posterior"].sizes)
    {'chain': 2, 'draw': 5, 'coordinate': 3}
    """
    try:
        from xarray import Dataset, DataTree
    except ImportError:
        raise ThermoError("ArviZ's form needs xarray: pip install 'mlflow-thermo[export]'") from None
    facts = {"lr": run.lr, "seed": str(run.seed), "protocol": run.protocol, "run_id": run.run_id, "series": run.series}
    axes = {"chain": np.arange(run.n_chains), "draw": np.arange(len(run)), "step": ("draw", run.steps)}
    in_columns = run.layout and run.weights.shape[-1] == run.n_weights and run.sketch_error is None
    variables: dict[str, Any] = {}
    if in_columns:
        for part in run.layout:
            block = run.weights[..., part.offset : part.offset + part.size]
            names = [f"{part.name}_dim_{i}" for i in range(len(part.shape))]
            variables[part.name] = (("chain", "draw", *names), block.reshape(*block.shape[:2], *part.shape))
    else:
        variables["coordinates"] = (("chain", "draw", "coordinate"), run.weights)
    stats = {"loss": (("chain", "draw"), run.loss)}
    groups = {"posterior": Dataset(variables, axes, facts), "sample_stats": Dataset(stats, axes, facts)}
    return DataTree.from_dict(groups, name=run.run_id or None)


class RunError(ThermoError):
    """One run cannot be used; `status` says why, the message names the run and the remedy."""

    def __init__(self, message: str, status: Status) -> None:
        super().__init__(message)
        self.status: Status = status
