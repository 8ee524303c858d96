"""The figure that a study is made for: every thermometer against the learning rate, or the temperature that was set."""

from __future__ import annotations

from collections.abc import Callable

import altair as alt
import numpy as np
import pandas as pd

from analysis.report.figures.hover import hovered, points
from analysis.report.figures.style import HEIGHT, INK, WIDTH, layered, log_scale, lr_axis
from analysis.report.text import bounds
from analysis.results import OK, Estimate, RunResult, StudyResult

OURS, PAPERS = "T = dU/dS", "paper's (consecutive iterates)"
VIRIAL, NOISE, EQUIPARTITION = "virial (no entropy)", "gradient noise (no entropy)", "equipartition (no entropy)"
#: Thermometers in the order of the legend: colour, shape, and how a run holds them.
_SHOWN: dict[str, tuple[str, str, Callable[[RunResult], Estimate | None]]] = {
    OURS: ("#1b9e77", "square", lambda run: run.temperature),
    VIRIAL: ("#7570b3", "triangle-up", lambda run: run.thermometers.virial),
    NOISE: ("#b8860b", "cross", lambda run: run.thermometers.noise),
    PAPERS: (
        INK, "circle", lambda run: None if run.paper.temperature is None else Estimate(run.paper.temperature),
    ),
    EQUIPARTITION: ("#d95f02", "diamond", lambda run: _from_losses(run)),
}  # fmt: skip
#: Names of thermometers are long.
_LEGEND = alt.Legend(orient="bottom", columns=alt.ExprRef("containerSize()[0] < 420 ? 1 : 2"))


def _from_losses(run: RunResult) -> Estimate | None:
    """Equipartition from losses alone, where gradients say nothing better."""
    found = run.equipartition
    if run.thermometers.virial is not None or found is None or found.temperature is None:
        return None
    return Estimate(found.temperature, found.stderr)


def temperature_figure(result: StudyResult) -> alt.LayerChart | None:
    """Temperatures with their intervals; None where no run has one."""
    data = _points(result)
    if not len(data) or OURS not in set(data["estimate"]):
        return None
    names = [name for name in _SHOWN if name in set(data["estimate"])]
    title = "Temperature T (loss per nat)"
    y = alt.Y("value:Q", scale=log_scale(), title=title, axis=alt.Axis(format=".0e", tickCount=5))
    color = alt.Color(
        "estimate:N", title=None, legend=_LEGEND,
        scale=alt.Scale(domain=names, range=[_SHOWN[name][0] for name in names]),
    )  # fmt: skip
    shape = alt.Shape(
        "estimate:N", title=None, legend=_LEGEND,
        scale=alt.Scale(domain=names, range=[_SHOWN[name][1] for name in names]),
    )  # fmt: skip
    x = lr_axis(result.axis_title)
    whole = alt.Chart(data)
    ours = whole.transform_filter(alt.datum.estimate == OURS)
    low, mean = alt.Y("foot:Q", title=title), alt.Y("mean(value):Q", scale=log_scale(), title=title)
    dots = whole.mark_point(size=60, opacity=1).encode(
        x=x, y=y, shape=shape, color=color, fill=color,
        # A tentative point is an empty one.
        fillOpacity=alt.condition("datum.status == 'ok'", alt.value(1.0), alt.value(0.0)),
    )  # fmt: skip
    layers = [
        ours.mark_area(opacity=0.15, color=INK).encode(x=x, y=alt.Y("min(foot):Q", title=title), y2="max(high):Q"),
        ours.mark_line(color=_SHOWN[OURS][0], strokeWidth=2.5).encode(x=x, y=mean),
        whole.mark_rule(strokeWidth=1.5).encode(x=x, y=low, y2="high:Q", color=color),
        hovered(dots, "T", result.axis, [alt.Tooltip("estimate:N")]),
    ]
    return layered(*layers, *_law(result, x, y)).properties(width=WIDTH, height=HEIGHT, title=_heading(result))


def _points(result: StudyResult) -> pd.DataFrame:
    parts = [points(result.runs, found_in).assign(estimate=name) for name, (_, _, found_in) in _SHOWN.items()]
    # What is drawn last lies on top.
    parts.reverse()
    data: pd.DataFrame = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    if len(data):
        data = data[data["value"] > 0].copy()
        # What a run's status is about is dU/dS; the other thermometers take no part in it.
        data.loc[data["estimate"] != OURS, "status"] = OK
        # A log axis has no zero: bounds at or below zero are drawn down to the foot of the axis.
        data["foot"] = data["low"].clip(lower=float(data["value"].min()) / 3)
    return data


def _law(result: StudyResult, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """The line of the power law, or that of the temperatures that were set."""
    if result.gibbs:
        known = sorted({run.lr for run in result.runs})
        line = pd.DataFrame({"lr": known, "value": known})
    elif result.power_law is None:
        return []
    else:
        law = result.power_law
        grid = np.geomspace(law.lr_min, law.lr_max, 50)
        line = pd.DataFrame({"lr": grid, "value": law.prefactor * grid**law.exponent})
    return [alt.Chart(line).mark_line(strokeDash=[6, 4], color=INK).encode(x=x, y=y)]


def _heading(result: StudyResult) -> str:
    heading, law = f"T: temperature with {bounds(result)}", result.power_law
    if result.gibbs:
        return f"{heading}; dashed: the temperature that was set"
    return heading if law is None else f"{heading}; dashed: one law lr^({law.exponent:.2f} ± {law.exponent_stderr:.2f})"
