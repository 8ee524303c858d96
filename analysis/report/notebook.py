"""A study in a notebook: one figure by its name, and the few lines that a cell shows."""

from __future__ import annotations

from base64 import b64encode
from importlib.resources import files
from typing import TYPE_CHECKING

from analysis.report.text import interval, shown, summary
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
    """The study in one sentence, its temperatures as an inline picture where there are any, and its runs as a table."""
    from jinja2 import Environment

    from analysis.report.figures import study_figures, to_png

    chart = study_figures(result).get("temperature")
    template = files("analysis.report").joinpath("templates/notebook.html").read_text(encoding="utf-8")
    return (
        Environment(autoescape=True)
        .from_string(template)
        .render(
            summary=summary(result),
            picture=None if chart is None else b64encode(to_png(chart)).decode("ascii"),
            rows=[_row(run, result.axis) for run in result.runs],
        )
    )


def _row(run: RunResult, axis: str) -> dict[str, str]:
    return {
        axis: f"{run.lr:.3g}",
        "seed": str(run.seed),
        "U": _with_error(run.loss),
        "S (nats)": _with_error(run.entropy),
        "T (loss per nat)": "-" if run.temperature is None else shown(run.temperature.value),
        "T from … to": interval(run.temperature),
        "n_eff": shown(run.sampling.n_eff, 3),
        "regime": run.regime or "-",
        "status": run.status,
    }


def _with_error(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return (
        shown(estimate.value) if estimate.stderr is None else f"{shown(estimate.value)} ± {shown(estimate.stderr, 2)}"
    )
