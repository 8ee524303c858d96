"""Entry point `sweep`: one flat MLflow run for each learning rate and seed, several at a time."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import partial
from typing import Any

import click
import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run

from analysis.cli import entry
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.failures import Failures
from mlflow_thermo.plugin import SWEEP_VARIABLE
from projects.common import (
    Display,
    Outcome,
    ParentWatch,
    Workers,
    log_new_params,
    own_run,
    parse_jobs,
    parse_lrs,
    parse_seeds,
    prepare_store,
)
from projects.fixed_lr.config import TrainConfig, preset_named, resolve
from projects.fixed_lr.engine import AUTO, choose_engine
from projects.fixed_lr.options import config_options, parse_options
from projects.fixed_lr.resuming import HERE, take_over
from projects.fixed_lr.sweep_progress import SweepProgress, work_of
from projects.fixed_lr.unfinished import (
    Part,
    Place,
    dealt,
    done_runs,
    let_go,
    outcome_of,
    parts_to_go_on,
    place_of,
    unfinished_like,
)
from projects.fixed_lr.work import WorkFolder

#: What MLproject gives where the user gives nothing.
_DEFAULTS = {("preset", TrainConfig.preset), ("lrs", ""), ("seeds", "0"), ("engine", AUTO)}


def run_sweep(
    parts: Sequence[Part], options: dict[str, Any], sweep: str, jobs: int, watch: ParentWatch
) -> list[Outcome]:
    """Train every part, in `jobs` processes at a time, with progress and the time left on stderr."""
    # The children open runs of their own in the same experiment: they must not write into the sweep's run.
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_RUN_ID"}
    environment |= {SWEEP_VARIABLE: sweep, "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    # Two spinning compute threads on nets this small are 10 to 60 times slower than one on a busy machine.
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    workers = Workers(environment)
    shared = {**options, "shares": min(jobs, len(parts))}
    works = [sum(work_of({**options, "lr": lr}) for lr in part.lrs) for part in parts]
    outcomes: list[Outcome] = []
    with Display() as display, ThreadPoolExecutor(max_workers=jobs) as pool:
        progress = SweepProgress(works, sum(len(part.lrs) for part in parts), jobs, display)

        def train(number: int) -> list[Outcome]:
            progress.began(number)
            part, on_progress = parts[number], partial(progress.update, number)
            if part.together:
                return workers.train_stack(part.lrs, part.seed, shared, on_progress, part.resume)
            return workers.train_one(part.lrs[0], part.seed, shared, on_progress, part.resume)

        pending = {pool.submit(train, number): number for number in range(len(parts))}
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


@dataclass(frozen=True)
class _Plan:
    """What a sweep trains: its id, its grid as text and as numbers, and the parameters of all runs."""

    sweep: str
    lrs: str
    seeds: str
    engine: str
    given: dict[str, Any]

    @property
    def places(self) -> list[Place]:
        return [place_of(lr, seed) for seed in parse_seeds(self.seeds) for lr in parse_lrs(self.lrs)]

    @property
    def params(self) -> dict[str, Any]:
        return {"lrs": self.lrs, "seeds": self.seeds, "engine": self.engine, **self.given}


def _planned(lrs: str, seeds: str, jobs: int, engine: str, given: dict[str, Any]) -> _Plan:
    """A new sweep; ThermoError for what would fail all of its runs."""
    grid = lrs or preset_named(given["preset"])["lrs"]
    config = resolve({**given, "lr": parse_lrs(grid)[0]})
    engine = choose_engine(engine or AUTO, config, len(parse_lrs(grid)) * len(parse_seeds(seeds)), jobs)
    return _Plan(f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}", grid, seeds, engine, given)


def _resumed(run: Run, sweep: str, typed: dict[str, Any]) -> _Plan:
    """The sweep of a run that was cut off; ThermoError where other values of its parameters were `typed`."""
    params = {**run.data.params}
    params["lrs"] = params.get("lrs") or preset_named(params["preset"])["lrs"]
    for name, value in typed.items():
        # MLflow gives the defaults where the user gave nothing.
        if name not in HERE and (name, value) not in _DEFAULTS and str(value) != params.get(name):
            raise ThermoError(
                f"sweep {sweep} has {name}={params.get(name, 'the default')}, {name}={value} was given: leave it out"
            )
    names = {field.name for field in fields(TrainConfig)} - {"lr", "seed", "threads"}
    given = parse_options({name: value for name, value in params.items() if name in names})
    given |= {name: value for name, value in typed.items() if name in HERE}
    return _Plan(sweep, params["lrs"], params["seeds"], params["engine"], given)


def _run_of(client: MlflowClient, sweep: str) -> Run:
    """The run of a sweep that is not finished."""
    where = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(where, f"tags.`{schema.TAG_KIND}` = '{schema.KIND_SWEEP}'", max_results=1000)
    known = {run.data.tags.get(schema.TAG_SWEEP, ""): run for run in runs}
    if sweep not in known:
        cut = [name for name, run in known.items() if run.info.status != "FINISHED"]
        near = get_close_matches(sweep, known, n=1)
        there = f"did you mean {near[0]}?" if near else f"there are {', '.join(cut[:5]) or 'none that were cut off'}"
        raise ThermoError(f"sweep {sweep!r} does not exist: {there}")
    if known[sweep].info.status == "FINISHED":
        raise ThermoError(f"sweep {sweep} is finished: there is nothing to resume")
    return known[sweep]


def _parts(client: MlflowClient, experiment_id: str, plan: _Plan, jobs: int) -> tuple[list[Part], list[Outcome]]:
    """What is left to be trained of a sweep that was cut off, and the runs that are done."""
    done = done_runs(client, experiment_id, plan.sweep)
    going_on = parts_to_go_on(client, experiment_id, plan.sweep, plan.given.get("work_dir", ""))
    taken = {place_of(lr, part.seed) for part in going_on for lr in part.lrs}
    kept = {run.info.run_id for run in done.values()}
    let_go(client, experiment_id, plan.sweep, kept | {run_id for part in going_on for run_id in part.run_ids})
    anew = [place for place in plan.places if place not in taken | set(done)]
    click.echo(
        f"sweep {plan.sweep}: {len(done)} of {len(plan.places)} runs are done, {len(taken - set(done))} go on, "
        f"{len(anew)} start anew",
        err=True,
    )
    outcomes = [outcome_of(place, run) for place, run in done.items() if place not in taken]
    return [*going_on, *dealt(anew, plan.engine, jobs)], outcomes


@click.command()
@click.option("--lrs", default="", help="lo:hi:n (log-spaced) or a comma list; empty takes the preset's grid.")
@click.option("--seeds", default="0", help="Comma list of run seeds.")
@click.option("--jobs", default="", help="Trainings side by side; default one for each core.")
@click.option("--engine", default=AUTO, help="auto, batched (learning rates side by side) or process (one each).")
@click.option("--resume", default="", help="Id of a sweep that was cut off: train what is missing, from checkpoints.")
@click.option("--experiment", default=None, help="MLflow experiment, outside of `mlflow run`.")
@config_options(leave_out=("lr", "seed", "threads"))
def main(lrs: str, seeds: str, jobs: str, engine: str, resume: str, experiment: str | None, **options: str) -> None:
    """Train every learning rate with every seed, each as its own MLflow run."""
    given = parse_options(options)
    given.setdefault("preset", TrainConfig.preset)
    n_jobs = parse_jobs(jobs)
    # A parameter that is wrong for one run is wrong for all: fail before anything starts.
    plan = None if resume else _planned(lrs, seeds, n_jobs, engine, given)
    # Before there is a client, which opens the store as soon as it is made.
    prepare_store()
    client = MlflowClient()
    if plan is None:
        run = _run_of(client, resume)
        plan = _resumed(run, resume, {"lrs": lrs, "seeds": seeds, "engine": engine, **given})
    watch = ParentWatch()
    goes_on = f"finished runs are kept, go on with mlflow run . -e sweep -P resume={plan.sweep}"
    stopped = f"sweep {plan.sweep} was ended: {{end}}; {goes_on}"
    watch.closing_words = f"sweep {plan.sweep} is closing, please wait; afterwards {goes_on}"
    tags = {schema.TAG_SWEEP: plan.sweep}
    with ExitStack() as held:
        held.enter_context(WorkFolder(plan.given.get("work_dir", ""), f"sweep-{plan.sweep}").locked())
        if resume:
            take_over(run.info.run_id)
            os.environ["MLFLOW_RUN_ID"] = run.info.run_id
        name = f"sweep {plan.given['preset']}"
        run_id = held.enter_context(own_run(watch, experiment, name, schema.KIND_SWEEP, tags, stopped))
        experiment_id = client.get_run(run_id).info.experiment_id
        os.environ["MLFLOW_EXPERIMENT_ID"] = experiment_id
        if resume:
            parts, outcomes = _parts(client, experiment_id, plan, n_jobs)
        else:
            parts, outcomes = dealt(plan.places, plan.engine, n_jobs), []
            cut_off = unfinished_like(client, experiment_id, plan.params, plan.sweep)
            log_new_params(run_id, plan.params)
            if cut_off:
                click.echo(
                    f"sweep {cut_off} of the same parameters was cut off: mlflow run . -e sweep -P resume={cut_off} "
                    "goes on with it; this is a new one",
                    err=True,
                )
        outcomes += run_sweep(parts, plan.given, plan.sweep, n_jobs, watch) if parts else []
        outcomes.sort(key=lambda one: (one.lr, one.seed))
        failed = [o for o in outcomes if not o.ok]
        click.echo(table(outcomes))
        click.echo(f"sweep {plan.sweep}: {len(outcomes) - len(failed)} of {len(outcomes)} runs trained")
        failures = Failures()
        if failed:
            words = f"{len(failed)} of {len(outcomes)} runs failed, see the table above"
            failures.add(ThermoError(f"sweep {plan.sweep}: {words}"))
        failures.attempt(client.log_text, run_id, table(outcomes) + "\n", "sweep.txt")
        failures.raise_first()


if __name__ == "__main__":
    entry(main)
