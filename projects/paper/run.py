"""Entry point `paper`: trains what the paper's claims need, and reports for each whether it holds here."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from analysis.cli import entry
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from projects.common import EXPERIMENT, parse_jobs, parse_lrs
from projects.paper.needs import estimate, require
from projects.paper.plan import LAPTOP, Plan, make_plan

if TYPE_CHECKING:
    from projects.common import ParentWatch

#: Of the sphere toy.
TOY_LRS, NO_TOY = "1e-3:10:60", "none"


def run_paper(
    plan: Plan,
    run_id: str,
    experiment_id: str,
    out: Path,
    jobs: int,
    engine: str,
    watch: ParentWatch,
    toy_lrs: Sequence[float] = (),
) -> None:
    """Train what is missing, analyse every study, and write the report into `out` and the run."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from analysis.report import PAPER, STUDY, TOY
    from analysis.tracking import upload_report
    from projects.paper.claims import VERDICTS
    from projects.paper.judging import charts_of, judge, measure_toy
    from projects.paper.report import counts, text_table, write_paper_report
    from projects.paper.studies import analyse_all
    from projects.paper.training import train_study

    os.environ["MLFLOW_EXPERIMENT_ID"] = experiment_id
    missing: list[str] = []
    untrained: list[str] = []
    begin = time.monotonic()
    for number, study in enumerate(plan.studies, 1):
        click.echo(f"[{number}/{len(plan.studies)}] {study.name}: {study.runs} runs", err=True)
        try:
            there, failures = train_study(study, plan.scale, experiment_id, jobs, engine, watch)
        except ThermoError as error:
            missing.append(f"{study.name}: {error}")
            untrained.append(study.name)
            continue
        if there:
            click.echo(f"{study.name}: {there} of {study.runs} runs were there already", err=True)
        missing += [f"{study.name}: {failure}" for failure in failures]
    minutes = (time.monotonic() - begin) / 60
    click.echo(f"trained in {minutes:.1f} minutes", err=True)
    results, lacking = analyse_all(plan, experiment_id, out, jobs, untrained)
    toy_facts, toy_charts = measure_toy(toy_lrs, out) if toy_lrs else ([], {})
    judged = judge(plan, results, missing + lacking, minutes, toy_facts)
    title = f"SGD as free energy minimisation, scale {plan.scale}"
    write_paper_report(judged, {**charts_of(plan, results, judged), **toy_charts}, out, title)
    client = MlflowClient()
    upload_report(client, run_id, out, PAPER)
    for kind, names in ((STUDY, [*results]), (TOY, ["toy"] if toy_lrs else [])):
        for name in names:
            upload_report(client, run_id, out / "studies" / name, kind, f"studies/{name}")
    found = Counter(claim.verdict for claim in judged.claims)
    values = {f"{schema.PREFIX_RESULT}claims_{verdict.replace(' ', '_')}": found[verdict] for verdict in VERDICTS}
    now = time.time_ns() // 1_000_000
    client.log_batch(run_id, metrics=[Metric(name, float(value), now, 0) for name, value in values.items()])
    click.echo(text_table(judged.claims))
    for line in judged.missing:
        click.echo(f"missing: {line}", err=True)
    click.echo(f"{len(judged.claims)} claims: {counts(judged.claims)}")
    click.echo(f"report {(out / 'paper.html').resolve()}")


def given_options(arguments: list[str]) -> dict[str, str]:
    """Pairs ``--name value`` or ``--name=value`` of a command line; ThermoError where one has no value."""
    found: dict[str, str] = {}
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    for name, value in zip(words[::2], words[1::2], strict=False):
        if not name.startswith("--"):
            raise ThermoError(f"cannot read {name!r}: write --name value, as in --steps 2000")
        found[name.removeprefix("--")] = value
    if len(words) % 2:
        raise ThermoError(f"{words[-1]} has no value: write --name value, as in --steps 2000")
    return {name: value for name, value in found.items() if value != ""}


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.option(
    "--scale", default=LAPTOP, show_default=True, help="Either laptop, or full: the eight published settings."
)
@click.option("--lrs", default="", help="Learning rates of every study.  [default: those of the plan]")
@click.option("--seeds", default="", help="Seeds of every study.  [default: those of the plan]")
@click.option("--jobs", default="", help="Trainings side by side.  [default: one for each core]")
@click.option(
    "--engine",
    default="",
    help="How learning rates are trained side by side: auto, batched or process.  [default: auto]",
)
@click.option(
    "--toy", default="", help="Learning rates of the sphere toy, or none.  [default: 1e-3:10:60 with laptop, else none]"
)
@click.option("--out", default="thermo-paper", show_default=True, help="Folder for the report.")
@EXPERIMENT
@click.pass_context
def main(
    context: click.Context,
    scale: str,
    lrs: str,
    seeds: str,
    jobs: str,
    engine: str,
    toy: str,
    out: str,
    experiment: str | None,
) -> None:
    """Show every claim of arXiv 2505.23489 with a number, an interval and a verdict.

    Further options are those of `python -m projects.fixed_lr.train --help`, for all studies.
    """
    words = given_options(context.args)
    n_jobs = parse_jobs(jobs)
    wanted = toy or (TOY_LRS if scale == LAPTOP else NO_TOY)
    toy_lrs = parse_lrs(wanted) if wanted != NO_TOY else []
    # Report what is missing before anything slow is imported.
    require(make_plan(scale, words, lrs, seeds), words)
    from mlflow import MlflowClient

    from analysis.report import PAPER, STUDY, TOY, require_folder
    from projects.common import ParentWatch, own_run
    from projects.fixed_lr import TrainConfig, parse_options

    unknown = sorted(set(words) - set(vars(TrainConfig(lr=1.0))) | set(words) & {"lr", "seed", "preset", "threads"})
    if unknown:
        raise ThermoError(f"paper has no option {unknown[0]!r}: see python -m projects.fixed_lr.train --help")
    plan = make_plan(scale, parse_options(words), lrs, seeds)
    for line in estimate(plan.studies, n_jobs) if scale != LAPTOP else []:
        click.echo(line, err=True)
    require_folder(out, PAPER)
    for kind, name in [*((STUDY, study.name) for study in plan.studies), *([(TOY, "toy")] if toy_lrs else [])]:
        require_folder(Path(out) / "studies" / name, kind)
    watch = ParentWatch()
    stopped = "ended: {end}; finished runs are kept, the same command goes on from there"
    with own_run(watch, experiment, f"paper {scale}", schema.KIND_PAPER, {}, stopped) as run_id:
        experiment_id = MlflowClient().get_run(run_id).info.experiment_id
        run_paper(plan, run_id, experiment_id, Path(out), n_jobs, engine, watch, toy_lrs)


if __name__ == "__main__":
    entry(main)
