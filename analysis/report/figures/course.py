"""Figures along the training: loss, entropy, temperature, gradient norms and signal-to-noise ratio against the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import altair as alt
import numpy as np
import pandas as pd

from analysis.report.figures.style import BELOW, HEIGHT, WIDTH, Chart, layered, log_scale, uniform_line
from analysis.results import Baselines, Course, GradientCourse, RunResult, StudyResult
from mlflow_thermo.schema import CONVERGING, REGIMES

#: Learning rates in one figure; more lines cannot be told apart.
MOST_LINES = 8
_DASHES = [[1, 0], [6, 3], [2, 2], [8, 2, 2, 2]]


def course_figures(result: StudyResult) -> dict[str, Chart]:
    """The figures by name; those whose numbers do not exist are left out."""
    followed = [run for run in result.runs if run.course is not None]
    logged = [run for run in result.runs if run.gradients is not None]
    course = _frame(_shown(followed), lambda run: run.course)
    cold = _frame(_shown([run for run in followed if run.regime == CONVERGING]), lambda run: run.course)
    signal = _frame(_shown(logged), lambda run: run.gradients)
    nats, graph, slope = "Entropy S (nats)", "Entropy S (graph units)", "T = dU/dS (loss per nat)"
    bands, ratio = ("lower", "upper"), "Signal-to-noise ratio"
    level = result.baselines or Baselines()
    figures = {
        "loss_course": _lines(
            course, "loss", "Loss U (mean per sample)", "U(t) of bursts of iterates", log=True, level=level.loss
        ),
        "entropy_course": _lines(
            course, "entropy", nats, "S(t), shrunk Gaussian of a burst", level=level.course_entropy
        ),
        "paper_entropy_course": _lines(
            course, "paper_entropy", graph, "S(t), the paper's graph of a burst", level=level.course_paper_entropy
        ),
        "temperature_course": _lines(cold, "temperature", slope, "T(t) while converging", log=True, band=bands),
        "paper_temperature_course": _lines(
            cold, "paper_temperature", "T = dU/dS (loss per graph unit)", "T(t) by the paper's graph", log=True
        ),
        "signal_course": _lines(signal, "snr", ratio, "SNR(t) of the minibatch gradient", log=True),
        "gradient_course": _lines(
            _norms(signal), "norm", "Norm of the gradient", "Gradient norms", log=True, by="gradient"
        ),
        "noise_law": _noise_law(logged),
    }
    return {name: chart for name, chart in figures.items() if chart is not None}


def _shown(runs: Sequence[RunResult], most: int = MOST_LINES) -> list[RunResult]:
    """One run, of the first seed, for each of at most `most` learning rates spread over all."""
    by_lr: dict[float, RunResult] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        by_lr.setdefault(run.lr, run)
    lrs = sorted(by_lr)
    chosen = np.linspace(0, len(lrs) - 1, min(len(lrs), most)).round().astype(int)
    return [by_lr[lrs[i]] for i in np.unique(chosen)]


def _frame(runs: Sequence[RunResult], columns: Callable[[RunResult], Course | GradientCourse | None]) -> pd.DataFrame:
    """The `columns` of all runs below each other."""
    parts = [
        pd.DataFrame(vars(columns(run))).assign(own=f"{run.lr:.2g}", lr=run.lr, regime=run.regime or "-")
        for run in runs
    ]
    joined: pd.DataFrame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return joined


def _norms(frame: pd.DataFrame) -> pd.DataFrame:
    if frame.empty:
        return frame
    names = {"full_norm": "full gradient", "minibatch_norm": "minibatch gradients, mean norm"}
    kept = frame[["steps", "own", "lr", "regime", *names]]
    long: pd.DataFrame = kept.rename(columns=names).melt(
        ["steps", "own", "lr", "regime"], var_name="gradient", value_name="norm"
    )
    return long


def _lines(
    frame: pd.DataFrame,
    name: str,
    title: str,
    heading: str,
    *,
    log: bool = False,
    band: tuple[str, str] | None = None,
    by: str = "regime",
    level: float | None = None,
) -> Chart | None:
    """Lines of `name` against the step, coloured by learning rate and dashed by `by`."""
    if frame.empty or name not in frame:
        return None
    data = frame[frame[name].notna() & (frame["steps"] > 0)].copy()
    if log:
        data = data[data[name].astype(float) > 0]
    if data.empty:
        return None
    # Only what is drawn: NaN in other columns would not be valid JSON.
    data = data[["steps", name, "own", "lr", *dict.fromkeys([by]), *(band or ())]]
    data[name] = data[name].astype(float)
    x = alt.X("steps:Q", scale=log_scale(), title="Step t", axis=alt.Axis(format="~s", tickCount=5))
    scale = log_scale() if log else alt.Scale(zero=False)
    axis = alt.Axis(format=".0e", tickCount=6) if log else alt.Axis(tickCount=6)
    y = alt.Y(f"{name}:Q", scale=scale, title=title, axis=axis)
    viridis = alt.Scale(scheme="viridis", domain=data.sort_values("lr")["own"].unique().tolist())
    color = alt.Color(
        "own:O", title="learning rate", sort=alt.EncodingSortField("lr"), scale=viridis,
        legend=alt.Legend(orient="bottom", columns=4, symbolOpacity=1),
    )  # fmt: skip
    domain = [one for one in (*REGIMES, "-") if one in set(data["regime"])] if by == "regime" else sorted(set(data[by]))
    dash = alt.StrokeDash(
        f"{by}:N", title=None, legend=BELOW, scale=alt.Scale(domain=domain, range=_DASHES[: len(domain)])
    )
    layers = []
    if band is not None:
        low, high = band
        # A log axis has no zero: a bound at or below zero is drawn down to the foot of the axis.
        foot = float(data[name].min()) / 3
        data["low"] = data[low].astype(float).clip(lower=foot).fillna(data[name])
        data["high"] = data[high].astype(float).fillna(data[name])
        data = data.drop(columns=[low, high])
        layers.append(
            alt.Chart(data).mark_area(opacity=0.2).encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q", color=color)
        )
    base = alt.Chart(data).encode(x=x, y=y, color=color)
    # Points in a layer of their own: with them the legend of the dashes would show dots.
    layers.append(base.mark_line(strokeWidth=1.6).encode(strokeDash=dash))
    layers.append(base.mark_point(size=14, filled=True).encode(tooltip=["own", "steps", name, by]))
    layers += uniform_line(level)
    chart: alt.LayerChart = layered(*layers).properties(width=WIDTH, height=HEIGHT, title=heading)
    return chart


def _noise_law(runs: Sequence[RunResult]) -> Chart | None:
    """E|g_B| against |∇L| of all runs, with the diagonal on which both are equal."""
    frame = _frame(runs, lambda run: run.gradients)
    if frame.empty:
        return None
    data = frame[(frame["full_norm"].astype(float) > 0) & (frame["minibatch_norm"].astype(float) > 0)]
    if data.empty:
        return None
    last = data.groupby("own")["steps"].transform("max")
    columns = ["steps", "full_norm", "minibatch_norm", "own", "regime"]
    data = data.loc[data["steps"] >= last / 10, columns]
    x = alt.X(
        "full_norm:Q", scale=log_scale(), title="Norm of the full gradient", axis=alt.Axis(format=".0e", tickCount=5)
    )
    y = alt.Y(
        "minibatch_norm:Q",
        scale=log_scale(),
        title="Mean norm of minibatch gradients",
        axis=alt.Axis(format=".0e", tickCount=5),
    )
    points = (
        alt.Chart(data)
        .mark_point(size=22, opacity=0.7)
        .encode(
            x=x,
            y=y,
            shape=alt.Shape("regime:N", legend=BELOW),
            color=alt.Color("regime:N", scale=alt.Scale(scheme="dark2"), legend=BELOW),
            tooltip=["own", "steps", "full_norm", "minibatch_norm", "regime"],
        )
    )
    ends = [float(data["full_norm"].min()), float(data["full_norm"].max())]
    line = pd.DataFrame({"full_norm": ends, "minibatch_norm": ends})
    diagonal = alt.Chart(line).mark_line(strokeDash=[4, 4], color="#555").encode(x=x, y=y)
    heading = "Minibatch against full gradient, last decade of steps (dashed: equal)"
    chart: alt.LayerChart = layered(diagonal, points).properties(width=WIDTH, height=HEIGHT, title=heading)
    return chart
