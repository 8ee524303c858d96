"""A model on its data: packed weights, losses and gradients of a batch, everything random seeded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mlflow_thermo import groups_of, schema
from mlflow_thermo.observables import evaluate, full_batches
from mlflow_thermo.packing import flatten_parameters, layout_of, trainable
from projects.fixed_lr.config import TrainConfig
from projects.fixed_lr.data import Dataset, load_dataset
from projects.fixed_lr.models import build_model
from projects.fixed_lr.objective import BatchSource, batches, sample_losses, weighted
from projects.fixed_lr.protocols import project_to_spheres

#: Random points on the sphere behind the uniform baseline.
UNIFORM_SAMPLES = 32


class TrainingSetup:
    """A model with its data, its weights packed into one vector.

    Attributes
    ----------
    weights : (d,) packed trained weights, which the model's parameters are views of.
    generator : draws the training batches, on the processor whatever the device.
    noise_generator : draws everything that is measured: measuring must not change the run.
    """

    def __init__(self, config: TrainConfig, data: Dataset, model: nn.Module) -> None:
        self.config = config
        self.data = data
        self.model = model
        self.weights, self.gradient = flatten_parameters(model)
        layout = layout_of(trainable(model))
        #: Weights on each of the spheres that the protocol keeps; none where they are free.
        self.spheres = schema.spheres_of(config.protocol, layout, self.weights.shape[-1])
        self.groups = groups_of(self.spheres, self.weights) if self.spheres else None
        self.project(self.weights)
        #: Numbers of the models that are trained.
        self.rows = [0]
        self.generator = torch.Generator().manual_seed(config.seed)
        self.noise_generator = torch.Generator().manual_seed(config.seed + 2**32)

    @property
    def chains(self) -> int:
        """Chains of each model at present."""
        return 1

    @property
    def d(self) -> int:
        """Number of trained weights of a model."""
        return self.weights.shape[-1]

    @property
    def device(self) -> torch.device:
        """Where the weights and the data are."""
        return self.weights.device

    def training_batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Endless batches of the config's size and sampling."""
        return batches(self.data, self.config.batch_size, self.config.sampling, generator)

    def source(self) -> BatchSource:
        """The endless batches that the training sees from now on, as numbers of their samples."""
        return BatchSource(self.data, self.config.batch_size, self.config.sampling, self.generator)

    def state(self) -> dict[str, Any]:
        """The weights and what measures, for a checkpoint; where the batches stand is their source's."""
        return {"weights": self.weights.detach(), "noise": self.noise_generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`, from how the setup was at the start."""
        self.weights.copy_(state["weights"])
        self.noise_generator.set_state(state["noise"])

    @torch.no_grad()
    def losses_of(self, x: Tensor, y: Tensor) -> Tensor:
        """Losses (..., batch) of the single samples of a batch at the present weights."""
        return sample_losses(self.model(x), y, self.config.loss)[0]

    def difficulty(self) -> Tensor:
        """How far the loss of each training sample (..., n) lies above the mean of all, at the present weights.

        The mean over a batch tells how hard that batch is. Taken from the loss of the batch, at any other weights of
        the same basin, it takes most of the noise of the drawing with it and changes no expectation (a control
        variate): the mean over all batches is zero.
        """
        data, size = self.data, self.config.batch_size
        n, parts, numbers = len(data.y_train), [], []
        every = torch.arange(n, device=self.device)
        for (x, y, weight), (number, _, _) in zip(
            full_batches(data.x_train, data.y_train, size), full_batches(every, data.y_train, size), strict=True
        ):
            parts.append(self.losses_of(x, y)[..., weight > 0])
            numbers.append(number[weight > 0])
        losses = torch.cat(parts, dim=-1)
        losses = losses[..., torch.argsort(torch.cat(numbers))]
        return losses - losses.mean(dim=-1, keepdim=True)

    def project(self, weights: Tensor) -> None:
        """Put weights (..., d) onto the spheres of the protocol, in place."""
        if self.groups is not None:
            project_to_spheres(weights, self.groups)

    def try_step(self, parted: bool) -> None:
        """A gradient that changes nothing: of the one trajectory, or of the chains into which it will part."""
        assert not parted
        self.weighted_gradient(*self._trial(1))

    def _trial(self, chains: int) -> tuple[Tensor, Tensor, Tensor]:
        """The first images, not drawn ones: a trial must not change what the training sees."""
        size = self.config.batch_size
        index = torch.arange(size, device=self.device) % len(self.data.y_train)
        if chains > 1:
            index = index.expand(chains, size)
        weight = self.data.x_train.new_full((size,), 1 / size)
        return self.data.x_train[index], self.data.y_train[index], weight

    @property
    def in_turns(self) -> bool:
        """Whether the chains of one model after the other are computed, and not those of all together."""
        return False

    @property
    def can_shrink(self) -> bool:
        """Whether single models of a stack may leave it."""
        return False

    @property
    def harmless(self) -> Tensor:
        """Weights (d,) at which a model that has ended may stand still."""
        raise NotImplementedError

    def branch(self) -> None:
        """Part each model into chains."""
        raise NotImplementedError

    def keep(self, positions: list[int]) -> None:
        """Go on with some of the models alone."""
        raise NotImplementedError

    def one_chain(self) -> TrainingSetup:
        """What is measured along the training: the first chain of each model."""
        return self

    def weighted_gradient(self, x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """`mlflow_thermo.observables.WeightedGradient` at the present weights."""
        self.gradient.zero_()
        loss, correct = weighted(*sample_losses(self.model(x), y, self.config.loss), weight)
        torch.autograd.backward(loss)
        return self.gradient, torch.stack([loss.detach(), correct])

    @torch.no_grad()
    def weighted_loss(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """`mlflow_thermo.observables.WeightedLoss` at the present weights."""
        return torch.stack(weighted(*sample_losses(self.model(x), y, self.config.loss), weight))

    def full_loss(self) -> Tensor:
        """Training loss at the present weights, shape (...), NaN or inf where they diverged."""
        data, size = self.data, self.config.batch_size
        return evaluate(self.weighted_loss, data.x_train, data.y_train, size)[..., 0]


def prepare(config: TrainConfig, device: torch.device) -> TrainingSetup:
    """Load the data and build the model of `config` on `device`."""
    data = load_dataset(
        config.dataset,
        config.data_folder,
        download=config.download,
        samples_per_label=config.samples_per_label,
        label_noise=config.label_noise,
        seed=config.data_seed,
    ).to(device)
    model = build_model(
        config.model,
        config.width,
        channels=data.channels,
        image_size=data.image_size,
        n_classes=data.n_classes,
        init_seed=config.init_seed,
        head_seed=config.head_seed,
        head_norm=config.head_norm,
    ).to(device)
    return TrainingSetup(config, data, model)


def uniform_baseline(setup: TrainingSetup, generator: torch.Generator) -> tuple[float, float]:
    """Mean and standard deviation of the training loss over uniformly random points of the spheres."""
    kept = setup.weights.clone()
    rows = setup.weights.view(-1, setup.d)
    losses: list[Tensor] = []
    for start in range(0, UNIFORM_SAMPLES, len(rows)):
        taken = rows[: UNIFORM_SAMPLES - start]
        for row in taken:
            row.copy_(torch.randn(setup.d, generator=generator).to(kept.device))
            setup.project(row)
        losses.append(setup.full_loss().reshape(-1)[: len(taken)])
    setup.weights.copy_(kept)
    values = torch.cat(losses)
    return float(values.mean()), float(values.std())
