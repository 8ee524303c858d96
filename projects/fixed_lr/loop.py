"""The training loop itself: knows the physics, not MLflow's server."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from mlflow_thermo import schema
from mlflow_thermo.observables import (
    FluctuationSums,
    PerSample,
    evaluate,
    full_gradient,
    gradient_noise,
    log_points,
)
from mlflow_thermo.packing import flatten_parameters
from mlflow_thermo.recorder import SnapshotRecorder
from mlflow_thermo.schema import ThermoError
from projects.fixed_lr.config import TrainConfig
from projects.fixed_lr.data import Dataset, load_dataset
from projects.fixed_lr.models import build_model
from projects.fixed_lr.objective import batches, make_per_sample
from projects.fixed_lr.protocols import make_update, project_to_sphere

#: Random points on the sphere behind the uniform baseline.
UNIFORM_SAMPLES = 32
#: The loss is looked at every so many steps: often enough to stop a diverged run, rarely enough to cost nothing.
CHECK_EVERY = 200


class Diverged(ThermoError):
    """The loss or the weights became non-finite."""


@dataclass
class Experiment:
    """A model on its data, with the packed weights and everything random seeded."""

    config: TrainConfig
    data: Dataset
    per_sample: PerSample
    weights: Tensor
    gradient: Tensor
    model: torch.nn.Module
    generator: torch.Generator
    noise_generator: torch.Generator

    @property
    def d(self) -> int:
        """Number of trained weights."""
        return self.weights.numel()

    def training_batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Endless batches of the config's size and sampling."""
        return batches(self.data, self.config.batch_size, self.config.sampling, generator)

    def full_loss(self) -> float:
        """Training loss at the present weights, NaN or inf where they diverged."""
        data, size = self.data, self.config.batch_size
        return float(evaluate(self.per_sample, data.x_train, data.y_train, size)[0])


def prepare(config: TrainConfig, device: torch.device) -> Experiment:
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
    weights, gradient = flatten_parameters(model)
    if config.protocol == schema.SPHERE:
        project_to_sphere(weights)
    return Experiment(
        config,
        data,
        make_per_sample(model, config.loss, data.n_classes),
        weights,
        gradient,
        model,
        torch.Generator(device).manual_seed(config.seed),
        # Measuring must not change the run: its batches come from their own stream.
        torch.Generator(device).manual_seed(config.seed + 2**32),
    )


def uniform_baseline(experiment: Experiment, generator: torch.Generator) -> tuple[float, float]:
    """Mean and standard deviation of the training loss over uniformly random points of the sphere."""
    kept = experiment.weights.clone()
    losses = []
    for _ in range(UNIFORM_SAMPLES):
        point = torch.randn(experiment.d, generator=generator, device=kept.device)
        experiment.weights.copy_(point / torch.linalg.vector_norm(point))
        losses.append(experiment.full_loss())
    experiment.weights.copy_(kept)
    values = torch.tensor(losses, dtype=torch.float64)
    return float(values.mean()), float(values.std())


def measure(experiment: Experiment, sums: FluctuationSums) -> dict[str, float]:
    """All observables at the present weights, by metric name."""
    config, data = experiment.config, experiment.data
    full, (loss, accuracy) = _full(experiment)
    noise = gradient_noise(
        experiment.per_sample,
        experiment.gradient,
        full,
        islice(experiment.training_batches(experiment.noise_generator), config.noise_batches),
    )
    test_loss, test_accuracy = evaluate(experiment.per_sample, data.x_test, data.y_test, config.batch_size).tolist()
    return {
        schema.METRIC_TRAIN_LOSS: loss,
        schema.METRIC_TRAIN_ACCURACY: accuracy,
        schema.METRIC_TEST_LOSS: test_loss,
        schema.METRIC_TEST_ACCURACY: test_accuracy,
        schema.METRIC_GRADIENT_NORM: noise.full_norm,
        schema.METRIC_NOISE_RMS: noise.noise_rms,
        schema.METRIC_MINIBATCH_NORM: noise.minibatch_norm,
        schema.METRIC_SNR: noise.snr,
        schema.METRIC_WEIGHT_NORM: float(torch.linalg.vector_norm(experiment.weights)),
        **{schema.PREFIX_SUMS + name: value for name, value in sums.values().items()},
    }


def _full(experiment: Experiment) -> tuple[Tensor, list[float]]:
    data = experiment.data
    full, metrics = full_gradient(
        experiment.per_sample, experiment.gradient, data.x_train, data.y_train, experiment.config.batch_size
    )
    return full, metrics.tolist()


def run_loop(
    experiment: Experiment,
    recorder: SnapshotRecorder,
    log: Callable[[dict[str, float], int], None],
    check: Callable[[int], None],
) -> None:
    """Train for the config's number of steps.

    Parameters
    ----------
    log : receives the observables at each log point.
    check : called every few steps with the number done; may raise to stop the training.

    Raises
    ------
    Diverged
        When the loss becomes non-finite; everything recorded until then stays.
    """
    config, weights, gradient = experiment.config, experiment.weights, experiment.gradient
    update = make_update(config.protocol, config.lr, config.weight_decay)
    sums = FluctuationSums(weights)
    points = set(log_points(config.steps, config.log_points))
    source = experiment.training_batches(experiment.generator)
    halfway: dict[str, float] = {}
    for done in range(config.steps + 1):
        if done == config.steps // 2:
            halfway = sums.values()
        if done in points:
            values = measure(experiment, sums)
            if done == config.steps:
                # The second half is what the analysis looks at: the descent must not count.
                window = {name: value - halfway[name] for name, value in sums.values().items()}
                values |= {schema.PREFIX_WINDOW + name: value for name, value in window.items()}
            log(values, done)
            _require_finite(values[schema.METRIC_TRAIN_LOSS], config, done)
        if done == config.steps:
            break
        x, y = next(source)
        gradient.zero_()
        loss = experiment.per_sample(x, y)[0].mean()
        torch.autograd.backward(loss)
        sums.add(weights, gradient)
        recorder.step(loss)
        update(weights, gradient)
        if done % CHECK_EVERY == 0:
            check(done)
            _require_finite(float(loss.detach()), config, done)


def _require_finite(loss: float, config: TrainConfig, step: int) -> None:
    if not math.isfinite(loss):
        low, high = config.lr_range
        raise Diverged(
            f"lr={config.lr:g} diverged: the loss is {loss} at step {step}; lower lr "
            f"({low:g} to {high:g} is the range worth trying with preset {config.preset!r})"
        )
