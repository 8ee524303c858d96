"""The report as one HTML page: the answer first, then what it rests on, then how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

from analysis.report.answer import answer, parting, rows, troubles, trust
from analysis.report.captions import CHECKS, COURSE, STATES, caption
from analysis.report.checks import check_lines, concerns
from analysis.report.numbers import with_powers
from analysis.report.tables import run_tables, short
from analysis.report.text import bounds
from analysis.results import RunResult, StudyResult, remedy

if TYPE_CHECKING:
    from analysis.report.figures import Chart


def page(result: StudyResult, title: str, charts: Mapping[str, Chart]) -> str:
    """The page as text.

    Parameters
    ----------
    charts : `StudyResult.figures`; that of the temperature is on the page as a picture too, for who runs no scripts.
    """
    from jinja2 import Environment

    from analysis.report.figures import to_html_parts

    captions = {name: caption(name, result.axis_title) for name in charts}
    described = {name: chart.properties(description=captions[name]) for name, chart in charts.items()}
    library, figures = to_html_parts(described, still=["temperature"])
    room = files("analysis.report").joinpath("templates")
    style = room.joinpath("report.css").read_text(encoding="utf-8")
    template = room.joinpath("report.html").read_text(encoding="utf-8")
    shown, all_lrs = rows(result)
    results, thermometers, sampling = run_tables(result)
    # A figure without a place of its own still has one on the page.
    placed = {"temperature", *STATES.figures, *CHECKS.figures, *COURSE.figures}
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["short"] = short
    return environment.from_string(template).render(
        title=title, result=result, style=style, library=library.replace("</script", "<\\/script"),
        figures=figures, captions=captions, states=STATES, course=COURSE, judged=CHECKS,
        courses=sampling.rows or not set(figures).isdisjoint(COURSE.figures),
        further=[name for name in figures if name not in placed],
        answer=with_powers(answer(result)), trust=trust(result), concerns=concerns(result), troubles=troubles(result),
        parting=parting(result), known=any(run.temperature is not None for run in result.runs),
        rows=shown, all_lrs=all_lrs,
        several=any(row.runs > 1 for row in shown), bounds=bounds(result), checks=check_lines(result),
        results=results, thermometers=thermometers, sampling=sampling, notes=_notes(result),
        version=version("mlflow-thermo"),
    )  # fmt: skip


def _notes(result: StudyResult) -> list[tuple[str, list[RunResult]]]:
    """What is said of runs, each sentence once with the runs that it is said of."""
    found: dict[str, list[RunResult]] = {}
    for run in result.runs:
        # The remedy of a status stands at the top already.
        if run.note and run.note != remedy(run.status):
            found.setdefault(run.note, []).append(run)
    return list(found.items())
