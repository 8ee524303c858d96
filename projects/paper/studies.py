"""From the trained runs to analysed studies, with what is missing in words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import click

from analysis import StudyConfig, StudyResult, analyze, from_tracking
from analysis.cli import steady_progress
from analysis.tracking import RunRecord, ServerError, SourceError
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import DIVERGED
from projects.paper.plan import Plan, Study


def analyse_study(study: Study, scale: str, experiment_id: str, out: Path, jobs: int) -> tuple[StudyResult, list[str]]:
    """Analyse a study, write its report and put its numbers on the runs; with a line for each run that is missing.

    Raises
    ------
    ThermoError
        Too few runs with usable snapshots.
    """
    runs = from_tracking(experiment_id=experiment_id, sweep=study.key(scale))
    records, missing = usable_runs(study, runs.records)
    with steady_progress() as tell:
        result = analyze(replace(runs, records=tuple(records)), StudyConfig(jobs=jobs), progress=tell)
    folder = out / "studies" / study.name
    result.write(folder, study.name)
    result.publish(folder)
    return result, missing


def usable_runs(study: Study, records: Sequence[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """One run for each learning rate and seed of the study, and a line for each that is missing or failed.

    A run that was cut off and trained again is there twice: the finished one counts.
    """
    found: dict[tuple[float, int], RunRecord] = {}
    for record in records:
        place = (float(f"{record.lr:.6g}"), record.seed)
        if place not in found or (record.ended == "FINISHED" and found[place].ended != "FINISHED"):
            found[place] = record
    wanted = [(lr, seed) for lr in study.lrs for seed in study.seeds]
    kept = [found[place] for place in wanted if place in found]
    missing = [f"{study.name} lr={lr:g} seed={seed}: not trained" for lr, seed in wanted if (lr, seed) not in found]
    for record in kept:
        if record.regime == DIVERGED:
            missing.append(f"{study.name} lr={record.lr:g} seed={record.seed}: diverged")
        elif record.ended != "FINISHED":
            missing.append(f"{study.name} lr={record.lr:g} seed={record.seed}: {record.ended.lower()}")
    return kept, missing


def analyse_all(
    plan: Plan, experiment_id: str, out: Path, jobs: int, untrained: Collection[str] = ()
) -> tuple[dict[str, StudyResult], list[str]]:
    """Every study that can be analysed, by name, and what is missing.

    Parameters
    ----------
    untrained : names of the studies that are known to be missing.
    """
    results: dict[str, StudyResult] = {}
    missing: list[str] = []
    for study in plan.studies:
        click.echo(f"analysing {study.name}", err=True)
        try:
            results[study.name], lacking = analyse_study(study, plan.scale, experiment_id, out, jobs)
            missing += lacking
        except SourceError:
            # A study that could not be trained is listed already, with the reason.
            missing += [] if study.name in untrained else [f"{study.name}: no run was trained"]
        except ServerError:
            # The other studies would wait for the same server.
            raise
        except ThermoError as error:
            missing.append(f"{study.name}: {error}")
    return results, missing
