"""What a sweep trains: a new grid, or what is missing of one that was cut off."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

import click
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from projects.common import Outcome, parse_lrs, parse_seeds
from projects.fixed_lr.config import TrainConfig, preset_named, resolve
from projects.fixed_lr.engine import AUTO, choose_engine
from projects.fixed_lr.options import parse_options
from projects.fixed_lr.resuming import HERE
from projects.fixed_lr.unfinished import Part, Place, dealt, done_runs, let_go, outcome_of, parts_to_go_on, place_of

#: What MLproject gives where the user gives nothing.
_DEFAULTS = {("preset", TrainConfig.preset), ("lrs", ""), ("seeds", "0"), ("engine", AUTO)}


@dataclass(frozen=True)
class Plan:
    """What a sweep trains: its id, its grid as text and as numbers, and the parameters of all runs."""

    sweep: str
    lrs: str
    seeds: str
    engine: str
    given: dict[str, Any]

    @property
    def places(self) -> list[Place]:
        """Learning rate and seed of every run."""
        return [place_of(lr, seed) for seed in parse_seeds(self.seeds) for lr in parse_lrs(self.lrs)]

    @property
    def params(self) -> dict[str, Any]:
        """What the sweep's own run logs."""
        return {"lrs": self.lrs, "seeds": self.seeds, "engine": self.engine, **self.given}


def planned(lrs: str, seeds: str, jobs: int, engine: str, given: dict[str, Any]) -> Plan:
    """A new sweep; ThermoError for what would fail all of its runs."""
    grid = lrs or preset_named(given["preset"])["lrs"]
    config = resolve({**given, "lr": parse_lrs(grid)[0]})
    engine = choose_engine(engine or AUTO, config, len(parse_lrs(grid)) * len(parse_seeds(seeds)), jobs)
    return Plan(f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}", grid, seeds, engine, given)


def resumed(run: Run, sweep: str, typed: dict[str, Any]) -> Plan:
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
    return Plan(sweep, params["lrs"], params["seeds"], params["engine"], given)


def run_of(client: MlflowClient, sweep: str) -> Run:
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


def what_is_left(client: MlflowClient, experiment_id: str, plan: Plan, jobs: int) -> tuple[list[Part], list[Outcome]]:
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
