"""The figure that a study is made for: every thermometer against the learning rate, or the temperature that was set."""

from __future__ import annotations

from collections.abc import Callable

import altair as alt
import numpy as np
import pandas as pd

from analysis.report.figures.style import BELOW, HEIGHT, WIDTH, layered, log_scale, lr_axis
from analysis.report.text import bounds
from analysis.results import OK, Estimate, RunResult, StudyResult

OURS, PAPERS, SET = "T = dU/dS", "paper's (consecutive iterates)", "set temperature"
VIRIAL, NOISE, EQUIPARTITION = "virial (no entropy)", "gradient noise (no entropy)", "equipartition (no entropy)"
#: Thermometers in the order of the legend: colour, shape, and how a run holds them.
_SHOWN: dict[str, tuple[str, str, Callable[[RunResult], Estimate | None]]] = {
    OURS: ("#1b9e77", "square", lambda run: run.temperature),
    VIRIAL: ("#7570b3", "triangle-up", lambda run: run.thermometers.virial),
    NOISE: ("#e6ab02", "cross", lambda run: run.thermometers.noise),
    PAPERS: (
        "#333", "circle", lambda run: None if run.paper.temperature is None else Estimate(run.paper.temperature),
    ),
    EQUIPARTITION: ("#d95f02", "diamond", lambda run: _from_losses(run)),
}  # fmt: skip


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
    y = alt.Y("temperature:Q", scale=log_scale(), title=title, axis=alt.Axis(format=".0e", tickCount=5))
    color = alt.Color(
        "estimate:N", title=None, legend=BELOW,
        scale=alt.Scale(domain=names, range=[_SHOWN[name][0] for name in names]),
    )  # fmt: skip
    shape = alt.Shape(
        "estimate:N", title=None, legend=BELOW,
        scale=alt.Scale(domain=names, range=[_SHOWN[name][1] for name in names]),
    )  # fmt: skip
    x = lr_axis(result.axis_title)
    ours = data[data["estimate"] == OURS]
    layers = [
        alt.Chart(ours).mark_area(opacity=0.2, color="#555").encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q"),
        alt.Chart(ours).mark_line(color=_SHOWN[OURS][0]).encode(x=x, y=y),
        alt.Chart(data).mark_rule().encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q", color=color),
        alt.Chart(data)
        .mark_point(size=60)
        .encode(
            x=x, y=y, shape=shape, color=color,
            # A tentative point is an empty one.
            fill=alt.condition("datum.status == 'ok'", color, alt.value("white")),
            tooltip=["run_id", "lr", "estimate", "temperature", "low", "high", "status"],
        ),
    ]  # fmt: skip
    return layered(*layers, *_law(result, x, y)).properties(width=WIDTH, height=HEIGHT, title=_heading(result))


def _points(result: StudyResult) -> pd.DataFrame:
    rows = []
    for name, (_, _, found_in) in _SHOWN.items():
        for run in result.runs:
            found = found_in(run)
            if found is not None and found.value > 0:
                low = found.value if found.lower is None else found.lower
                high = found.value if found.upper is None else found.upper
                rows.append({
                    "run_id": run.run_id, "lr": run.lr, "estimate": name, "temperature": found.value, "low": low,
                    "high": high, "status": run.status if name == OURS else OK,
                })  # fmt: skip
    data: pd.DataFrame = pd.DataFrame(rows)
    if len(data):
        # A log axis has no zero: bounds at or below zero are drawn down to the foot of the axis.
        data["low"] = data["low"].clip(lower=float(data["temperature"].min()) / 3)
    return data


def _law(result: StudyResult, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """The line of the power law, or that of the temperatures that were set."""
    if result.gibbs:
        known = sorted({run.lr for run in result.runs})
        line = pd.DataFrame({"lr": known, "temperature": known})
    elif result.power_law is None:
        return []
    else:
        law = result.power_law
        grid = np.geomspace(law.lr_min, law.lr_max, 50)
        line = pd.DataFrame({"lr": grid, "temperature": law.prefactor * grid**law.exponent})
    return [alt.Chart(line).mark_line(strokeDash=[6, 4], color="black").encode(x=x, y=y)]


def _heading(result: StudyResult) -> str:
    heading, law = f"T: temperature with {bounds(result)}", result.power_law
    if result.gibbs:
        return f"{heading}; dashed: the temperature that was set"
    return heading if law is None else f"{heading}; fit lr^({law.exponent:.2f} ± {law.exponent_stderr:.2f})"
