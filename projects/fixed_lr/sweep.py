"""Entry point `sweep`: one flat MLflow run for each learning rate and seed, several at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click
from mlflow import MlflowClient

from analysis.cli import entry
from analysis.study import Cluster, open_cluster
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.failures import Failures
from projects.common import (
    EXPERIMENT,
    Outcome,
    ParentWatch,
    Terminated,
    log_new_params,
    own_run,
    parse_jobs,
    prepare_store,
    reason_of,
)
from projects.fixed_lr.assignment import Sweep, trouble_here
from projects.fixed_lr.config import TrainConfig
from projects.fixed_lr.crew import RemoteCrew, run_sweep
from projects.fixed_lr.engine import AUTO
from projects.fixed_lr.options import config_options, parse_options
from projects.fixed_lr.resuming import take_over
from projects.fixed_lr.sweep_plan import planned, resumed, run_of, what_is_left
from projects.fixed_lr.unfinished import dealt, let_go, unfinished_like
from projects.fixed_lr.work import WorkFolder


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as text, one line each."""
    lines = [f"{'lr':>10} {'seed':>5}  {'regime':<12} {'run':<32}  note"]
    for o in outcomes:
        lines.append(
            f"{o.lr:>10.4g} {o.seed:>5}  {o.regime if o.ok else 'FAILED':<12} {o.run_id or '-':<32}  {o.message}"
        )
    return "\n".join(lines)


@contextmanager
def _cluster(scheduler: str, watch: ParentWatch) -> Iterator[Cluster | None]:
    """The cluster of a scheduler once it has a worker; None without a scheduler."""
    if not scheduler:
        yield None
        return
    with open_cluster(scheduler) as cluster:
        try:
            if not cluster.slots:
                click.echo(f"waiting for a first worker at {cluster.address}", err=True)
            cluster.wait_for_workers(watch.check)
        except (Terminated, KeyboardInterrupt) as end:
            raise ThermoError(f"ended while it waited for a worker: {reason_of(end)}") from end
        yield cluster


@click.command()
@click.option(
    "--lrs", default="", help="Learning rates, lo:hi:n (log-spaced) or a comma list.  [default: the preset's grid]"
)
@click.option("--seeds", default="0", show_default=True, help="Comma list of run seeds.")
@click.option("--jobs", default="", help="Trainings side by side.  [default: one for each core, or thread of a worker]")
@click.option(
    "--engine",
    default=AUTO,
    show_default=True,
    help="Engine: batched (learning rates side by side), process (one each), or auto.",
)
@click.option(
    "--resume",
    default="",
    help="Id of a sweep that was cut off: train what is missing, from checkpoints.  [default: begin anew]",
)
@click.option(
    "--scheduler",
    default="",
    help="Address of a Dask scheduler, as tcp://10.0.0.1:8786: its workers train.  [default: this machine]",
)
@EXPERIMENT
@config_options(leave_out=("lr", "seed", "threads"))
def main(
    lrs: str,
    seeds: str,
    jobs: str,
    engine: str,
    resume: str,
    scheduler: str,
    experiment: str | None,
    **options: str,
) -> None:
    """Train every learning rate with every seed, each as its own MLflow run."""
    given = parse_options(options)
    given.setdefault("preset", TrainConfig.preset)
    n_jobs = parse_jobs(jobs)
    watch = ParentWatch()
    with ExitStack() as held:
        cluster = held.enter_context(_cluster(scheduler, watch))
        if cluster is not None and not jobs:
            n_jobs = cluster.slots
        # A parameter that is wrong for one run is wrong for all: fail before anything starts.
        plan = None if resume else planned(lrs, seeds, n_jobs, engine, given)
        # Before there is a client, which opens the store as soon as it is made.
        prepare_store()
        client = MlflowClient()
        if plan is None:
            run = run_of(client, resume)
            plan = resumed(run, resume, {"lrs": lrs, "seeds": seeds, "engine": engine, **given})
        there = f" -P scheduler={cluster.address}" if cluster else ""
        goes_on = f"finished runs are kept, go on with mlflow run . -e sweep -P resume={plan.sweep}{there}"
        stopped = f"sweep {plan.sweep} was ended: {{end}}; {goes_on}"
        watch.closing_words = f"sweep {plan.sweep} is closing, please wait; afterwards {goes_on}"
        tags = {schema.TAG_SWEEP: plan.sweep}
        held.enter_context(WorkFolder(plan.given.get("work_dir", ""), f"sweep-{plan.sweep}").locked())
        if resume:
            take_over(run.info.run_id)
            os.environ["MLFLOW_RUN_ID"] = run.info.run_id
        name = f"sweep {plan.given['preset']}"
        run_id = held.enter_context(own_run(watch, experiment, name, schema.KIND_SWEEP, tags, stopped))
        experiment_id = client.get_run(run_id).info.experiment_id
        os.environ["MLFLOW_EXPERIMENT_ID"] = experiment_id
        crew = None
        if cluster is not None:
            conducted = Sweep.of_run(client, plan.sweep, run_id)
            cluster.require(trouble_here, conducted)
            crew = RemoteCrew(cluster.executor, n_jobs, conducted, plan.given, cluster)
        if resume:
            parts, outcomes = what_is_left(client, experiment_id, plan, n_jobs)
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
        outcomes += run_sweep(parts, plan.given, plan.sweep, n_jobs, watch, crew) if parts else []
        if crew is not None:
            # A training of a lost worker may have opened a run that it never came to put into the grid.
            let_go(client, experiment_id, plan.sweep, {one.run_id for one in outcomes})
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
