"""Figures along the training: loss, entropy, temperature, gradient norms and signal-to-noise ratio against the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import altair as alt
import numpy as np
import pandas as pd

from analysis.report.figures.hover import hovered, of_run
from analysis.report.figures.style import (
    BELOW,
    HEIGHT,
    INK,
    WIDTH,
    Chart,
    by_lr,
    layered,
    level_line,
    log_scale,
)
from analysis.results import NORMAL_95, Baselines, Course, FloatArray, GradientCourse, RunResult, StudyResult
from mlflow_thermo.schema import CONVERGING, REGIMES

#: Learning rates in one figure; more lines cannot be told apart.
MOST_LINES = 8
#: Points of one line; more cannot be told apart, and would make a large page.
MOST_POINTS = 100
_DASHES = [[1, 0], [6, 3], [2, 2], [8, 2, 2, 2]]


@dataclass(frozen=True)
class _Line:
    """What is drawn against the step: a column, its error (one name) or interval (two), and the words around it."""

    value: str
    title: str
    heading: str
    error: str | tuple[str, str] | None = None
    log: bool = False
    level: float | None = None


def course_figures(result: StudyResult) -> dict[str, Chart]:
    """The figures by name; those whose numbers do not exist are left out."""
    followed = [run for run in result.runs if run.course is not None]
    logged = [run for run in result.runs if run.gradients is not None]
    shown, falling = _shown(followed), _shown([run for run in followed if run.regime == CONVERGING])
    signal = _shown(logged)
    nats, graph, slope = "Entropy S (nats)", "Entropy S (graph units)", "T = dU/dS (loss per nat)"
    level = result.baselines or Baselines()
    courses = {
        "loss_course": _Line(
            "loss", "Loss U (mean per sample)", "U(t) of bursts of iterates", "loss_stderr", True, level.loss
        ),
        "entropy_course": _Line(
            "entropy", nats, "S(t), shrunk Gaussian of a burst", "entropy_stderr", level=level.course_entropy
        ),
        "paper_entropy_course": _Line(
            "paper_entropy", graph, "S(t), the paper's graph of a burst", level=level.course_paper_entropy
        ),
    }
    cooling = {
        "temperature_course": _Line("temperature", slope, "T(t) while converging", ("lower", "upper"), True),
        "paper_temperature_course": _Line(
            "paper_temperature", "T = dU/dS (loss per graph unit)", "T(t) by the paper's graph", log=True
        ),
    }
    snr = _Line("snr", "Signal-to-noise ratio", "SNR(t) of the minibatch gradient", "snr_stderr", True)
    figures: dict[str, Chart | None] = {}
    for runs, lines in ((shown, courses), (falling, cooling)):
        figures |= {name: _drawn(_frame(runs, line, _bursts), line, result.axis) for name, line in lines.items()}
    figures["signal_course"] = _drawn(_frame(signal, snr, _log_points), snr, result.axis)
    figures["gradient_course"] = _norms(signal, result.axis)
    figures["noise_law"] = _noise_law(signal, result.axis)
    return {name: chart for name, chart in figures.items() if chart is not None}


def _bursts(run: RunResult) -> Course | None:
    return run.course


def _log_points(run: RunResult) -> GradientCourse | None:
    return run.gradients


def _shown(runs: Sequence[RunResult], most: int = MOST_LINES) -> list[RunResult]:
    """One run, of the first seed, for each of at most `most` learning rates spread over all."""
    by_lr: dict[float, RunResult] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        by_lr.setdefault(run.lr, run)
    lrs = sorted(by_lr)
    chosen = np.linspace(0, len(lrs) - 1, min(len(lrs), most)).round().astype(int)
    return [by_lr[lrs[i]] for i in np.unique(chosen)]


def _column(columns: Course | GradientCourse, name: str) -> FloatArray:
    return np.asarray(getattr(columns, name), dtype=float)


def _frame(
    runs: Sequence[RunResult], line: _Line, columns: Callable[[RunResult], Course | GradientCourse | None]
) -> pd.DataFrame:
    """Step, value and interval of the runs below each other, at most `MOST_POINTS` of each."""
    parts = []
    for run in runs:
        found = columns(run)
        if found is None:
            continue
        value = _column(found, line.value)
        if line.error is None:
            low = high = value
        elif isinstance(line.error, str):
            half = NORMAL_95 * np.nan_to_num(_column(found, line.error))
            low, high = value - half, value + half
        else:
            low, high = (_column(found, name) for name in line.error)
        steps = np.asarray(found.steps)
        known = np.flatnonzero(np.isfinite(value) & (steps > 0) & ((value > 0) | (not line.log)))
        if len(known):
            known = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), MOST_POINTS)).round().astype(int))]
            part = pd.DataFrame({"step": steps[known], "value": value[known], "low": low[known], "high": high[known]})
            parts.append(part.assign(**of_run(run)))
    joined: pd.DataFrame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return joined


def _norms(runs: Sequence[RunResult], axis: str) -> Chart | None:
    """Norms of the full and of the minibatch gradients."""
    full = _Line("full_norm", "Norm of the gradient", "Gradient norms", log=True)
    mini = _Line("minibatch_norm", "", "", "minibatch_norm_stderr", True)
    named = [("full gradient", full), ("minibatch gradients, mean norm", mini)]
    parts = [_frame(runs, line, _log_points).assign(gradient=name) for name, line in named]
    joined = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    return _drawn(joined, replace(full, value="norm", error=mini.error), axis, by="gradient")


def _drawn(data: pd.DataFrame, line: _Line, axis: str, by: str = "regime") -> Chart | None:
    """Lines against the step with their errors, coloured by learning rate and dashed by regime, or by another field."""
    if data.empty:
        return None
    least, most = float(data["value"].min()), float(data["value"].max())
    # A log axis has no zero: a bound at or below zero is drawn down to the foot of the axis.
    data["foot"] = (data["low"].clip(lower=least / 3) if line.log else data["low"]).fillna(data["value"])
    data["head"] = data["high"].fillna(data["value"])
    x = alt.X("step:Q", scale=log_scale(), title="Step t", axis=alt.Axis(format="~s", tickCount=5))
    scale = log_scale() if line.log else alt.Scale(zero=False)
    ticks = alt.Axis(format=".0e" if most < 0.01 else "~g", tickCount=6) if line.log else alt.Axis(tickCount=6)
    y = alt.Y("value:Q", scale=scale, title=line.title, axis=ticks)
    look = by_lr(axis, data["lr"])
    kinds = [one for one in (*REGIMES, "-") if one in set(data["regime"])] if by == "regime" else sorted(set(data[by]))
    dash = alt.StrokeDash(
        f"{by}:N",
        title=None,
        legend=BELOW if len(kinds) > 1 else None,
        scale=alt.Scale(domain=kinds, range=_DASHES[: len(kinds)]),
    )
    whole = alt.Chart(data).encode(x=x, color=look["color"])
    layers: list[alt.Chart] = []
    if line.error is not None:
        layers.append(whole.mark_rule(opacity=0.7).encode(y=alt.Y("foot:Q", title=line.title), y2="head:Q"))
    layers.append(whole.mark_line(strokeWidth=1.6).encode(y=y, strokeDash=dash))
    # Points in a layer of their own: with them the legend of the dashes would show dots.
    dots = whole.mark_point(size=26, filled=True, opacity=1).encode(y=y, **look)
    more = [alt.Tooltip("step:Q", format=","), *([] if by == "regime" else [alt.Tooltip(f"{by}:N")])]
    layers.append(hovered(dots, line.value.replace("_", " "), axis, more))
    layers += level_line(line.level, least, most)
    chart: alt.LayerChart = layered(*layers).properties(width=WIDTH, height=HEIGHT, title=line.heading)
    return chart


def _noise_law(runs: Sequence[RunResult], axis: str) -> Chart | None:
    """E|g_B| against |∇L|, with the diagonal on which both are equal."""
    norm = _Line("minibatch_norm", "Mean norm of minibatch gradients", "", "minibatch_norm_stderr", True)
    data, full = (_frame(runs, line, _log_points) for line in (norm, _Line("full_norm", "", "", log=True)))
    if data.empty or full.empty:
        return None
    data = data.merge(full[["run", "step", "value"]].rename(columns={"value": "full"}), on=["run", "step"])
    data = data[data["step"] >= data.groupby("run")["step"].transform("max") / 10].copy()
    if data.empty:
        return None
    data["foot"] = data["low"].clip(lower=float(data["value"].min()) / 3)
    ticks = alt.Axis(format=".0e", tickCount=5)
    x = alt.X("full:Q", scale=log_scale(), title="Norm of the full gradient", axis=ticks)
    y = alt.Y("value:Q", scale=log_scale(), title=norm.title, axis=ticks)
    look = by_lr(axis, data["lr"])
    whole = alt.Chart(data).encode(x=x, color=look["color"])
    bars = whole.mark_rule(opacity=0.7).encode(y=alt.Y("foot:Q", title=norm.title), y2="high:Q")
    dots = whole.mark_point(size=26, opacity=0.9).encode(y=y, **look)
    more = [alt.Tooltip("step:Q", format=","), alt.Tooltip("full:Q", title="|∇L|", format=".4~g")]
    ends = [float(data["full"].min()), float(data["full"].max())]
    line = alt.Chart(pd.DataFrame({"full": ends, "value": ends})).mark_line(strokeDash=[4, 4], color=INK)
    chart: alt.LayerChart = layered(line.encode(x=x, y=y), bars, hovered(dots, "E|g|", axis, more)).properties(
        width=WIDTH, height=HEIGHT, title="Minibatch against full gradient, last decade of steps (dashed: equal)"
    )
    return chart
