"""The picture of one run: the losses of its chains, and its temperature along every direction."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from analysis.report.figures.hover import hovered, of_run
from analysis.report.figures.style import BELOW, HEIGHT, INK, WIDTH, Chart, layered, log_scale
from analysis.results import NORMAL_95, InsufficientData, RunResult
from analysis.temperature import direction_temperatures
from analysis.trajectory import Trajectory

#: Points of one line, at most.
_POINTS = 200


def run_figure(result: RunResult, snapshots: Trajectory, gradients: Trajectory | None = None) -> Chart:
    """The course of the losses, and beside it T_i along the principal directions, where gradients were recorded.

    Parameters
    ----------
    result : of the run.
    snapshots, gradients : its series of snapshots, and of full gradients at some of them.
    """
    losses = _losses(result, snapshots)
    try:
        directions = None if gradients is None else _directions(result, snapshots, gradients)
    except InsufficientData:
        directions = None
    return losses if directions is None else alt.hconcat(losses, directions)


def _losses(result: RunResult, snapshots: Trajectory) -> alt.LayerChart:
    # All of one size: means of fewer snapshots scatter more, which would look like a change of the state.
    size = -(-len(snapshots) // _POINTS)
    parts = [np.arange(start, start + size) for start in range(0, len(snapshots) - size + 1, size)]
    steps = [int(snapshots.steps[part[-1]]) for part in parts]
    of = {"run": result.run_id, "lr": result.lr, "seed": str(result.seed)}
    rows = [
        {**of, "step": step, "loss": float(snapshots.loss[chain, part].mean()), "chain": chain}
        for chain in range(snapshots.n_chains)
        for step, part in zip(steps, parts, strict=True)
    ]
    mean = pd.DataFrame({"step": steps, "loss": [float(snapshots.loss[:, part].mean()) for part in parts]})
    x = alt.X("step:Q", title="Optimiser steps", scale=alt.Scale(zero=False, nice=False))
    y = alt.Y("loss:Q", title="Training loss", scale=alt.Scale(zero=False))
    chains = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(opacity=0.35, strokeWidth=1)
        .encode(x=x, y=y, detail="chain:N", color=alt.value("#7570b3"), tooltip=[*of, "chain", "step", "loss"])
    )
    whole = alt.Chart(mean).mark_line(color=INK).encode(x=x, y=y)
    what = f"{snapshots.n_chains} chains and their mean" if snapshots.n_chains > 1 else "loss of the snapshots"
    return layered(chains, whole).properties(width=WIDTH, height=HEIGHT, title=f"U: {what}")


def _directions(result: RunResult, snapshots: Trajectory, gradients: Trajectory) -> alt.LayerChart:
    at = np.isin(snapshots.steps, gradients.steps)
    found = direction_temperatures(snapshots.weights[:, at], gradients.weights, snapshots.spheres)
    values, errors = found.temperatures, found.stderr
    data = pd.DataFrame({
        "direction": np.arange(1, len(values) + 1), "value": values, "low": values - NORMAL_95 * errors,
        "high": values + NORMAL_95 * errors,
    })  # fmt: skip
    data = data[data["value"] > 0].assign(**of_run(result))
    data["foot"] = data["low"].clip(lower=float(data["value"].min()) / 2)
    x = alt.X("direction:Q", title="Principal direction, from the widest", scale=alt.Scale(nice=False, padding=8))
    y = alt.Y("value:Q", title="T along it (loss per nat)", scale=log_scale(), axis=alt.Axis(format=".0e", tickCount=5))
    points = alt.Chart(data).mark_point(filled=True, size=35, color="#7570b3").encode(x=x, y=y)
    bars = alt.Chart(data).mark_rule(color="#7570b3").encode(x=x, y=alt.Y("foot:Q", title=""), y2="high:Q")
    levels = [("virial, their mean", found.virial.value)]
    if result.thermometers.noise is not None:
        levels.append(("gradient noise", result.thermometers.noise.value))
    lines = (
        alt.Chart(pd.DataFrame(levels, columns=["name", "value"]))
        .mark_rule(strokeDash=[6, 4])
        .encode(
            y=y,
            color=alt.Color("name:N", title=None, legend=BELOW, scale=alt.Scale(range=["#d95f02", "#1b9e77"])),
        )
    )
    return layered(bars, hovered(points, "T", more=[alt.Tooltip("direction:Q")]), lines).properties(
        width=WIDTH, height=HEIGHT, title=f"T along each direction (spread {found.spread:.0%} of the mean)"
    )
