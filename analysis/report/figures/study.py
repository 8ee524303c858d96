"""Figures of a study: loss, entropy, temperature and free energy against the learning rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import altair as alt
import numpy as np
import pandas as pd

from analysis.free_energy import free_energy_curves
from analysis.report.figures.style import BELOW, HEIGHT, WIDTH, layered, log_scale, lr_axis, uniform_line
from analysis.report.figures.temperature import temperature_figure
from analysis.results import NORMAL_95, Baselines, Estimate, RunResult, StudyResult

#: Free-energy curves in one figure; more cannot be told apart.
MOST_CURVES = 12
#: A quantity whose largest value is more than this many times its smallest is drawn on a log axis.
WIDE = 30


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
    temperature = temperature_figure(result)
    if temperature is not None:
        figures["temperature"] = temperature
    if len(warm) >= 3:
        figures["free_energy"] = _free_energy(warm, result.axis_title)
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
    base = alt.Chart(data).encode(x=lr_axis(result.axis_title))
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


def _free_energy(frame: pd.DataFrame, axis: str) -> alt.LayerChart:
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
    x = lr_axis(f"{axis}, of each state")
    lines = alt.Chart(data).mark_line().encode(x=x, y=y, color=color)
    stars = alt.Chart(data[data["star"]]).mark_text(text="★", size=18).encode(x=x, y=y, color=color)
    chart: alt.LayerChart = layered(lines, stars).properties(
        width=WIDTH, height=HEIGHT, title="F: free energy, ★ at lr' = lr"
    )
    return chart
