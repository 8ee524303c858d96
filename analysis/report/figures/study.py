"""Figures of a study: loss, entropy, temperature and free energy against the learning rate."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from analysis.free_energy import free_energy_curves
from analysis.report.figures.hover import hovered, of_run, points
from analysis.report.figures.style import (
    BELOW,
    HEIGHT,
    HUES,
    SHAPES,
    WIDTH,
    by_lr,
    layered,
    level_line,
    log_scale,
    lr_axis,
)
from analysis.report.figures.temperature import temperature_figure
from analysis.results import Baselines, Estimate, StudyResult
from mlflow_thermo.schema import REGIMES

#: Free-energy curves in one figure; more cannot be told apart.
MOST_CURVES = 12
#: A quantity whose largest value is more than this many times its smallest is drawn on a log axis.
WIDE = 30
#: What grows by factors, whatever its range.
_COUNTED = ("n_eff",)


def study_figures(result: StudyResult) -> dict[str, alt.LayerChart]:
    """The figures of a study by name, the one that it is made for first; those without numbers are left out."""
    level = result.baselines or Baselines()
    drawn = {
        "loss": (
            "Training loss U (mean per sample)", "U: stationary training loss", "U", level.loss,
            points(result.runs, lambda run: run.loss),
        ),
        "entropy": (
            "Entropy S (nats)", f"S: entropy by {result.estimator.name}", "S", level.entropy,
            points(result.runs, lambda run: run.entropy),
        ),
        "paper_entropy": (
            "Entropy S (graph units)", "S: the paper's graph of consecutive iterates", "S", level.paper_entropy,
            points(result.runs, lambda run: None if run.paper.entropy is None else Estimate(run.paper.entropy)),
        ),
        "n_eff": (
            "Independent snapshots", "n_eff: independent snapshots of each run", "n_eff", None,
            points(result.runs, lambda run: None if run.sampling.n_eff is None else Estimate(run.sampling.n_eff)),
        ),
    }  # fmt: skip
    temperature = temperature_figure(result)
    figures = {} if temperature is None else {"temperature": temperature}
    figures |= {name: _against_lr(result, *rest) for name, rest in drawn.items() if len(rest[-1])}
    frame = result.to_frame()
    warm = frame[frame["temperature"] > 0]
    if len(warm) >= 3:
        figures["free_energy"] = _free_energy(warm, result)
    return figures


def _against_lr(
    result: StudyResult, title: str, heading: str, name: str, level: float | None, data: pd.DataFrame
) -> alt.LayerChart:
    """Points with bars against the learning rate, and the level of uniformly random weights."""
    least, most = float(data["value"].min()), float(data["value"].max())
    wide = least > 0 and (most > WIDE * least or name in _COUNTED)
    # A log axis has no zero: a bound at or below zero is drawn down to the foot of the axis.
    data["foot"] = data["low"].clip(lower=least / 3) if wide else data["low"]
    scale = log_scale() if wide else alt.Scale(zero=False, padding=10)
    axis = alt.Axis(format="~g", tickCount=6) if wide else alt.Axis(tickCount=6)
    whole = alt.Chart(data).encode(x=lr_axis(result.axis_title))
    regimes = [one for one in (*REGIMES, "-") if one in set(data["regime"])]
    dots = whole.mark_point(size=60, opacity=1).encode(
        y=alt.Y("value:Q", title=title, scale=scale, axis=axis),
        shape=alt.Shape("regime:N", title=None, legend=BELOW, scale=alt.Scale(domain=regimes, range=SHAPES)),
        color=(color := alt.Color("regime:N", title=None, legend=BELOW, scale=alt.Scale(domain=regimes, range=HUES))),
        fill=color,
        # A tentative point is an empty one.
        fillOpacity=alt.condition("datum.status == 'ok'", alt.value(1.0), alt.value(0.0)),
    )
    bars = whole.mark_rule().encode(y=alt.Y("foot:Q", title=title, scale=scale), y2="high:Q")
    layers = [*_branch_points(result), bars, hovered(dots, name, result.axis), *level_line(level, least, most)]
    chart: alt.LayerChart = layered(*layers).properties(width=WIDTH, height=HEIGHT, title=heading)
    return chart


def _branch_points(result: StudyResult) -> list[alt.Chart]:
    """The learning rates where the branches change, as bands of their 95 % intervals."""
    branches = result.checks.branches
    places = () if branches is None else (branches.to_stationary, branches.to_uniform)
    rows = [
        {"lr": place.lr, "low": place.lower, "high": place.upper, "change": f"{place.below} to {place.above}"}
        for place in places
        if place is not None
    ]
    if not rows:
        return []
    base = alt.Chart(pd.DataFrame(rows).drop_duplicates())
    x, high = alt.X("low:Q", scale=log_scale(), title="Learning rate"), alt.X2("high:Q")
    return [
        base.mark_rect(color="#888", opacity=0.25).encode(x=x, x2=high, tooltip=["change", "lr", "low", "high"]),
        base.mark_rule(color="#888", strokeDash=[2, 3]).encode(x=lr_axis()),
    ]


def _free_energy(frame: pd.DataFrame, result: StudyResult) -> alt.LayerChart:
    mean = frame.groupby("lr", as_index=False)[["loss", "entropy", "temperature"]].mean().sort_values("lr")
    curves = free_energy_curves(mean["loss"], mean["entropy"], mean["temperature"])
    spread = np.ptp(curves, axis=1, keepdims=True)
    # Each curve from 0 to 1: their temperatures differ by decades, and what matters is where the minimum is.
    shown = (curves - curves.min(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    lr = mean["lr"].to_numpy()
    drawn = np.unique(np.linspace(0, len(lr) - 1, min(len(lr), MOST_CURVES)).round().astype(int))
    runs = {run.lr: of_run(run) for run in result.runs}
    rows = [
        {
            "state": lr[j], "f": shown[i, j], "lr": lr[i], "star": bool(i == j), "value": curves[i, j],
            "T": mean["temperature"].iloc[i], "run": runs[lr[j]]["run"], "seed": runs[lr[j]]["seed"],
            "chains": runs[lr[j]]["chains"],
        }
        for i in drawn
        for j in range(len(lr))
    ]  # fmt: skip
    data = pd.DataFrame(rows)
    y = alt.Y("f:Q", title="F(lr'; T(lr)), each from its minimum 0 to 1")
    color = by_lr(f"T of {result.axis}", lr[drawn])["color"]
    x = alt.X(
        "state:Q", scale=log_scale(), title=f"{result.axis_title}, of each state",
        axis=alt.Axis(format=".3~g", tickCount=5),
    )  # fmt: skip
    tips = [
        "run", "seed", "chains", alt.Tooltip("state:Q", title=f"{result.axis}' of the state", format=".4~g"),
        alt.Tooltip("lr:Q", title=f"{result.axis} of T", format=".4~g"), alt.Tooltip("T:Q", format=".4~g"),
        alt.Tooltip("value:Q", title="F = U − T·S", format=".6~g"),
    ]  # fmt: skip
    whole = alt.Chart(data)
    lines = whole.mark_line().encode(x=x, y=y, color=color)
    # Seen by the pointer only.
    touched = whole.mark_point(size=60, opacity=0).encode(x=x, y=y, tooltip=tips)
    stars = (
        whole.transform_filter("datum.star").mark_text(text="★", size=18).encode(x=x, y=y, color=color, tooltip=tips)
    )
    chart: alt.LayerChart = layered(lines, touched, stars).properties(
        width=WIDTH, height=HEIGHT, title=f"F: free energy, ★ at {result.axis}' = {result.axis}"
    )
    return chart
