"""Figures of the weight-decay studies: radius and entropy against weight decay."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from analysis.report import HEIGHT, WIDTH, Chart, layered, log_scale
from mlflow_thermo.schema import FIXED_ELR, FIXED_LR
from projects.toy_sphere.decay import DecayStudy

#: What a protocol with weight decay keeps fixed.
_FIXED = {FIXED_ELR: "effective lr", FIXED_LR: "lr"}


def decay_figures(decays: Sequence[DecayStudy]) -> dict[str, Chart]:
    """The figures by name; none without studies."""
    if not decays:
        return {}
    return {
        "decay_radius": _decay(decays, "radius", "Radius |w|", log=True),
        "decay_entropy": _decay(decays, "entropy", "Entropy S at its radius (nats)", log=False),
    }


def _decay(decays: Sequence[DecayStudy], name: str, title: str, *, log: bool) -> alt.LayerChart:
    rows = [
        {"decay": row["weight_decay"], "value": row[name], "exact": row[f"exact_{name}"],
         "study": f"fixed {_FIXED[study.protocol]}, d = {study.n_weights}"}
        for study in decays
        for row in study.rows()
    ]  # fmt: skip
    data = pd.DataFrame(rows)
    order = list(dict.fromkeys(data["study"]))
    x = alt.X("decay:Q", scale=log_scale(), title="Weight decay λ", axis=alt.Axis(format=".0e", tickCount=5))
    scale = log_scale() if log else alt.Scale(zero=False)
    y = alt.Y("value:Q", scale=scale, title=title)
    legend = alt.Legend(orient="bottom", columns=2)
    color = alt.Color("study:N", title=None, legend=legend, scale=alt.Scale(scheme="dark2", domain=order))
    shape = alt.Shape("study:N", title=None, legend=legend, scale=alt.Scale(domain=order))
    base = alt.Chart(data).encode(x=x)
    lines = base.mark_line(color="#777").encode(y=alt.Y("exact:Q", scale=scale, title=title), detail="study:N")
    points = base.mark_point(size=55).encode(y=y, color=color, shape=shape)
    chart: alt.LayerChart = layered(lines, points).properties(
        width=WIDTH, height=HEIGHT, title="Weight decay, isotropic noise (lines: exact)"
    )
    return chart
