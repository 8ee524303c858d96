"""Loss and entropies of uniformly random weights, by the estimators of a study."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from analysis.entropy import (
    PAPER_K,
    EntropyEstimator,
    KNNGraphEntropy,
    entropy_of,
    make_estimator,
    paper_estimator,
    uniform_baseline,
    uniform_entropy,
)
from analysis.results import Baselines, RunResult
from analysis.trajectory import Trajectory


def baselines_of(
    runs: Sequence[RunResult], shape: Trajectory, n_used: int, fresh: Callable[[], EntropyEstimator]
) -> Baselines | None:
    """Loss and entropies of uniformly random weights; None where weights are free to grow and have no uniform state.

    Parameters
    ----------
    shape : of a run.
    n_used : snapshots behind each entropy of the runs.
    fresh : the study's estimator, unfitted.
    """
    if not shape.on_sphere:
        return None
    levels = [run.uniform_loss for run in runs if run.uniform_loss is not None]
    rng = np.random.default_rng(0)
    dim = shape.dim
    size = next((run.course.size for run in runs if run.course is not None), 0)

    def quick() -> EntropyEstimator:
        estimator = fresh()
        estimator.set_params(jackknife_blocks=0)
        return estimator

    def level(estimate: Callable[[Trajectory], tuple[float, float, str]], n: int) -> float | None:
        return uniform_baseline(lambda run: estimate(run)[0], n, shape.n_weights, rng, units=shape.units) if n else None

    oas = make_estimator("oas", dim=dim, jackknife_blocks=0)
    graph = KNNGraphEntropy(PAPER_K, dim=dim, jackknife_blocks=0)
    # From equally many points: the units of the graph depend on N.
    n_paper = next((run.paper.n_used for run in runs if run.paper.n_used), 0)
    return Baselines(
        loss=float(np.mean(levels)) if levels else None,
        entropy=level(lambda run: entropy_of(run, quick()), n_used),
        paper_entropy=level(lambda run: entropy_of(run, graph), n_paper),
        course_entropy=level(lambda run: entropy_of(run, oas), size),
        course_paper_entropy=level(lambda run: entropy_of(run, paper_estimator(dim, size)), size),
        exact_entropy=sum(uniform_entropy(size, 1 / math.sqrt(len(shape.spheres))) for size in shape.spheres),
    )
