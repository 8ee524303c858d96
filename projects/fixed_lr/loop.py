"""The training loop, for one model or many side by side: it knows the physics and nothing of MLflow."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import count, islice

import torch
from torch import Tensor

from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.fluctuations import FluctuationSums
from mlflow_thermo.observables import PILOT, evaluate, full_gradient, gradient_noise, log_points
from projects.fixed_lr.config import TrainConfig
from projects.fixed_lr.phases import Phases, phases_of
from projects.fixed_lr.protocols import make_update
from projects.fixed_lr.training_setup import TrainingSetup

#: Steps between two checks of the loss: often enough to stop a diverged run, rarely enough to cost nothing.
CHECK_EVERY = 200


class Diverged(ThermoError):
    """The loss or the weights became non-finite."""


class Observer:
    """Receives what a training yields; several models are named by their positions among those still trained."""

    def step(self, losses: Tensor) -> None:
        """Losses, (...) or (..., chains), at the weights that the next update will change; must not block.

        Those of the minibatch; in the window less its difficulty (`TrainingSetup.difficulty`), which estimates the same
        full loss with less noise.
        """

    def log(self, rows: Mapping[int, dict[str, float]], step: int) -> None:
        """The observables of some models, by position, at a log point or at their end."""

    def check(self, losses: Tensor, step: int) -> None:
        """Called every few steps with the losses; may raise to stop the training."""

    def ending(self, step: int) -> Collection[int]:
        """Positions of the models that have enough after `step` steps, before the last step that they may take."""
        return ()

    def end(self, squares: Mapping[int, Tensor], step: int) -> None:
        """Models have ended, after their last `log`: by position, means (chains,) of |g_B|² over their windows."""

    def gone(self) -> Collection[int]:
        """Positions of the models that diverged."""
        return ()

    def kept(self, positions: Sequence[int]) -> None:
        """From now on there are only the models at these positions, which are counted anew."""


def measure(setup: TrainingSetup) -> list[dict[str, float]]:
    """All observables at the present weights, by metric name, for the first chain of each model."""
    config, data = setup.config, setup.data
    one = setup.one_chain()
    size = config.batch_size
    full, train = full_gradient(one.weighted_gradient, data.x_train, data.y_train, size)
    noise = gradient_noise(
        one.weighted_gradient,
        full,
        islice(one.training_batches(one.noise_generator), config.noise_batches),
        # Too few to divide between a pilot and the averages are all averaged.
        error=config.noise_error if config.noise_batches >= 2 * PILOT else 0.0,
    )
    test = evaluate(one.weighted_loss, data.x_test, data.y_test, size)
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
        schema.METRIC_WEIGHT_NORM: torch.linalg.vector_norm(one.weights, dim=-1),
    }
    table = torch.stack([column.to("cpu", torch.float64).reshape(-1) for column in columns.values()], dim=1).tolist()
    shared = {schema.METRIC_NOISE_BATCHES: float(noise.n_batches)}
    return [{**dict(zip(columns, row, strict=True)), **shared} for row in table]


class _Books:
    """Sums over the steps of every model, as a whole and since the beginning of its window."""

    def __init__(self, setup: TrainingSetup, phases: Sequence[Phases], lr: float | Tensor) -> None:
        self.phases = list(phases)
        self._lr = lr.flatten().tolist() if isinstance(lr, Tensor) else [lr] * len(phases)
        self._sums = FluctuationSums(setup.weights, setup.spheres)
        #: The sums where the windows of the models begin.
        self._begun = {one.record: self._sums.as_of_now() for one in phases}

    def add(self, weights: Tensor, gradient: Tensor, lr: float | Tensor) -> None:
        self._sums.add(weights, gradient, lr)

    def begin(self, step: int) -> None:
        if step in self._begun:
            self._begun[step] = self._sums.as_of_now()

    def branch(self, chains: int) -> None:
        self._sums = self._sums.branched(chains)

    def keep(self, positions: Sequence[int]) -> None:
        self.phases = [self.phases[position] for position in positions]
        self._lr = [self._lr[position] for position in positions]
        for sums in (self._sums, *self._begun.values()):
            sums.keep(positions)

    def over_all(self) -> list[dict[str, float]]:
        return [_prefixed(schema.PREFIX_SUMS, row) for row in self._sums.rows()]

    def squares(self, position: int) -> Tensor:
        sums, steps = self._sums.squares() - self._begun[self.phases[position].record].squares()
        mean = sums / steps
        own: Tensor = mean if mean.ndim == 0 else mean[position]
        return own.reshape(-1)

    def over_window(self, position: int) -> dict[str, float]:
        # The window is what the analysis looks at: the descent must not count.
        before = self._begun[self.phases[position].record]
        now, begun = self._sums.rows()[position], before.rows()[position]
        found = {name: now[name] - begun[name] for name in now}
        error = float(self._sums.ratio_errors(before, self._lr[position])[position])
        if math.isfinite(error):
            found[schema.RATIO_STDERR] = error
        return _prefixed(schema.PREFIX_WINDOW, found)


def run_loop(
    setup: TrainingSetup, lr: float | Tensor, observer: Observer, configs: Sequence[TrainConfig] | None = None
) -> None:
    """Train every model until its last step, or until the observer says that it has enough.

    Parameters
    ----------
    lr : as in `projects.fixed_lr.protocols.make_update`.
    configs : of each model, which differ in the learning rate and what follows from it; by default that of the setup
        for all.
    """
    config, n = setup.config, setup.weights.numel() // setup.d
    books = _Books(setup, [phases_of(one) for one in configs or [config] * n], lr)
    update = make_update(config.protocol, lr, config.weight_decay, setup.groups)
    points = set(log_points(max(one.first for one in books.phases), config.log_points))
    source = setup.source()
    # Not cut from the data: a batch drawn with replacement may be larger than the whole set.
    mean = setup.data.x_train.new_full((config.batch_size,), 1 / config.batch_size)
    # The difficulty of the batches is known from where the chains part, or from where the window begins.
    known_from = books.phases[0].branch or min(one.record for one in books.phases)
    difficulty: Tensor | None = None
    parked: set[int] = set()
    for done in count():
        if done and done == books.phases[0].branch:
            setup.branch()
            books.branch(config.chains)
            source = setup.source()
            lr = lr.unsqueeze(1) if isinstance(lr, Tensor) else lr
            update = make_update(config.protocol, lr, config.weight_decay, setup.groups)
        if done == known_from:
            difficulty = setup.difficulty()
        books.begin(done)
        over = {position for position, one in enumerate(books.phases) if done >= one.last}
        ending = sorted((over | set(observer.ending(done))) - parked)
        if done in points or ending:
            rows = dict(enumerate(a | b for a, b in zip(measure(setup), books.over_all(), strict=True)))
            for position in ending:
                rows[position] |= books.over_window(position)
            observer.log(rows if done in points else {position: rows[position] for position in ending}, done)
            if ending:
                observer.end({position: books.squares(position) for position in ending}, done)
        leaving = parked | set(ending) | set(observer.gone())
        if len(leaving) == len(books.phases):
            return
        if leaving > parked:
            assert isinstance(lr, Tensor)
            if setup.can_shrink:
                stay = [position for position in range(len(books.phases)) if position not in leaving]
                setup.keep(stay)
                books.keep(stay)
                observer.kept(stay)
                difficulty = difficulty if difficulty is None else difficulty[stay]
                lr = lr[stay]
                update = make_update(config.protocol, lr, config.weight_decay, setup.groups)
            else:
                # The row goes on, so that the stack keeps its shape, but stands still at a harmless place.
                parked = leaving
                for position in parked:
                    setup.weights[position] = setup.harmless
                    lr[position] = 0.0
        index = next(source)
        gradient, metrics = setup.weighted_gradient(setup.data.x_train[index], setup.data.y_train[index], mean)
        books.add(setup.weights, gradient, lr)
        losses = metrics[..., 0]
        observer.step(losses if difficulty is None else losses - difficulty[..., index].mean(dim=-1))
        update(setup.weights, gradient)
        if done % CHECK_EVERY == 0:
            observer.check(losses, done)


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
