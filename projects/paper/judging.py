"""From the trained studies to the claims: analyses every study, tests the claims, and collects the figures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import click

from analysis.report import Chart, course_figures, study_figures, write_report
from analysis.results import StudyResult
from analysis.study import StudyConfig, analyze
from analysis.tracking import RunRecord, SourceError, from_tracking, publish_study
from mlflow_thermo.schema import DIVERGED, ThermoError
from projects.paper.claims import Claim, SubsetRow, evaluate
from projects.paper.figures import subset_figure
from projects.paper.plan import OVER, SUBSET, UNDER, Plan, Study
from projects.paper.report import ExponentRow, PaperResult
from projects.toy_sphere import Fact, run_toys, toy_facts, toy_figures, write_toy_report


def analyse_study(study: Study, scale: str, experiment_id: str, out: Path, jobs: int) -> tuple[StudyResult, list[str]]:
    """Analyse the runs of a study, write its report and put its numbers on the runs; with the study's holes in words.

    Raises
    ------
    ThermoError
        Too few runs with usable snapshots.
    """
    selection = from_tracking(experiment_id=experiment_id, sweep=study.key(scale))
    records, holes = usable_runs(study, selection.records)
    result = analyze(records, StudyConfig(jobs=jobs))
    folder = out / "studies" / study.name
    write_report(result, folder, study.name)
    known = {record.run_id: (record.meta["metrics"], record.meta["tags"]) for record in records}
    publish_study(result, folder, experiment_id=experiment_id, scope=selection.scope, known=known)
    return result, holes


def usable_runs(study: Study, records: list[RunRecord]) -> tuple[list[RunRecord], list[str]]:
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
    holes = [f"{study.name} lr={lr:g} seed={seed}: not trained" for lr, seed in wanted if (lr, seed) not in found]
    for record in kept:
        if record.regime == DIVERGED:
            holes.append(f"{study.name} lr={record.lr:g} seed={record.seed}: diverged")
        elif record.ended != "FINISHED":
            holes.append(f"{study.name} lr={record.lr:g} seed={record.seed}: {record.ended.lower()}")
    return kept, holes


def analyse_all(
    plan: Plan, experiment_id: str, out: Path, jobs: int, untrained: Collection[str] = ()
) -> tuple[dict[str, StudyResult], list[str]]:
    """Every study that can be analysed, by name, and what is missing.

    Parameters
    ----------
    untrained : names of the studies that are known to be missing.
    """
    results: dict[str, StudyResult] = {}
    holes: list[str] = []
    for study in plan.studies:
        click.echo(f"analysing {study.name}", err=True)
        try:
            results[study.name], missing = analyse_study(study, plan.scale, experiment_id, out, jobs)
            holes += missing
        except SourceError:
            # Why nothing was trained has been said, unless it was never tried.
            holes += [] if study.name in untrained else [f"{study.name}: no run was trained"]
        except ThermoError as error:
            holes.append(f"{study.name}: {error}")
    return results, holes


def measure_toy(lrs: Sequence[float], out: Path) -> tuple[list[Fact], dict[str, Chart]]:
    """The sphere toy's numbers beside its exact ones, and its figures; its tables go into `out`."""
    studies, decays = run_toys(lrs, progress=lambda line: click.echo(line, err=True))
    facts, charts = toy_facts(studies, decays), toy_figures(studies, decays)
    write_toy_report(studies, decays, facts, charts, out / "studies" / "toy")
    return facts, {f"toy/{name}": chart for name, chart in charts.items()}


def judge(
    plan: Plan, results: Mapping[str, StudyResult], holes: Sequence[str], minutes: float, toy: Sequence[Fact]
) -> PaperResult:
    """The claims on every setting of the plan."""
    claims: list[Claim] = []
    subsets: list[SubsetRow] = []
    for setting in dict.fromkeys(study.setting for study in plan.studies):
        by_role = {role: _of(plan, results, setting, role) for role in (UNDER, OVER, SUBSET)}
        up, op = (next(iter(by_role[role].values()), None) for role in (UNDER, OVER))
        # The whole set is its own largest subset.
        found, rows = evaluate(setting, up, op, by_role[SUBSET] | by_role[OVER])
        claims += found
        subsets += rows
    return PaperResult(
        plan.scale,
        tuple(claims),
        tuple(_exponents(plan, results)),
        tuple(subsets),
        tuple(toy),
        tuple(holes),
        minutes,
    )


def _of(plan: Plan, results: Mapping[str, StudyResult], setting: str, role: str) -> dict[str, StudyResult]:
    return {
        study.name: results[study.name]
        for study in plan.studies
        if study.setting == setting and study.role == role and study.name in results
    }


def _exponents(plan: Plan, results: Mapping[str, StudyResult]) -> list[ExponentRow]:
    """A row for each study with a temperature, and for each published one, measured beside published."""
    rows = []
    trained = {study.name: study for study in plan.studies if study.role != SUBSET}
    for name in dict.fromkeys([*trained, *plan.published]):
        result = results.get(name)
        n_runs, law = (len(result.runs), result.power_law) if result is not None else (None, None)
        rows.append(ExponentRow(name, n_runs, law, plan.published.get(name)))
    return rows


def charts_of(plan: Plan, results: Mapping[str, StudyResult], judged: PaperResult) -> dict[str, Chart]:
    """All figures by the names that the claims use."""
    charts: dict[str, Chart] = {}
    for study in plan.studies:
        if study.name in results and study.role in (UNDER, OVER):
            place = f"{study.setting}-{'up' if study.role == UNDER else 'op'}"
            for name, chart in {**study_figures(results[study.name]), **course_figures(results[study.name])}.items():
                charts[f"{place}/{name}"] = chart.properties(title=f"{study.name}: {_title(chart)}")
    figure = subset_figure(judged.subsets)
    if figure is not None:
        charts["subsets/exponent"] = figure
    return charts


def _title(chart: Chart) -> str:
    title = chart.title
    return title if isinstance(title, str) else ""
