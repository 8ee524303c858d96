"""How long a training will still take, by what its steps have cost."""

from __future__ import annotations

import json
import math
import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass
from typing import Any

import click
import torch

from analysis.cli import Display, Report
from mlflow_thermo.observables import log_points
from mlflow_thermo.plugin import SWEEP_VARIABLE
from projects.fixed_lr.config import TrainConfig
from projects.fixed_lr.full_gradients import gradients_at_end
from projects.fixed_lr.phases import phases_of
from projects.fixed_lr.recording import RecordedRun
from projects.fixed_lr.training_setup import TrainingSetup

#: Seconds before the first word on a single training.
PATIENCE = 5.0
#: Seconds between two events of a training that a sweep has started.
EVENT_EVERY = 2.0
#: Seconds after which what a step has cost counts for 1/e: other programs come and go.
MEMORY = 5.0
#: Seconds of steps, and steps, from which their cost is known.
ENOUGH_SECONDS, ENOUGH_STEPS = 0.25, 10
#: Trials of each size before the training, where trajectories will part into chains: not more after so many seconds.
TRIALS, TRIAL_SECONDS = 5, 1.0
#: Seconds to upload and end one run, before the first has ended.
UPLOAD = 0.3


def emit(event: str, **content: Any) -> None:
    """Print one event for the sweep that started this program; if that is gone, the runs must still end in order."""
    with suppress(OSError):
        click.echo(json.dumps({"event": event, **content}))


@dataclass(frozen=True)
class StepShape:
    """Seconds of a gradient: so many and so many for each model, before and after the chains part."""

    whole: tuple[float, float]
    parted: tuple[float, float]

    def __call__(self, models: int, parted: bool) -> float:
        """Cost of a step of so many models."""
        fixed, each = self.parted if parted else self.whole
        return fixed + each * models

    @classmethod
    def timed(cls, setup: TrainingSetup, models: int) -> StepShape:
        """By trial before the trajectories of `setup` part into chains."""
        chains = setup.config.chains
        sizes = (False, True) if chains > 1 else (False,)
        for parted in sizes:
            setup.try_step(parted)
        trials: list[list[float]] = []
        while len(trials) < TRIALS and sum(map(sum, trials)) < TRIAL_SECONDS:
            trials.append([_trial(setup, parted) for parted in sizes])
        one, *rest = (min(seconds) for seconds in zip(*trials, strict=True))
        if not rest:
            # How much of it is overhead that the models share is not known.
            shape = (one / 2, one / 2 / models)
            return cls(shape, shape)
        (all_chains,) = rest
        if setup.in_turns:
            return cls((one, 0.0), (0.0, all_chains / models))
        each = max(1e-9, (all_chains - one) / (models * (chains - 1)))
        fixed = max(0.0, one - each * models)
        return cls((fixed, each), (fixed, each * chains))


def _trial(setup: TrainingSetup, parted: bool) -> float:
    """Seconds of one gradient."""
    # Of a busy machine's time the longer trial would lose more: it cannot slip between two turns of other programs.
    clock = time.process_time if setup.device.type == "cpu" else time.perf_counter
    begin = clock()
    setup.try_step(parted)
    if setup.device.type == "cuda":
        torch.cuda.synchronize(setup.device)
    return clock() - begin


@dataclass(frozen=True)
class _Sums:
    """Over steps: how many, their seconds, those in which the program computed, those that gradients should take."""

    steps: float
    seconds: float
    busy: float
    gradients: float

    def fading(self, share: float, new: _Sums | None = None) -> _Sums:
        old = [share * value for value in astuple(self)]
        return _Sums(*(a + b for a, b in zip(old, astuple(new), strict=True))) if new else _Sums(*old)

    @property
    def slowness(self) -> float:
        """Seconds for each second of computing: on a processor that others use too, more than one."""
        return self.seconds / self.busy if self.busy > 0 else 1.0

    def cost(self, gradient: float) -> float:
        """Seconds of a step whose gradient should take so many."""
        # What the steps take beyond their gradients they take alike whatever those are.
        beyond = (self.busy - self.gradients) / self.steps
        computed = gradient + beyond if beyond >= 0 else gradient * self.busy / self.gradients
        return self.slowness * computed


class Pace:
    """The seconds that a training still needs, from those that its steps, log points and endings have taken.

    Parameters
    ----------
    configs : of each model that is trained.
    shape : of the gradients. What else a step costs and how busy the machine is are measured all along.
    gradients : batches in all of the training data.
    clock, busy : seconds, and those of them in which the program computed.
    done : steps that were taken before.
    """

    def __init__(
        self,
        configs: Sequence[TrainConfig],
        shape: StepShape,
        gradients: int = 1,
        clock: Callable[[], float] = time.monotonic,
        busy: Callable[[], float] = time.process_time,
        done: int = 0,
    ) -> None:
        phases, config = [phases_of(one) for one in configs], configs[0]
        self._branch = phases[0].branch
        self._points = log_points(max(one.first for one in phases), config.log_points)
        self._shape, self._clock, self._busy = shape, clock, busy
        # In the order in which the models end: the slower one relaxes, the longer it goes on.
        self._phases, self._config = sorted(phases, key=lambda one: one.record), config
        #: Seconds of a full gradient of one chain.
        self._full_gradient = gradients * shape.parted[1] / config.chains
        self._begin = self._last = clock()
        self._last_busy = busy()
        self._step, self._steps, self._first = done, 0, done + 1
        self._recent = _Sums(0.0, 0.0, 0.0, 0.0)
        self._log: float | None = None
        self._end: float | None = None
        self._logged, self._ended = True, 0

    @property
    def spent(self) -> float:
        """Seconds since the training began."""
        return self._clock() - self._begin

    def step(self, models: int) -> None:
        """Note that a step of so many models is over."""
        now, busy = self._clock(), self._busy()
        seconds, computed = now - self._last, busy - self._last_busy
        self._last, self._last_busy = now, busy
        self._step += 1
        if self._ended:
            self._end = _blend(self._end, max(0.0, seconds - (self._log or 0.0)) / self._ended)
        elif self._logged and self._step > self._first:
            # The first one pays for what is set up once.
            self._log = _blend(self._log, seconds)
        elif not self._logged and self._step != self._branch + 1:
            gradient = self._shape(models, self._step > self._branch)
            self._recent = self._recent.fading(math.exp(-seconds / MEMORY), _Sums(1.0, seconds, computed, gradient))
            self._steps += 1
        if self._step == self._branch + 1 and self._recent.seconds:
            # A step has another cost from here on: what is known of the old ones counts for little.
            keep = min(1.0, 0.4 * ENOUGH_SECONDS / self._recent.seconds)
            self._recent = self._recent.fading(keep)
        self._logged, self._ended = False, 0

    def logged(self) -> None:
        """Note that the time until the next step goes to a log point."""
        self._logged = True

    def ended(self, models: int) -> None:
        """Note that it goes to the ends of so many runs."""
        self._ended = models

    def left(self, ends: Sequence[float], shrinks: bool = True) -> float | None:
        """Seconds left, None while too little is known.

        Parameters
        ----------
        ends : steps at which the models that are still trained will end; NaN where nobody can tell.
        shrinks : whether a model that has ended costs nothing more.
        """
        recent = self._recent
        if self._steps < ENOUGH_STEPS or recent.seconds < ENOUGH_SECONDS or any(math.isnan(end) for end in ends):
            return None
        step, models, total = float(self._step), len(ends), 0.0
        for end in sorted(ends):
            one = min(max(self._branch - step, 0.0), max(end - step, 0.0))
            total += one * recent.cost(self._shape(models, False))
            total += max(end - step - one, 0.0) * recent.cost(self._shape(models, True))
            step, models = max(step, end), models - 1 if shrinks else models
        points = set(self._points[bisect_right(self._points, self._step) : bisect_right(self._points, step)])
        # Models that end together are measured together.
        total += len(points | set(ends)) * (self._log or 0.0)
        if self._end is not None:
            return total + len(ends) * self._end
        config = self._config
        counts = [
            gradients_at_end(phases, config.full_gradients, config.chains, end)
            for phases, end in zip(self._phases[-len(ends) :], sorted(ends), strict=True)
        ]
        return total + len(ends) * UPLOAD + recent.slowness * self._full_gradient * sum(counts)


def _blend(old: float | None, new: float) -> float:
    return new if old is None else 0.7 * old + 0.3 * new


def pace_of(setup: TrainingSetup, configs: Sequence[TrainConfig], done: int = 0) -> Pace:
    """The pace of models that are about to be trained, or to go on after `done` steps."""
    batches = math.ceil(len(setup.data.y_train) / setup.config.batch_size)
    # A processor that waits for a device computes nothing.
    busy = time.process_time if setup.device.type == "cpu" else time.monotonic
    return Pace(configs, StepShape.timed(setup, len(configs)), batches, busy=busy, done=done)


class RunProgress:
    """Reports every few seconds how far a single run is."""

    def __init__(self, run: RecordedRun, pace: Pace, report: Callable[[Report], None], done: int = 0) -> None:
        self._run, self._pace, self._report = run, pace, report
        self._step, self._reported = done, time.monotonic()

    def step(self) -> None:
        """Note that a step is over."""
        self._step += 1
        self._pace.step(1)
        now = time.monotonic()
        if now - self._reported > EVENT_EVERY:
            self._reported = now
            end = self._run.need.expected_end(self._step, self._run.config)
            planned = self._run.need.next_look if math.isnan(end) else end
            self._report(Report(min(1.0, self._step / planned), self._pace.spent, self._pace.left([end])))

    def logged(self) -> None:
        """Note that the time until the next step goes to a log point."""
        self._pace.logged()


@contextmanager
def progress_of(run: RecordedRun, setup: TrainingSetup, done: int = 0) -> Iterator[RunProgress]:
    """Progress of a single run that is about to be trained, or to go on after `done` steps.

    On stderr, or told to the sweep that has started it.
    """
    pace = pace_of(setup, [run.config], done)
    if SWEEP_VARIABLE in os.environ:
        yield RunProgress(run, pace, lambda report: emit("progress", **asdict(report)), done)
        return
    with Display(PATIENCE) as display:
        yield RunProgress(run, pace, display.show, done)
