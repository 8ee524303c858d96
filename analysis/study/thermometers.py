"""What a run says of its temperature without an entropy, from the full gradients at some of its snapshots."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from analysis.results import NORMAL_95, Estimate, InsufficientData, RunResult, Thermometers, number
from analysis.temperature import direction_temperatures, noise_temperature
from analysis.trajectory import RunError, Trajectory
from mlflow_thermo.schema import GRADIENTS, MINIBATCH_SQUARES

#: A disagreement is larger than so many standard errors, which one sound state in a hundred reaches by chance, and than
#: the accuracy of the entropies behind dU/dS.
SIGMAS, ACCURACY = 2.6, 0.05


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


def disagreement(run: RunResult) -> str:
    """Thermometers of a Gibbs state that contradict each other, in words; empty where they do not.

    dU/dS and the virial temperature are compared with each other; the temperature that was set is the truth that both
    are held against elsewhere, and not part of the test: the next user has none.
    """
    ours, virial = run.temperature, run.thermometers.virial
    if run.set_temperature is None or ours is None or virial is None or ours.lower is None or ours.upper is None:
        return ""
    assert virial.stderr is not None
    error = math.hypot((ours.upper - ours.lower) / 2 / NORMAL_95, virial.stderr)
    apart = abs(ours.value - virial.value)
    if apart <= max(SIGMAS * error, ACCURACY * virial.value):
        return ""
    return f"dU/dS is {ours.value:.3g} and the virial temperature {virial.value:.3g}, {apart / error:.0f} errors apart"


def _noise(gradients: Trajectory, dim: int) -> Estimate | None:
    squares = np.asarray(gradients.attributes.get(MINIBATCH_SQUARES, []), dtype=float)
    if squares.shape != (gradients.n_chains,) or not np.isfinite(gradients.lr):
        return None
    full = np.mean(np.sum(gradients.weights.astype(float) ** 2, axis=-1), axis=1)
    try:
        return noise_temperature(squares, full, gradients.lr, dim)
    except InsufficientData:
        return None
