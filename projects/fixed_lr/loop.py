"""The training loop, for one model or many side by side: it knows the physics and nothing of MLflow."""

from __future__ import annotations

import math
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor

from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.observables import PILOT, FluctuationSums, evaluate, full_gradient, gradient_noise, log_points
from projects.fixed_lr.config import TrainConfig
from projects.fixed_lr.protocols import make_update
from projects.fixed_lr.training_setup import TrainingSetup

#: Steps between two checks of the loss: often enough to stop a diverged run, rarely enough to cost nothing.
CHECK_EVERY = 200


class Diverged(ThermoError):
    """The loss or the weights became non-finite."""


class Observer(Protocol):
    """Receives what a training yields; values of several models come in the order of the models."""

    def step(self, losses: Tensor) -> None:
        """Minibatch losses, shape (...), at the weights that the next update will change. Must not block."""

    def log(self, rows: list[dict[str, float]], step: int) -> None:
        """The observables at a log point."""

    def check(self, losses: Tensor, step: int) -> None:
        """Called every few steps with the losses; may raise to stop the training."""


def measure(setup: TrainingSetup, sums: FluctuationSums) -> list[dict[str, float]]:
    """All observables at the present weights, by metric name, for each model."""
    config, data = setup.config, setup.data
    size = config.batch_size
    full, train = full_gradient(setup.weighted_gradient, data.x_train, data.y_train, size)
    noise = gradient_noise(
        setup.weighted_gradient,
        full,
        islice(setup.training_batches(setup.noise_generator), config.noise_batches),
        # Too few to divide between a pilot and the averages are all averaged.
        error=config.noise_error if config.noise_batches >= 2 * PILOT else 0.0,
    )
    test = evaluate(setup.weighted_loss, data.x_test, data.y_test, size)
    columns = {
        schema.METRIC_TRAIN_LOSS: train[..., 0],
        schema.METRIC_TRAIN_ACCURACY: train[..., 1],
        schema.METRIC_TEST_LOSS: test[..., 0],
        schema.METRIC_TEST_ACCURACY: test[..., 1],
        schema.METRIC_GRADIENT_NORM: noise.full_norm,
        schema.METRIC_NOISE_RMS: noise.noise_rms,
        schema.METRIC_MINIBATCH_NORM: noise.minibatch_norm,
        schema.METRIC_MINIBATCH_NORM_STDERR: noise.minibatch_norm_stderr,
        schema.METRIC_SNR: noise.snr,
        schema.METRIC_SNR_STDERR: noise.snr_stderr,
        schema.METRIC_WEIGHT_NORM: torch.linalg.vector_norm(setup.weights, dim=-1),
    }
    table = torch.stack([column.to("cpu", torch.float64).reshape(-1) for column in columns.values()], dim=1).tolist()
    shared = {schema.METRIC_NOISE_BATCHES: float(noise.n_batches)}
    return [
        {**dict(zip(columns, row, strict=True)), **shared, **_prefixed(schema.PREFIX_SUMS, total)}
        for row, total in zip(table, sums.rows(), strict=True)
    ]


def run_loop(setup: TrainingSetup, lr: float | Tensor, observer: Observer) -> None:
    """Train for the config's number of steps.

    Parameters
    ----------
    lr : as in `projects.fixed_lr.protocols.make_update`.
    """
    config, weights = setup.config, setup.weights
    update = make_update(config.protocol, lr, config.weight_decay)
    sums = FluctuationSums(weights)
    points = set(log_points(config.steps, config.log_points))
    source = setup.training_batches(setup.generator)
    # Not cut from the data: a batch drawn with replacement may be larger than the whole set.
    mean = setup.data.x_train.new_full((config.batch_size,), 1 / config.batch_size)
    halfway = sums.rows()
    for done in range(config.steps + 1):
        if done == config.steps // 2:
            halfway = sums.rows()
        if done in points:
            rows = measure(setup, sums)
            if done == config.steps:
                # The second half is what the analysis looks at: the descent must not count.
                for row, now, half in zip(rows, sums.rows(), halfway, strict=True):
                    row |= _prefixed(schema.PREFIX_WINDOW, {name: now[name] - half[name] for name in now})
            observer.log(rows, done)
        if done == config.steps:
            break
        x, y = next(source)
        gradient, metrics = setup.weighted_gradient(x, y, mean)
        sums.add(weights, gradient)
        observer.step(metrics[..., 0])
        update(weights, gradient)
        if done % CHECK_EVERY == 0:
            observer.check(metrics[..., 0], done)


def require_finite(loss: float, config: TrainConfig, step: int) -> None:
    """Raise `Diverged`, with the remedy, when the loss is not a number any more."""
    if not math.isfinite(loss):
        low, high = config.lr_range
        raise Diverged(
            f"lr={config.lr:g} diverged: the loss is {loss} at step {step}; lower lr "
            f"({low:g} to {high:g} is the range worth trying with preset {config.preset!r})"
        )


def _prefixed(prefix: str, values: dict[str, float]) -> dict[str, float]:
    return {prefix + name: value for name, value in values.items()}
