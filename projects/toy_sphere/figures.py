"""Figures of the sphere toy: its loss as a picture, and everything measured against the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from analysis.report import BELOW, HEIGHT, WIDTH, Chart, layered, log_scale, lr_axis
from analysis.testsystems import SphereToy, ToyLines
from projects.toy_sphere.decay import DecayStudy
from projects.toy_sphere.decay_figures import decay_figures
from projects.toy_sphere.picture import NAMES, PICTURED, sphere_picture
from projects.toy_sphere.study import ToyStudy

LINES = ToyLines()
_COLORS = alt.Scale(domain=list(NAMES.values()), range=["#d95f02", "#1b9e77"])
_SHAPES = alt.Scale(domain=list(NAMES.values()), range=["circle", "square"])


def toy_figures(studies: Sequence[ToyStudy], decays: Sequence[DecayStudy] = ()) -> dict[str, Chart]:
    """All figures by name."""
    frame = pd.DataFrame([row for study in studies for row in study.rows()])
    frame["toy"] = frame["toy"].map(NAMES)
    figures: dict[str, Chart] = {
        "sphere": alt.hconcat(*[sphere_picture(study) for study in studies]),
        "loss": _loss(frame),
        "snr": _against_lr(
            frame, "snr", "Signal-to-noise ratio", "SNR over the second half", [(LINES.snr_limit, "tan 30° = 0.577")]
        ),
        "norms": _norms(frame),
        "entropy": _against_lr(
            frame[frame["entropy"] > -12], "entropy", "Entropy S on the sphere (nats)", "S over the second half",
            [(LINES.uniform_entropy, "uniform: ln 4π")], log=False,
        ),
        "temperature": _temperature(frame),
        "snr_course": _course(studies, "snr_course", "Signal-to-noise ratio", "SNR(t)"),
        "loss_course": _course(studies, "loss_course", "Loss U", "U(t)"),
    }  # fmt: skip
    return figures | decay_figures(decays)


def _by_toy() -> dict[str, Any]:
    return {
        "color": alt.Color("toy:N", title=None, scale=_COLORS, legend=BELOW),
        "shape": alt.Shape("toy:N", title=None, scale=_SHAPES, legend=BELOW),
    }


def _against_lr(
    frame: pd.DataFrame, name: str, title: str, heading: str, levels: Sequence[tuple[float, str]], *, log: bool = True
) -> alt.LayerChart:
    """Points against the learning rate, with labelled horizontal lines at `levels`."""
    data = frame[frame[name].notna() & ((frame[name] > 0) | (not log))][["toy", "lr", name]]
    axis = alt.Axis(format=".0e", tickCount=6) if log else alt.Axis(tickCount=6)
    y = alt.Y(f"{name}:Q", scale=log_scale() if log else alt.Scale(zero=False), title=title, axis=axis)
    points = alt.Chart(data).mark_point(filled=True, size=35).encode(x=lr_axis(), y=y, **_by_toy())
    layers: list[Any] = [points]
    for value, label in levels:
        layers += _level(value, label, name, y)
    chart: alt.LayerChart = layered(*layers).properties(width=WIDTH, height=HEIGHT, title=heading)
    return chart


def _level(value: float, label: str, name: str, y: alt.Y) -> list[alt.Chart]:
    data = pd.DataFrame({name: [value]})
    rule = alt.Chart(data).mark_rule(strokeDash=[6, 4]).encode(y=y)
    text = alt.Chart(data).mark_text(align="left", baseline="bottom", x=6, dy=-2, text=label).encode(y=y)
    return [rule, text]


def _loss(frame: pd.DataFrame) -> alt.LayerChart:
    # What converged is zero to all digits: it is drawn at the foot of the axis.
    foot = 1e-8
    shown = frame.assign(loss=frame["loss"].clip(lower=foot))
    levels = [(LINES.uniform_loss, "uniform: 1/3")]
    chart = _against_lr(shown, "loss", "Loss U (below 1e-8 drawn there)", "U over the second half", levels)
    lr = np.geomspace(float(frame["lr"].min()), 1.0, 60)
    line = pd.DataFrame({"lr": lr, "loss": LINES.least_loss + LINES.loss_slope * lr})
    y = alt.Y("loss:Q", scale=log_scale())
    analytic = alt.Chart(line).mark_line(strokeDash=[2, 2], color="black").encode(x=lr_axis(), y=y)
    note = (
        alt.Chart(line.iloc[[12]])
        .mark_text(align="left", baseline="bottom", dy=-6, text="0.03846 + 0.037·lr")
        .encode(x=lr_axis(), y=y)
    )
    critical = pd.DataFrame({"lr": [LINES.critical_lr]})
    rule = alt.Chart(critical).mark_rule(strokeDash=[6, 4]).encode(x=lr_axis())
    label = alt.Chart(critical).mark_text(align="right", dx=-4, y=HEIGHT - 60, text="lr = 1").encode(x=lr_axis())
    layers = [*chart.layer, analytic, note, rule, label]
    return alt.LayerChart(layer=layers, width=WIDTH, height=HEIGHT, title="U over the second half")


def _norms(frame: pd.DataFrame) -> alt.LayerChart:
    kinds = {"full_norm": "full gradient", "minibatch_norm": "single samples, mean"}
    long = frame[["toy", "lr", *kinds]].rename(columns=kinds)
    long = long.melt(["toy", "lr"], var_name="gradient", value_name="norm")
    # Gradients that died out to nothing have no place on a log axis.
    long = long[long["norm"] > 1e-6]
    y = alt.Y("norm:Q", scale=log_scale(), title="Norm of the gradient", axis=alt.Axis(format=".0e", tickCount=6))
    shape = alt.Shape("gradient:N", title=None, scale=alt.Scale(range=["triangle-up", "circle"]), legend=BELOW)
    color = alt.Color("toy:N", title=None, scale=_COLORS, legend=BELOW)
    points = alt.Chart(long).mark_point(filled=True, size=35).encode(x=lr_axis(), y=y, shape=shape, color=color)
    level = _level(LINES.stochastic_norm, "0.3846", "norm", y)
    chart: alt.LayerChart = layered(points, *level).properties(
        width=WIDTH, height=HEIGHT, title="Gradient norms over the second half (above 1e-6)"
    )
    return chart


def _temperature(frame: pd.DataFrame) -> alt.LayerChart:
    data = frame[frame["temperature"].notna() & (frame["temperature"] > 0)].copy()
    title = "Temperature T (loss per nat)"
    y = alt.Y("temperature:Q", scale=log_scale(), title=title, axis=alt.Axis(format=".0e", tickCount=6))
    lr = np.geomspace(float(frame["lr"].min()), 1.0, 60)
    exact = pd.DataFrame({"lr": lr, "temperature": SphereToy.under_parameterised().temperature(lr)})
    line = alt.Chart(exact).mark_line(strokeDash=[6, 4], color="black").encode(x=lr_axis(), y=y)
    layers: list[Any] = [line]
    if len(data):
        foot = float(data["temperature"].min()) / 3
        data["low"], data["high"] = data["lower"].clip(lower=foot), data["upper"]
        columns = ["toy", "lr", "temperature", "low", "high"]
        base = alt.Chart(data[columns]).encode(x=lr_axis())
        layers.insert(0, base.mark_area(opacity=0.25, color="#555").encode(y=alt.Y("low:Q", title=title), y2="high:Q"))
        shape = alt.Shape("toy:N", scale=_SHAPES, legend=None)
        layers.append(base.mark_point(filled=True, size=35, color="#1b9e77").encode(y=y, shape=shape))
    chart: alt.LayerChart = layered(*layers).properties(
        width=WIDTH, height=HEIGHT, title="Under-parameterised: T = dU/dS, 95 % band (dashed: lr·c/(2 − lr·h))"
    )
    return chart


def _course(studies: Sequence[ToyStudy], name: str, title: str, heading: str) -> alt.LayerChart:
    rows = []
    for study in studies:
        for rate in PICTURED[:3]:
            i = int(np.argmin(np.abs(np.log(study.lr / rate))))
            values = getattr(study, name)[i]
            rows += [
                {"t": int(t), "value": float(v), "toy": NAMES[study.name], "lr": f"{rate:g}"}
                for t, v in zip(study.times, values, strict=True)
                if np.isfinite(v) and v > 1e-12
            ]
    data = pd.DataFrame(rows)
    x = alt.X("t:Q", scale=log_scale(), title="Step t", axis=alt.Axis(format="~s", tickCount=5))
    y = alt.Y("value:Q", scale=log_scale(), title=title, axis=alt.Axis(format=".0e", tickCount=6))
    dash = alt.StrokeDash("lr:N", title="learning rate", legend=BELOW, scale=alt.Scale(range=[[1, 0], [6, 3], [2, 2]]))
    color = alt.Color("toy:N", title=None, scale=_COLORS, legend=BELOW)
    lines = alt.Chart(data).mark_line(strokeWidth=1.6).encode(x=x, y=y, strokeDash=dash, color=color)
    chart: alt.LayerChart = layered(lines).properties(
        width=WIDTH, height=HEIGHT, title=f"{heading}, mean over the chains"
    )
    return chart
