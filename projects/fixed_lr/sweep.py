"""Entry point `sweep`: one flat MLflow run for each learning rate and seed, several at a time."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import product
from typing import Any

import click
import mlflow
from mlflow import MlflowClient

from analysis.cli import entry
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.plugin import SWEEP_VARIABLE
from projects.common import Outcome, ParentWatch, Workers, log_new_params, own_run, parse_jobs, parse_lrs, parse_seeds
from projects.fixed_lr.config import TrainConfig, preset_named, resolve
from projects.fixed_lr.engine import AUTO, BATCHED, choose_engine, deal
from projects.fixed_lr.options import config_options, parse_options

#: Seconds between two progress lines while stacks are training.
PROGRESS_EVERY = 10.0


class ProgressReport:
    """Prints on stderr which runs are done and how long the rest will take."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._part: dict[int, float] = {}
        self._begin = self._last = time.monotonic()
        self._lock = threading.Lock()

    def update(self, stack: int, models: int, fraction: float) -> None:
        """Note that a stack of `models` runs has done this fraction of its steps."""
        with self._lock:
            self._part[stack] = models * fraction
            if time.monotonic() - self._last > PROGRESS_EVERY:
                click.echo(f"{sum(self._part.values()) / self._total:.0%} of the steps, {self._left()}", err=True)

    def ended(self, outcomes: list[Outcome], stack: int) -> None:
        """Print a line for each run of a process that has ended."""
        with self._lock:
            self._part[stack] = len(outcomes)
            for outcome in outcomes:
                self._done += 1
                regime = outcome.regime if outcome.ok else "FAILED"
                click.echo(
                    f"[{self._done}/{self._total}] lr={outcome.lr:g} seed={outcome.seed} {regime} "
                    f"in {outcome.seconds:.0f} s, {self._left()}",
                    err=True,
                )

    def _left(self) -> str:
        self._last = time.monotonic()
        done = sum(self._part.values())
        return f"about {(self._last - self._begin) / done * (self._total - done):.0f} s left" if done else "starting"


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
    progress = ProgressReport(len(ordered) * len(seed_list))
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        pending: dict[Future[list[Outcome]], int] = {}
        if engine == BATCHED:
            stacks = deal(ordered, seed_list, jobs)
            shared = {**options, "shares": min(jobs, len(stacks))}
            for i, (part, seed) in enumerate(stacks):
                on_progress = partial(progress.update, i, len(part))
                pending[pool.submit(workers.train_stack, part, seed, shared, on_progress)] = i
        else:
            every = list(product(seed_list, ordered))
            shared = {**options, "shares": min(jobs, len(every))}
            for i, (seed, lr) in enumerate(every):
                pending[pool.submit(workers.train_one, lr, seed, shared)] = i
        try:
            while pending:
                for future in _wait(set(pending), watch):
                    found = future.result()
                    outcomes += found
                    progress.ended(found, pending.pop(future))
        except BaseException:
            workers.stop()
            raise
    return sorted(outcomes, key=lambda o: (o.lr, o.seed))


def _wait(pending: set[Future[list[Outcome]]], watch: ParentWatch) -> set[Future[list[Outcome]]]:
    while True:
        watch.check()
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
