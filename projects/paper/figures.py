"""The subset-size study: how the exponent of the gradient noise goes with the number of training samples."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from analysis.report import HEIGHT, WIDTH, Chart, layered, log_scale
from projects.paper.claims import SubsetRow


def subset_figure(rows: Sequence[SubsetRow]) -> Chart | None:
    """Exponent k against the number of samples n, with 95 % intervals; None without rows."""
    if not rows:
        return None
    data = pd.DataFrame(
        [
            {"name": r.name, "n_train": r.n_train, "k": r.law.exponent, "lower": r.law.lower, "upper": r.law.upper}
            for r in rows
        ]
    )
    x = alt.X("n_train:Q", scale=log_scale(), title="Training samples n", axis=alt.Axis(format="~s", tickCount=5))
    title = "Exponent k of the minibatch gradients' norm"
    base = alt.Chart(data).encode(x=x)
    bars = base.mark_rule().encode(y=alt.Y("lower:Q", title=title, scale=alt.Scale(zero=False)), y2="upper:Q")
    points = base.mark_point(filled=True, size=70, color="#1b9e77").encode(
        y=alt.Y("k:Q", title=title, scale=alt.Scale(zero=False)), tooltip=["name", "n_train", "k", "lower", "upper"]
    )
    one = alt.Chart(pd.DataFrame({"k": [1.0]})).mark_rule(strokeDash=[6, 4]).encode(y="k:Q")
    chart: alt.LayerChart = layered(one, bars, points).properties(
        width=WIDTH, height=HEIGHT, title="Gradient noise near the optimum (dashed: k = 1)"
    )
    return chart
