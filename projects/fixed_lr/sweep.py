"""Entry point `sweep`: one flat MLflow run for each learning rate and seed, several at a time."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Any

import click
import mlflow
from mlflow import MlflowClient

from analysis.cli import entry
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.plugin import SWEEP_VARIABLE
from projects.common import (
    Display,
    Outcome,
    ParentWatch,
    Report,
    Workers,
    in_words,
    log_new_params,
    own_run,
    parse_jobs,
    parse_lrs,
    parse_seeds,
)
from projects.fixed_lr.config import TrainConfig, preset_named, resolve
from projects.fixed_lr.engine import AUTO, BATCHED, choose_engine, deal
from projects.fixed_lr.need import expected_steps
from projects.fixed_lr.options import config_options, parse_options

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

    def update(self, number: int, event: Mapping[str, Any]) -> None:
        """Note what a process says about its progress."""
        with self._lock:
            task, now = self._tasks[number], self._clock()
            task.fraction = event["fraction"]
            if event["left"] is not None:
                assert task.begun is not None
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


def run_sweep(
    lrs: Iterable[float],
    seeds: Iterable[int],
    options: dict[str, Any],
    sweep: str,
    jobs: int,
    engine: str,
    watch: ParentWatch,
) -> list[Outcome]:
    """Train every (lr, seed), in `jobs` processes at a time, with progress and the time left on stderr."""
    # The children open runs of their own in the same experiment: they must not write into the sweep's run.
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_RUN_ID"}
    environment |= {SWEEP_VARIABLE: sweep, "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    # Two spinning compute threads on nets this small are 10 to 60 times slower than one on a busy machine.
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    workers = Workers(environment)
    # Large learning rates first: a diverging grid shows itself in the first minute.
    ordered, seed_list = sorted(lrs, reverse=True), list(seeds)
    if engine == BATCHED:
        stacks = deal(ordered, seed_list, jobs)
    else:
        stacks = [([lr], seed) for seed in seed_list for lr in ordered]
    shared = {**options, "shares": min(jobs, len(stacks))}
    works = [sum(work_of({**options, "lr": lr}) for lr in part) for part, _ in stacks]
    outcomes: list[Outcome] = []
    with Display() as display, ThreadPoolExecutor(max_workers=jobs) as pool:
        progress = SweepProgress(works, len(ordered) * len(seed_list), jobs, display)

        def train(number: int) -> list[Outcome]:
            progress.began(number)
            (part, seed), on_progress = stacks[number], partial(progress.update, number)
            if engine == BATCHED:
                return workers.train_stack(part, seed, shared, on_progress)
            return workers.train_one(part[0], seed, shared, on_progress)

        pending = {pool.submit(train, number): number for number in range(len(stacks))}
        try:
            while pending:
                for future in _wait(set(pending), watch, progress):
                    found = future.result()
                    outcomes += found
                    progress.ended(pending.pop(future), found)
        except BaseException:
            workers.stop()
            raise
    return sorted(outcomes, key=lambda o: (o.lr, o.seed))


def _wait(
    pending: set[Future[list[Outcome]]], watch: ParentWatch, progress: SweepProgress
) -> set[Future[list[Outcome]]]:
    while True:
        watch.check()
        progress.show()
        done, _ = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
        if done:
            return done


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as text, one line each."""
    lines = [f"{'lr':>10} {'seed':>5}  {'regime':<12} {'run':<32}  note"]
    for o in outcomes:
        lines.append(
            f"{o.lr:>10.4g} {o.seed:>5}  {o.regime if o.ok else 'FAILED':<12} {o.run_id or '-':<32}  {o.message}"
        )
    return "\n".join(lines)


@click.command()
@click.option("--lrs", default="", help="lo:hi:n (log-spaced) or a comma list; empty takes the preset's grid.")
@click.option("--seeds", default="0", help="Comma list of run seeds.")
@click.option("--jobs", default="", help="Trainings side by side; default one for each core.")
@click.option("--engine", default=AUTO, help="auto, batched (learning rates side by side) or process (one each).")
@click.option("--experiment", default=None, help="MLflow experiment, outside of `mlflow run`.")
@config_options(leave_out=("lr", "seed", "threads"))
def main(lrs: str, seeds: str, jobs: str, engine: str, experiment: str | None, **options: str) -> None:
    """Train every learning rate with every seed, each as its own MLflow run."""
    given = parse_options(options)
    preset = given.setdefault("preset", TrainConfig.preset)
    grid = parse_lrs(lrs or preset_named(preset)["lrs"])
    seed_list = parse_seeds(seeds)
    # A parameter that is wrong for one run is wrong for all: fail before any process starts.
    config = resolve({**given, "lr": grid[0]})
    n_jobs = parse_jobs(jobs)
    engine = choose_engine(engine or AUTO, config, len(grid) * len(seed_list), n_jobs)
    watch = ParentWatch()
    sweep = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    stopped = f"sweep {sweep} was ended: {{end}}; finished runs are kept"
    tags = {schema.TAG_SWEEP: sweep}
    with own_run(watch, experiment, f"sweep {preset}", schema.KIND_SWEEP, tags, stopped) as run_id:
        client = MlflowClient()
        os.environ["MLFLOW_EXPERIMENT_ID"] = client.get_run(run_id).info.experiment_id
        log_new_params(run_id, {"lrs": lrs or preset_named(preset)["lrs"], "seeds": seeds, "engine": engine, **given})
        outcomes = run_sweep(grid, seed_list, given, sweep, n_jobs, engine, watch)
        client.log_text(run_id, table(outcomes) + "\n", "sweep.txt")
        failed = [o for o in outcomes if not o.ok]
        click.echo(table(outcomes))
        click.echo(f"sweep {sweep}: {len(outcomes) - len(failed)} of {len(outcomes)} runs trained")
        if failed:
            raise ThermoError(f"sweep {sweep}: {len(failed)} of {len(outcomes)} runs failed, see the table above")


if __name__ == "__main__":
    entry(main)
