"""The training loop, for one model or many side by side: it knows the physics and nothing of MLflow."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count, islice

import torch
from torch import Tensor

from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.observables import PILOT, evaluate, full_gradient, gradient_noise, log_points
from projects.fixed_lr.books import Books
from projects.fixed_lr.checkpoint import State
from projects.fixed_lr.config import TrainConfig
from projects.fixed_lr.phases import phases_of
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

    def pause(self, done: int, ending: bool, state: Callable[[], State]) -> None:
        """Called between two steps, after `done` of them; may raise to stop the training.

        Parameters
        ----------
        ending : whether models end here.
        state : all that `run_loop` needs to go on from here; it shares memory with the training.
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


class _Course:
    """A training under way: all that changes from step to step but the observer.

    Parameters
    ----------
    lr, configs, begun : as of `run_loop`.
    """

    def __init__(
        self, setup: TrainingSetup, lr: float | Tensor, configs: Sequence[TrainConfig], begun: State | None
    ) -> None:
        phases = [phases_of(one) for one in configs]
        self.points = set(log_points(max(one.first for one in phases), setup.config.log_points))
        # The difficulty of the batches is known from where the chains part, or from where the window begins.
        self.branch = phases[0].branch
        self.known_from = self.branch or min(one.record for one in phases)
        self.difficulty: Tensor | None = None
        self.parked: set[int] = set()
        self.done, self.ending = 0, list[int]()
        self.setup, self.lr = setup, lr
        if begun is not None:
            self.done, self.ending, self.parked = begun["done"], begun["ending"], set(begun["parked"])
            setup.restore(begun["setup"])
            if begun["difficulty"] is not None:
                self.difficulty = begun["difficulty"].to(setup.device)
            if begun["lr"] is not None:
                self.lr = begun["lr"].to(setup.device)
        self.books = Books(setup, [phases[row] for row in setup.rows], self.lr)
        self.source = setup.source()
        if begun is not None:
            self.books.restore(begun["books"])
            self.source.restore(begun["source"])
        self.renew()

    def renew(self) -> None:
        """Step from now on with the learning rates of now."""
        config = self.setup.config
        self.update = make_update(config.protocol, self.lr, config.weight_decay, self.setup.groups)

    def part(self) -> None:
        """Part every model into its chains."""
        self.setup.branch()
        self.books.branch(self.setup.config.chains)
        self.source = self.setup.source()
        self.lr = self.lr.unsqueeze(1) if isinstance(self.lr, Tensor) else self.lr
        self.renew()

    def leave(self, leaving: set[int], observer: Observer) -> None:
        """Go on without some of the models."""
        assert isinstance(self.lr, Tensor)
        if self.setup.can_shrink:
            stay = [position for position in range(len(self.books.phases)) if position not in leaving]
            self.setup.keep(stay)
            self.books.keep(stay)
            observer.kept(stay)
            self.difficulty = None if self.difficulty is None else self.difficulty[stay]
            self.lr = self.lr[stay]
            self.renew()
            return
        # The row goes on, so that the stack keeps its shape, but stands still at a harmless place.
        self.parked = leaving
        for position in leaving:
            self.setup.weights[position] = self.setup.harmless
            self.lr[position] = 0.0

    def state(self) -> State:
        """All of it, from which `run_loop` goes on."""
        return {
            "done": self.done,
            "ending": self.ending,
            "parked": sorted(self.parked),
            "lr": self.lr if isinstance(self.lr, Tensor) else None,
            "difficulty": self.difficulty,
            "setup": self.setup.state(),
            "source": self.source.state(),
            "books": self.books.state(),
        }


def run_loop(
    setup: TrainingSetup,
    lr: float | Tensor,
    observer: Observer,
    configs: Sequence[TrainConfig] | None = None,
    begun: State | None = None,
) -> None:
    """Train every model until its last step, or until the observer says that it has enough.

    Parameters
    ----------
    lr : as in `projects.fixed_lr.protocols.make_update`.
    configs : of each model, which differ in the learning rate and what follows from it; by default that of the setup
        for all.
    begun : where an earlier call was, as its observer was given it; the setup is as it was at the start.
    """
    config, n = setup.config, setup.weights.numel() // setup.d
    course = _Course(setup, lr, configs or [config] * n, begun)
    books = course.books
    # Not cut from the data: a batch drawn with replacement may be larger than the whole set.
    mean = setup.data.x_train.new_full((config.batch_size,), 1 / config.batch_size)
    for done in count(course.done):
        if begun is None or done > begun["done"]:
            over = {position for position, one in enumerate(books.phases) if done >= one.last}
            course.done, course.ending = done, sorted((over | set(observer.ending(done))) - course.parked)
        ending = course.ending
        observer.pause(done, bool(ending), course.state)
        if done and done == course.branch:
            course.part()
        if done == course.known_from:
            course.difficulty = setup.difficulty()
        books.begin(done)
        if done in course.points or ending:
            rows = dict(enumerate(a | b for a, b in zip(measure(setup), books.over_all(), strict=True)))
            for position in ending:
                rows[position] |= books.over_window(position)
            observer.log(rows if done in course.points else {position: rows[position] for position in ending}, done)
            if ending:
                observer.end({position: books.squares(position) for position in ending}, done)
        leaving = course.parked | set(ending) | set(observer.gone())
        if len(leaving) == len(books.phases):
            return
        if leaving > course.parked:
            course.leave(leaving, observer)
        index = next(course.source)
        gradient, metrics = setup.weighted_gradient(setup.data.x_train[index], setup.data.y_train[index], mean)
        books.add(setup.weights, gradient, course.lr)
        losses = metrics[..., 0]
        difficulty = course.difficulty
        observer.step(losses if difficulty is None else losses - difficulty[..., index].mean(dim=-1))
        course.update(setup.weights, gradient)
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
