"""A run on its way to an optimum: its temperature falls towards zero, which is a result and not a failed fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from analysis.results import CONVERGING, ZERO_TEMPERATURE, Estimate, InsufficientData, RunResult, number
from analysis.stationarity import BLOCKS, evenly_spaced
from analysis.temperature import at_optimum
from analysis.trajectory import Trajectory

#: Quarters of a converging run's window, by equal ratio of the steps.
QUARTERS = 4
#: T of a run that has reached its optimum.
ZERO = Estimate(0.0, None, 0.0, 0.0, ZERO_TEMPERATURE)


def with_late_temperature(
    result: RunResult, trajectory: Trajectory, entropy_of: Callable[[Trajectory], float]
) -> RunResult:
    """The run with dU/dS between the quarters of its window; T = 0 where it has reached the optimum.

    Parameters
    ----------
    trajectory : its snapshots after burn-in.
    entropy_of : in nats; raises InsufficientData where there is none.
    """
    early, late = late_temperature(trajectory, entropy_of)
    if result.status == ZERO_TEMPERATURE or at_optimum(float(trajectory.loss[:, -1].mean())):
        return replace(
            result, status=ZERO_TEMPERATURE, regime=CONVERGING, late_temperature=late,
            temperature=replace(ZERO, upper=abs(late) if late is not None else 0.0),
            note="the run has reached an optimum, where the gradient noise dies out: T is zero",
        )  # fmt: skip
    if late is None:
        return result
    course = f"dU/dS falls from {early:.2g} to {late:.2g}" if early and late < early else f"dU/dS is {late:.2g}"
    return replace(result, late_temperature=late, note=f"T heads for zero ({course} over the window): {result.note}")


def late_temperature(
    trajectory: Trajectory, entropy_of: Callable[[Trajectory], float]
) -> tuple[float | None, float | None]:
    """dU/dS of a converging run between the first two and the last two quarters of its window.

    The quarters have equal ratios of steps (log-spaced times) and equally many snapshots, so that the constants of the
    entropy cancel. None where the entropy does not change.
    """
    steps = trajectory.steps.astype(float)
    edges = np.geomspace(max(steps[0], 1.0), steps[-1], QUARTERS + 1)
    parts = [np.nonzero((steps >= low) & (steps <= high))[0] for low, high in pairwise(edges)]
    count = min(len(part) for part in parts)
    if count < BLOCKS:
        return None, None
    quarters = [trajectory.take(part[evenly_spaced(len(part), count)]) for part in parts]
    try:
        entropy = [entropy_of(quarter) for quarter in quarters]
    except InsufficientData:
        return None, None
    loss = [float(quarter.loss.mean()) for quarter in quarters]

    def slope(a: int, b: int) -> float | None:
        change = entropy[b] - entropy[a]
        return number((loss[b] - loss[a]) / change) if math.isfinite(change) and change != 0 else None

    return slope(0, 1), slope(2, 3)
