"""What a run says of its temperature without an entropy, from the full gradients at some of its snapshots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from analysis.results import Estimate, InsufficientData, RunResult, Thermometers, number
from analysis.temperature import direction_temperatures, noise_temperature
from analysis.trajectory import RunError, Trajectory
from mlflow_thermo.schema import GRADIENTS, MINIBATCH_SQUARES


def with_thermometers(result: RunResult, load: Callable[[str], Trajectory], snapshots: Trajectory) -> RunResult:
    """The run with its temperatures from gradients; unchanged where it recorded none.

    Parameters
    ----------
    load : as of `RunInput`.
    snapshots : its spaced series.
    """
    try:
        gradients = load(GRADIENTS)
    except RunError:
        # Recorded on request only.
        return result
    found = thermometers_of(snapshots, gradients)
    return result if found is None else replace(result, thermometers=found)


def thermometers_of(snapshots: Trajectory, gradients: Trajectory) -> Thermometers | None:
    """Noise and virial temperature, and the spread of the T_i; None where the data do not allow any.

    Parameters
    ----------
    gradients : full gradients in the place of weights, at steps that `snapshots` have too.
    """
    at = np.searchsorted(snapshots.steps, gradients.steps)
    there = (at < len(snapshots)) & (snapshots.steps[np.minimum(at, len(snapshots) - 1)] == gradients.steps)
    if not there.any() or snapshots.weights.shape[-1] != gradients.weights.shape[-1]:
        # Snapshots kept as inner products or sketches have no directions that gradients could be held against.
        return None
    weights = snapshots.weights[:, at[there]]
    slopes = gradients.weights[:, there]
    try:
        directions = direction_temperatures(weights, slopes, snapshots.spheres)
    except InsufficientData:
        return None
    return Thermometers(
        _noise(gradients, snapshots.dim), directions.virial, number(directions.spread), number(directions.p_value)
    )


def _noise(gradients: Trajectory, dim: int) -> Estimate | None:
    squares = np.asarray(gradients.attributes.get(MINIBATCH_SQUARES, []), dtype=float)
    if squares.shape != (gradients.n_chains,) or not np.isfinite(gradients.lr):
        return None
    full = np.mean(np.sum(gradients.weights.astype(float) ** 2, axis=-1), axis=1)
    try:
        return noise_temperature(squares, full, gradients.lr, dim)
    except InsufficientData:
        return None
