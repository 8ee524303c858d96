"""From the analysed studies to the claims and their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from analysis.report import Chart, course_figures, study_figures
from analysis.results import StudyResult
from projects.paper.claims import UNDER_ALONE, Claim, SubsetRow, evaluate
from projects.paper.figures import subset_figure
from projects.paper.plan import OVER, SUBSET, UNDER, Plan
from projects.paper.report import ExponentRow, PaperResult
from projects.toy_sphere import Fact, run_toys, toy_facts, toy_figures, write_toy_report


def measure_toy(lrs: Sequence[float], out: Path) -> tuple[list[Fact], dict[str, Chart]]:
    """The sphere toy's numbers beside its exact ones, and its figures; its tables go into `out`."""
    studies, decays = run_toys(lrs, progress=lambda line: click.echo(line, err=True))
    facts, charts = toy_facts(studies, decays), toy_figures(studies, decays)
    write_toy_report(studies, decays, facts, charts, out / "studies" / "toy")
    return facts, {f"toy/{name}": chart for name, chart in charts.items()}


def judge(
    plan: Plan, results: Mapping[str, StudyResult], missing: Sequence[str], minutes: float, toy: Sequence[Fact]
) -> PaperResult:
    """The claims on every setting of the plan."""
    claims: list[Claim] = []
    subsets: list[SubsetRow] = []
    for setting in dict.fromkeys(study.setting for study in plan.studies):
        by_role = {role: _of(plan, results, setting, role) for role in (UNDER, OVER, SUBSET)}
        up, op = (next(iter(by_role[role].values()), None) for role in (UNDER, OVER))
        # The whole set is its own largest subset.
        found, rows = evaluate(setting, up, op, by_role[SUBSET] | by_role[OVER])
        planned = {study.role for study in plan.studies if study.setting == setting}
        claims += found if OVER in planned else [claim for claim in found if claim.number in UNDER_ALONE]
        subsets += rows
    return PaperResult(
        plan.scale,
        tuple(claims),
        tuple(_exponents(plan, results)),
        tuple(subsets),
        tuple(toy),
        tuple(missing),
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
