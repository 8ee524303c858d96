"""The entropy of one run's snapshots, on spheres or in flat space, by our estimators and by the paper's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.entropy.base import EntropyEstimator
from analysis.entropy.knn_graph import KNNGraphEntropy
from analysis.geometry import tangent_space
from analysis.results import AnyArray, InsufficientData, Status, number
from analysis.trajectory import RunError, Trajectory
from mlflow_thermo.schema import CONSECUTIVE

#: Neighbours of the paper's graph.
PAPER_K = 50


def entropy_of(trajectory: Trajectory, estimator: EntropyEstimator) -> tuple[float, float, Status]:
    """Entropy in nats, its standard error and the estimator's status; on a sphere in its tangent space.

    The paper's graph takes the chords of the sphere as they are, with D = d − 1.
    """
    points, correction = flat(trajectory, estimator)
    if trajectory.repeats_are_draws:
        # Among independent draws a handful of repeats is left, each of which is a point of distance zero.
        points = points[np.sort(np.unique(points, axis=0, return_index=True)[1])]
    fitted = estimator.fit(points)
    return fitted.entropy_ + correction, fitted.entropy_stderr_, fitted.status_


def flat(trajectory: Trajectory, estimator: EntropyEstimator | None = None) -> tuple[AnyArray, float]:
    """Snapshots in flat space, and the volume correction of the map in nats, 0 where nothing is mapped."""
    columns = trajectory.points.shape[1]
    if trajectory.sketch_error is not None and columns > trajectory.n_weights:
        raise InsufficientData(
            f"the snapshots are sketches of {columns} columns, more than the {trajectory.n_weights} weights that they "
            "stand for: record with storage=full"
        )
    if not trajectory.on_sphere or isinstance(estimator, KNNGraphEntropy):
        return trajectory.points, 0.0
    tangent = tangent_space(trajectory.points, n_weights=trajectory.n_weights, units=trajectory.units)
    return tangent.coordinates, tangent.log_volume_correction


def paper_estimator(dim: int, n: int) -> KNNGraphEntropy:
    """The paper's graph for n snapshots: k = 50, or half of them where there are fewer than a hundred."""
    return KNNGraphEntropy(min(PAPER_K, max(1, n // 2)), dim=dim, jackknife_blocks=0)


def paper_entropy(load: Callable[[str], Trajectory]) -> tuple[float | None, int | None]:
    """Entropy of a run's consecutive iterates by the paper's graph, and their number; None where it has none."""
    try:
        trajectory = load(CONSECUTIVE)
        entropy = entropy_of(trajectory, KNNGraphEntropy(PAPER_K, dim=trajectory.dim, jackknife_blocks=0))[0]
        return number(entropy), len(trajectory)
    except (RunError, InsufficientData):
        # The paper's estimate is an extra: a run without consecutive iterates keeps its other results.
        return None, None
