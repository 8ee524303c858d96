"""A study in a notebook: one figure by its name, and the few lines that a cell shows."""

from __future__ import annotations

from base64 import b64encode
from importlib.resources import files
from typing import TYPE_CHECKING

from analysis.report.answer import answer, parting, troubles, trust
from analysis.report.checks import concerns
from analysis.report.numbers import in_words, with_error, with_powers
from analysis.report.text import bounds, summary
from analysis.results import Estimate, RunResult, StudyResult
from mlflow_thermo.errors import ThermoError

if TYPE_CHECKING:
    from analysis.report.figures import Chart


def figure_named(result: StudyResult, name: str) -> Chart:
    """The figure `name` of the report, as an Altair chart.

    Raises
    ------
    ThermoError
        The study has no such figure, because there is none of that name or because its numbers do not exist.
    """
    figures = result.figures()
    if name not in figures:
        raise ThermoError(f"this study has no figure {name!r}: it has {', '.join(figures) or 'none'}")
    return figures[name]


def notebook_html(result: StudyResult) -> str:
    """The answer, an inline picture of T where there is one, what is not ok with its remedy, and a table of runs."""
    from jinja2 import Environment

    from analysis.report.figures import study_figures, to_png

    chart = study_figures(result).get("temperature")
    template = files("analysis.report").joinpath("templates/notebook.html").read_text(encoding="utf-8")
    return (
        Environment(autoescape=True)
        .from_string(template)
        .render(
            answer=with_powers(answer(result)),
            trust=trust(result),
            concerns=concerns(result),
            parting=parting(result),
            troubles=troubles(result),
            picture=None if chart is None else b64encode(to_png(chart)).decode("ascii"),
            summary=summary(result),
            rows=[_row(run, result) for run in result.runs],
        )
    )


def _row(run: RunResult, result: StudyResult) -> dict[str, str]:
    found = in_words(run.temperature)
    return {
        result.axis: f"{run.lr:.3g}",
        "seed": str(run.seed),
        "T (loss per nat)": found.value,
        bounds(result): found.interval,
        "status": run.status,
        "U": _with_error(run.loss),
        "S (nats)": _with_error(run.entropy),
        "n_eff": "-" if run.sampling.n_eff is None else f"{run.sampling.n_eff:.0f}",
        "regime": run.regime or "-",
    }


def _with_error(estimate: Estimate | None) -> str:
    return "-" if estimate is None else with_error(estimate.value, estimate.stderr)
