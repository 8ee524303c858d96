"""The branches and the uniform state of a study, for its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

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
from analysis.results import RunResult
from analysis.study.branches import find_branches, one_sided
from analysis.trajectory import Trajectory
from mlflow_thermo.schema import SPHERE


def branches_of(runs: Sequence[RunResult]) -> tuple[dict[str, Any], frozenset[str], list[str]]:
    """Branch points as a check of the study, ids of the stationary runs that belong to no branch, and notes."""
    rates, regimes = [run.lr for run in runs], [run.regime for run in runs]
    found = find_branches(rates, regimes, [i for i, run in enumerate(runs) if run.hops])
    strays = frozenset(runs[i].run_id for i in found.strays)
    notes = []
    if found.bistable:
        notes.append(f"bistable: runs of one learning rate end on different branches at lr = {_listed(found.bistable)}")
    if strays:
        outside = sorted({runs[i].lr for i in found.strays})
        notes.append(f"{len(strays)} stationary runs lie outside of the stationary range: lr = {_listed(outside)}")
    # Lists, as JSON gives them back: a result that was read is equal to the one that was written.
    check = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(found).items()
        if name != "strays"
    }
    if found.stationary_range is not None:
        low, high = found.stationary_range
        notes.append(f"the stationary range is lr from {low:.3g} to {high:.3g}")
    return {**check, "beyond": list(one_sided(rates, regimes))}, strays, notes


def _listed(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:.3g}" for rate in rates)


def baselines_of(
    runs: Sequence[RunResult],
    protocol: str,
    n_weights: int,
    n_used: int,
    fresh: Callable[[], EntropyEstimator],
) -> dict[str, float | None]:
    """Loss and entropies of uniformly random weights, each entropy in the units of the one it stands beside.

    Parameters
    ----------
    n_weights, n_used : d, and the snapshots behind the entropies of the runs.
    fresh : the study's estimator, unfitted.
    """
    levels = [run.uniform_loss for run in runs if run.uniform_loss is not None]
    if protocol != SPHERE:
        # Weights that are free to grow have no uniform state.
        return {}
    rng = np.random.default_rng(0)
    dim = n_weights - 1
    size = next((int(run.course["size"][0] or 0) for run in runs if run.course), 0)

    def quick() -> EntropyEstimator:
        estimator = fresh()
        estimator.set_params(jackknife_blocks=0)
        return estimator

    def level(estimate: Callable[[Trajectory], tuple[float, float, str]], n: int) -> float | None:
        return uniform_baseline(lambda run: estimate(run)[0], n, n_weights, rng) if n else None

    oas = make_estimator("oas", dim=dim, jackknife_blocks=0)
    graph = KNNGraphEntropy(PAPER_K, dim=dim, jackknife_blocks=0)
    # Of equally many points: the graph's units are those of one N.
    n_paper = next((run.paper_n_used for run in runs if run.paper_n_used), 0)
    return {
        "loss": float(np.mean(levels)) if levels else None,
        "entropy": level(lambda run: entropy_of(run, quick()), n_used),
        "paper_entropy": level(lambda run: entropy_of(run, graph), n_paper),
        "course_entropy": level(lambda run: entropy_of(run, oas), size),
        "course_paper_entropy": level(lambda run: entropy_of(run, paper_estimator(dim, size)), size),
        "exact_entropy": uniform_entropy(n_weights),
    }
