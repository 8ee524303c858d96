"""Who trains the parts of a sweep: processes of this machine, or the workers of any executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import mlflow

from analysis.cli import Display
from analysis.study import Cluster, tell
from mlflow_thermo.errors import first_line
from projects.common import Outcome, ParentWatch, Workers
from projects.fixed_lr.assignment import Assignment, Sweep, child_environment, failed, train_anywhere, train_part
from projects.fixed_lr.sweep_progress import SweepProgress, work_of
from projects.fixed_lr.unfinished import Part

#: Receives, in whatever thread, what the training of a part says: number of the part, and an event.
Hear = Callable[[int, dict[str, Any]], None]


class Crew(Protocol):
    """Trains parts side by side.

    Attributes
    ----------
    jobs : trainings at a time, for the estimate of the time that is left.
    remote : whether a part may be lost with the place where it is trained.
    """

    jobs: int
    remote: bool

    def at_work(self) -> AbstractContextManager[Executor]:
        """The executor, which is released when the block is left."""

    def listen(self, hear: Hear) -> None:
        """Have `hear` told of the progress, where that can be."""

    def task(self, number: int, part: Part) -> Callable[[], list[Outcome]]:
        """What trains a part, to be called by the executor."""

    def stop(self) -> None:
        """Ask what is being trained here to end."""


class LocalCrew:
    """`jobs` processes of this machine at a time; parts may go on with runs that were cut off.

    Parameters
    ----------
    options : parameters of all runs.
    """

    remote = False

    def __init__(self, options: dict[str, Any], sweep: str, jobs: int, n_parts: int) -> None:
        self.jobs = jobs
        self._options = {**options, "shares": min(jobs, n_parts)}
        self._workers = Workers(child_environment(sweep, mlflow.get_tracking_uri()))
        self._hear: Hear = lambda number, event: None

    def at_work(self) -> AbstractContextManager[Executor]:
        """Threads, each of which waits for one process."""
        return ThreadPoolExecutor(max_workers=self.jobs)

    def listen(self, hear: Hear) -> None:
        """Have `hear` told of the progress."""
        self._hear = hear

    def task(self, number: int, part: Part) -> Callable[[], list[Outcome]]:
        """What trains a part."""
        return partial(train_part, self._workers, part, self._options, partial(self._hear, number))

    def stop(self) -> None:
        """Ask every process to end."""
        self._workers.stop()


@dataclass
class RemoteCrew:
    """The workers of an executor, on this machine or on others; the caller releases it.

    Attributes
    ----------
    jobs : as of `Crew`.
    cluster : of the executor, if it is one of Dask's: it brings back the progress.
    """

    executor: Executor
    jobs: int
    sweep: Sweep
    options: dict[str, Any]
    cluster: Cluster | None = None
    remote: bool = True

    def at_work(self) -> AbstractContextManager[Executor]:
        """The executor."""
        return nullcontext(self.executor)

    def listen(self, hear: Hear) -> None:
        """Have `hear` told of the progress, by a cluster."""
        if self.cluster is not None:
            self.cluster.listen(self._topic, lambda message: hear(message["number"], message))

    def task(self, number: int, part: Part) -> Callable[[], list[Outcome]]:
        """What trains a part wherever it is called."""
        say = None if self.cluster is None else partial(_tell_number, self._topic, number)
        return partial(train_anywhere, Assignment(part, self.options, self.sweep), say)

    def stop(self) -> None:
        """Nothing: whoever trains a part sees by itself that the sweep has ended."""

    @property
    def _topic(self) -> str:
        return f"thermo-{self.sweep.sweep}"


def _tell_number(topic: str, number: int, event: dict[str, Any]) -> None:
    tell(topic, {**event, "number": number})


def run_sweep(
    parts: Sequence[Part], options: dict[str, Any], sweep: str, jobs: int, watch: ParentWatch, crew: Crew | None = None
) -> list[Outcome]:
    """Train every part, with progress and the time left on stderr.

    Parameters
    ----------
    crew : who trains; by default `jobs` processes of this machine at a time.
    """
    crew = LocalCrew(options, sweep, jobs, len(parts)) if crew is None else crew
    works = [sum(work_of({**options, "lr": lr}) for lr in part.lrs) for part in parts]
    outcomes: list[Outcome] = []
    with Display() as display, crew.at_work() as executor:
        progress = SweepProgress(works, sum(len(part.lrs) for part in parts), crew.jobs, display)
        crew.listen(progress.heard)
        pending = {executor.submit(crew.task(number, part)): number for number, part in enumerate(parts)}
        try:
            while pending:
                for future in _wait(set(pending), watch, progress):
                    number = pending.pop(future)
                    found = _result(future, parts[number], crew)
                    outcomes += found
                    progress.ended(number, found)
        except BaseException:
            for future in pending:
                future.cancel()
            crew.stop()
            raise
    return sorted(outcomes, key=lambda o: (o.lr, o.seed))


def _result(future: Future[list[Outcome]], part: Part, crew: Crew) -> list[Outcome]:
    """How a part ended; failed, where it did not come back: its worker was lost too often, or the scheduler was."""
    try:
        return future.result()
    except Exception as error:
        if not crew.remote:
            raise
        return failed(part, f"{type(error).__name__}: {first_line(error)}")


def _wait(
    pending: set[Future[list[Outcome]]], watch: ParentWatch, progress: SweepProgress
) -> set[Future[list[Outcome]]]:
    while True:
        watch.check()
        progress.show()
        done, _ = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
        if done:
            return done
