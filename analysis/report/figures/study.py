"""Figures of a study: loss, entropy, temperature and free energy against the learning rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import altair as alt
import numpy as np
import pandas as pd

from analysis.free_energy import free_energy_curves
from analysis.report.figures.style import BELOW, HEIGHT, WIDTH, layered, log_scale, lr_axis, uniform_line
from analysis.report.text import bounds
from analysis.results import NORMAL_95, Baselines, Estimate, RunResult, StudyResult

#: Free-energy curves in one figure; more cannot be told apart.
MOST_CURVES = 12
#: A quantity whose largest value is more than this many times its smallest is drawn on a log axis.
WIDE = 30
OURS, PAPERS, EQUIPARTITION = "this analysis", "paper's (consecutive iterates)", "equipartition (no entropy)"
ESTIMATES = [OURS, PAPERS, EQUIPARTITION]


def study_figures(result: StudyResult) -> dict[str, alt.LayerChart]:
    """The figures of a study by name; those whose numbers do not exist are left out."""
    level = result.baselines or Baselines()
    drawn = {
        "loss": (
            "Training loss U (mean per sample)", "U: stationary training loss", level.loss,
            _bars(result.runs, lambda run: run.loss),
        ),
        "entropy": (
            "Entropy S (nats)", f"S: entropy by {result.estimator.name}", level.entropy,
            _bars(result.runs, lambda run: run.entropy),
        ),
        "paper_entropy": (
            "Entropy S (graph units)", "S: the paper's graph of consecutive iterates", level.paper_entropy,
            _bars(result.runs, lambda run: None if run.paper.entropy is None else Estimate(run.paper.entropy)),
        ),
    }  # fmt: skip
    figures = {name: _points(result, *rest) for name, rest in drawn.items() if len(rest[-1])}
    frame = result.to_frame()
    warm = frame[frame["temperature"] > 0]
    if len(warm):
        figures["temperature"] = _temperature(warm, result)
    if len(warm) >= 3:
        figures["free_energy"] = _free_energy(warm)
    return figures


def _bars(runs: Sequence[RunResult], number: Callable[[RunResult], Estimate | None]) -> pd.DataFrame:
    """`number` of each run that has it, with the ends of its interval."""
    rows = []
    for run in runs:
        found = number(run)
        if found is not None:
            low, high = ends(found)
            rows.append({
                "run_id": run.run_id, "lr": run.lr, "seed": run.seed, "regime": run.regime, "status": run.status,
                "value": found.value, "low": low, "high": high,
            })  # fmt: skip
    frame: pd.DataFrame = pd.DataFrame(rows)
    return frame


def ends(estimate: Estimate) -> tuple[float, float]:
    """Both ends of the 95 % interval, normal where only a standard error is known; the value itself without one."""
    error = NORMAL_95 * (estimate.stderr or 0.0)
    low, high = estimate.lower, estimate.upper
    return estimate.value - error if low is None else low, estimate.value + error if high is None else high


def _points(result: StudyResult, title: str, heading: str, level: float | None, data: pd.DataFrame) -> alt.LayerChart:
    """Points with bars against the learning rate, and the level of uniformly random weights."""
    base = alt.Chart(data).encode(x=lr_axis())
    least, most = float(data["value"].min()), float(data["value"].max())
    wide = least > 0 and most > WIDE * least
    if wide:
        # A log axis has no zero: a bound at or below zero is drawn down to the foot of the axis.
        data["low"] = data["low"].clip(lower=least / 3)
    scale = log_scale() if wide else alt.Scale(zero=False)
    axis = alt.Axis(format="~g", tickCount=6) if wide else alt.Axis(tickCount=6)
    dots = base.mark_point(filled=True, size=70).encode(
        y=alt.Y("value:Q", title=title, scale=scale, axis=axis),
        shape=alt.Shape("regime:N", title="regime", legend=BELOW),
        color=alt.Color("regime:N", title="regime", scale=alt.Scale(scheme="dark2"), legend=BELOW),
        tooltip=["run_id", "lr", "seed", "value", "low", "high", "status"],
    )
    bars = base.mark_rule().encode(y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q")
    layers = [*_branch_points(result), bars, dots, *uniform_line(level)]
    chart: alt.LayerChart = layered(*layers).properties(width=WIDTH, height=HEIGHT, title=heading)
    return chart


def _branch_points(result: StudyResult) -> list[alt.Chart]:
    """The learning rates where the branches change, as bands of their 95 % intervals."""
    branches = result.checks.branches
    places = () if branches is None else (branches.to_stationary, branches.to_uniform)
    rows = [{"lr": place.lr, "low": place.lower, "high": place.upper} for place in places if place is not None]
    if not rows:
        return []
    base = alt.Chart(pd.DataFrame(rows).drop_duplicates())
    x, high = alt.X("low:Q", scale=log_scale(), title="Learning rate"), alt.X2("high:Q")
    return [
        base.mark_rect(color="#999", opacity=0.25).encode(x=x, x2=high),
        base.mark_rule(color="#777", strokeDash=[2, 3]).encode(x=lr_axis()),
    ]


def _temperature(frame: pd.DataFrame, result: StudyResult) -> alt.LayerChart:
    columns = [
        "temperature",
        "temperature_lower",
        "temperature_upper",
        "paper_temperature",
        "equipartition_temperature",
    ]
    data = frame[["run_id", "lr", "status", *columns]].copy()
    # A log axis has no zero: bounds at or below zero are drawn down to the foot of the axis.
    foot = float(data["temperature"].min()) / 10
    data["low"] = data["temperature_lower"].clip(lower=foot).fillna(data["temperature"])
    data["high"] = data["temperature_upper"].fillna(data["temperature"])
    data["estimate"] = OURS
    y = alt.Y(
        "temperature:Q",
        scale=log_scale(),
        title="Temperature T (loss per nat)",
        axis=alt.Axis(format=".0e", tickCount=5),
    )
    base = alt.Chart(data).encode(x=lr_axis())
    # One domain for all, or Vega draws a legend for each.
    shape = alt.Shape(
        "estimate:N", title=None, legend=BELOW, scale=alt.Scale(domain=ESTIMATES, range=["square", "circle", "diamond"])
    )
    color = alt.Color(
        "estimate:N", title=None, legend=BELOW, scale=alt.Scale(domain=ESTIMATES, range=["#1b9e77", "#333", "#d95f02"])
    )
    layers = [
        base.mark_area(opacity=0.2, color="#555").encode(
            y=alt.Y("low:Q", title="Temperature T (loss per nat)"), y2="high:Q"
        ),
        base.mark_line(color="#1b9e77").encode(y=y),
        base.mark_point(filled=True, size=70).encode(
            y=y,
            shape=shape,
            color=color,
            tooltip=["run_id", "lr", "temperature", "temperature_lower", "temperature_upper", "status"],
        ),
    ]
    for column, name in (("paper_temperature", PAPERS), ("equipartition_temperature", EQUIPARTITION)):
        other = data[data[column] > 0].copy()
        if len(other):
            other["temperature"], other["estimate"] = other[column], name
            layers.append(
                alt.Chart(other).mark_point(filled=True, size=60).encode(x=lr_axis(), y=y, shape=shape, color=color)
            )
    law = result.power_law
    heading = f"T: temperature with {bounds(result)}"
    if law is not None:
        grid = np.geomspace(law.lr_min, law.lr_max, 50)
        line = pd.DataFrame({"lr": grid, "temperature": law.prefactor * grid**law.exponent})
        layers.append(alt.Chart(line).mark_line(strokeDash=[6, 4], color="black").encode(x=lr_axis(), y=y))
        heading += f"; fit lr^({law.exponent:.2f} ± {law.exponent_stderr:.2f})"
    chart: alt.LayerChart = layered(*layers).properties(width=WIDTH, height=HEIGHT, title=heading)
    return chart


def _free_energy(frame: pd.DataFrame) -> alt.LayerChart:
    mean = frame.groupby("lr", as_index=False)[["loss", "entropy", "temperature"]].mean().sort_values("lr")
    curves = free_energy_curves(mean["loss"], mean["entropy"], mean["temperature"])
    spread = np.ptp(curves, axis=1, keepdims=True)
    # Each curve from 0 to 1: their temperatures differ by decades, and what matters is where the minimum is.
    shown = (curves - curves.min(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    lr = mean["lr"].to_numpy()
    drawn = np.unique(np.linspace(0, len(lr) - 1, min(len(lr), MOST_CURVES)).round().astype(int))
    rows = [
        {"lr": lr[j], "f": shown[i, j], "own": f"{lr[i]:.2g}", "order": lr[i], "star": i == j}
        for i in drawn
        for j in range(len(lr))
    ]
    data = pd.DataFrame(rows)
    y = alt.Y("f:Q", title="F(lr'; T(lr)), each from its minimum 0 to 1")
    color = alt.Color(
        "own:O", title="T of lr", sort=alt.EncodingSortField("order"), scale=alt.Scale(scheme="viridis"), legend=BELOW
    )
    x = lr_axis("Learning rate lr'")
    lines = alt.Chart(data).mark_line().encode(x=x, y=y, color=color)
    stars = alt.Chart(data[data["star"]]).mark_text(text="★", size=18).encode(x=x, y=y, color=color)
    chart: alt.LayerChart = layered(lines, stars).properties(
        width=WIDTH, height=HEIGHT, title="F: free energy, ★ at lr' = lr"
    )
    return chart
