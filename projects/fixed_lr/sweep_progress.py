"""How far a sweep is, and how long it will still take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any

from analysis.cli import Display, Report, in_words
from mlflow_thermo.errors import ThermoError
from projects.common import Outcome
from projects.fixed_lr.config import resolve
from projects.fixed_lr.need import expected_steps

#: Seconds from the end of the last training to that of the sweep: the table is uploaded, and two programs end.
CLOSING = 2.0


@dataclass
class _Task:
    """What one process trains: `work` in steps, and what it has said about it."""

    work: float
    begun: float | None = None
    ended: float | None = None
    ok: bool = True
    #: Seconds from its start to its first step, and from there to its end, when `said`.
    startup: float = 0.0
    training: float | None = None
    fraction: float = 0.0
    left: float = 0.0
    said: float = 0.0


class SweepProgress:
    """Shows which runs are done and how long the rest will take.

    Parameters
    ----------
    works : steps of each process, about, in the order in which they are started.
    jobs : how many run side by side.
    """

    def __init__(
        self,
        works: Sequence[float],
        runs: int,
        jobs: int,
        display: Display,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks = [_Task(work) for work in works]
        self._runs, self._jobs, self._display, self._clock = runs, jobs, display, clock
        self._done = 0
        self._begin = clock()
        self._lock = threading.Lock()

    def began(self, number: int) -> None:
        """Note that a process is started."""
        with self._lock:
            self._tasks[number].begun = self._clock()

    def heard(self, number: int, event: Mapping[str, Any]) -> None:
        """Note what the training of a part says."""
        if event["event"] == "began":
            self.began(number)
        else:
            self.update(number, event)

    def update(self, number: int, event: Mapping[str, Any]) -> None:
        """Note what a process says about its progress."""
        with self._lock:
            task, now = self._tasks[number], self._clock()
            task.fraction = event["fraction"]
            if task.begun is None:
                # What it said first was lost on the way from another machine.
                task.begun = now
            if event["left"] is not None:
                task.left, task.said = event["left"], now
                task.training = event["spent"] + event["left"]
                task.startup = now - task.begun - event["spent"]

    def ended(self, number: int, outcomes: list[Outcome]) -> None:
        """Print a line for each run of a process that has ended."""
        with self._lock:
            task = self._tasks[number]
            task.ended, task.fraction, task.ok = self._clock(), 1.0, all(one.ok for one in outcomes)
            left = self.left()
            words = "" if left is None else f", about {in_words(left)} left"
            for outcome in outcomes:
                self._done += 1
                regime = outcome.regime if outcome.ok else "FAILED"
                self._display.write(
                    f"[{self._done}/{self._runs}] lr={outcome.lr:g} seed={outcome.seed} {regime} "
                    f"in {outcome.seconds:.0f} s{words}"
                )

    def show(self) -> None:
        """Show where the sweep stands, as often as the display wants."""
        with self._lock:
            done = sum(task.work * task.fraction for task in self._tasks)
            fraction = done / max(sum(task.work for task in self._tasks), 1e-9)
            self._display.show(Report(fraction, self._clock() - self._begin, self.left()))

    def left(self) -> float | None:
        """Seconds until the last process ends; None while nobody can tell."""
        now = self._clock()
        # A process that broke off says nothing about how long the others take.
        known = [task for task in self._tasks if task.ok and _training(task) is not None]
        training = sum(_training(task) or 0.0 for task in known) / max(sum(task.work for task in known), 1e-9)
        startup = sum(task.startup for task in known) / max(len(known), 1)
        free = []
        for task in self._tasks:
            if task.begun is None or task.ended is not None:
                continue
            if task.training is not None:
                free.append(max(0.0, task.left - (now - task.said)))
            elif known:
                free.append(max(0.0, startup + training * task.work - (now - task.begun)))
            else:
                return None
        free += [0.0] * (self._jobs - len(free))
        heapify(free)
        for task in self._tasks:
            if task.begun is None:
                if not known:
                    return None
                heappush(free, heappop(free) + startup + training * task.work)
        return max(free) + CLOSING


def _training(task: _Task) -> float | None:
    """Seconds that a process trains in all, as far as that is known."""
    if task.ended is not None and task.begun is not None:
        return task.ended - task.begun - task.startup
    return task.training


def work_of(given: Mapping[str, Any]) -> float:
    """Steps that a run will about take, before anything of it is known; none where its parameters are wrong."""
    try:
        return expected_steps(resolve(dict(given)))
    except ThermoError:
        # The run itself will say so.
        return 0.0
