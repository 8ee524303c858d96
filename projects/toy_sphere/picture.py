"""The sphere toy as a picture: its loss as colour, seen from above the equator, with trajectories on it."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from analysis.report import layered
from analysis.testsystems import SphereToy, toys
from projects.toy_sphere.study import ToyStudy

NAMES = {"op": "over-parameterised", "up": "under-parameterised"}
#: Pixels of the picture of the sphere across its width, and steps of a trajectory in it.
_GRID, _STEPS = 110, 40
#: Learning rates whose trajectories are drawn.
PICTURED = (0.02, 0.1, 0.5, 1.5)
#: Where the sphere is looked at from: above the equator, so that optimum and vectors are seen.
_ELEVATION = np.radians(55)
#: Largest loss of both toys: their colours mean the same.
_MOST_LOSS = 0.75


def _seen(points: np.ndarray[Any, Any]) -> tuple[Any, Any, Any]:
    """Orthographic projection of points (..., 3): right, up and towards the eye."""
    x, y, z = np.moveaxis(points, -1, 0)
    c, s = np.cos(_ELEVATION), np.sin(_ELEVATION)
    return y, z * c - x * s, x * c + z * s


def sphere_picture(study: ToyStudy) -> alt.LayerChart:
    """The visible half of the sphere with the loss as its colour and the first steps of some learning rates on it."""
    toy = next(toy for toy in toys() if toy.name == study.name)
    side = np.linspace(-1, 1, _GRID)
    right, up = (grid.ravel() for grid in np.meshgrid(side, side))
    inside = right**2 + up**2 < 1
    right, up = right[inside], up[inside]
    towards = np.sqrt(1 - right**2 - up**2)
    c, s = np.cos(_ELEVATION), np.sin(_ELEVATION)
    points = np.stack([towards * c - up * s, right, towards * s + up * c], axis=1)
    data = pd.DataFrame({"right": right, "up": up, "loss": toy.loss(points)})
    bare = alt.Axis(labels=False, ticks=False, grid=False, domain=False)
    scale = alt.Scale(domain=[-1.02, 1.02])
    x = alt.X("right:Q", scale=scale, axis=bare, title=None)
    y = alt.Y("up:Q", scale=scale, axis=bare, title=None)
    size = 330
    ground = (
        alt.Chart(data)
        .mark_square(size=(size / _GRID * 1.25) ** 2, opacity=1)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "loss:Q",
                scale=alt.Scale(scheme="viridis", domain=[0, _MOST_LOSS]),
                title="loss L",
                legend=alt.Legend(orient="bottom", gradientLength=200),
            ),
        )
    )
    paths, marks = _paths(study, x, y), _marks(toy, x, y)
    chart: alt.LayerChart = layered(ground, paths, marks).properties(
        width=size, height=size, view=alt.ViewBackground(stroke=None),
        title=f"{NAMES[study.name].capitalize()}, first {_STEPS} steps",
    )  # fmt: skip
    return chart


def _paths(study: ToyStudy, x: alt.X, y: alt.Y) -> alt.Chart:
    rows = []
    for rate in PICTURED:
        i = int(np.argmin(np.abs(np.log(study.lr / rate))))
        right, up, towards = _seen(study.paths[i, :_STEPS])
        piece = 0
        for step in range(len(right)):
            # A path that goes behind the sphere comes back as another piece.
            piece += int(step > 0 and (towards[step] > 0) != (towards[step - 1] > 0))
            if towards[step] > 0:
                rows.append(
                    {"right": right[step], "up": up[step], "step": step, "lr": f"{rate:g}", "piece": f"{rate} {piece}"}
                )
    data = pd.DataFrame(rows or [{"right": 0.0, "up": 0.0, "step": 0, "lr": f"{PICTURED[0]:g}", "piece": "none"}])
    domain = [f"{rate:g}" for rate in PICTURED]
    dashes = alt.Scale(domain=domain, range=[[1, 0], [7, 3], [1, 3], [10, 3, 1, 3]])
    lines: alt.Chart = (
        alt.Chart(data)
        .mark_line(color="white", strokeWidth=1.4, opacity=0.95)
        .encode(
            x=x,
            y=y,
            order="step:O",
            detail="piece:N",
            strokeDash=alt.StrokeDash(
                "lr:N",
                scale=dashes,
                title="trajectory at lr",
                legend=alt.Legend(orient="bottom", symbolStrokeColor="black", symbolSize=900, columns=4),
            ),
        )
    )
    return lines


def _marks(toy: SphereToy, x: alt.X, y: alt.Y) -> alt.LayerChart:
    points = np.concatenate([toy.vectors, -toy.vectors, [toy.optimum], [-toy.optimum]])
    names = ["a"] * (2 * len(toy.vectors)) + ["optimum"] * 2
    right, up, towards = _seen(points)
    data = pd.DataFrame({"right": right, "up": up, "text": names})[towards > 0]
    dots = alt.Chart(data).mark_point(filled=True, size=45, color="black", stroke="white", opacity=1).encode(x=x, y=y)
    text = (
        alt.Chart(data)
        .mark_text(dy=-10, fontWeight="bold", fontSize=12)
        .encode(
            x=x,
            y=y,
            text="text:N",
            # White on the dark of low loss, black on the light of high loss.
            color=alt.condition("datum.text == 'optimum'", alt.value("white"), alt.value("black")),
        )
    )
    return alt.LayerChart(layer=[dots, text])
