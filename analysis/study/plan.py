"""What all entropies of a study have in common, so that constants cancel in their differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone

from analysis.entropy import (
    EntropyEstimator,
    choose_estimator,
    make_estimator,
    subspace_dimension,
)
from analysis.geometry import SharedBasis, fit_shared_basis
from analysis.results import EstimatorUsed, InsufficientData
from analysis.stationarity import evenly_spaced
from analysis.study.examination import Examined
from analysis.trajectory import Trajectory
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import AUTO, SPACED, STATIONARY

#: A run with a smaller share of the median number of snapshots is left out instead of thinning all others to it.
SHORT = 0.5
#: Runs from which the shared subspace is found, at most: its cost must not grow with the study.
BASIS_RUNS = 500


@dataclass(frozen=True)
class Plan:
    """Equal N, one estimator, one subspace for all runs.

    Attributes
    ----------
    n_used : snapshots of every run behind its entropy.
    estimator : unfitted.
    described : the estimator as the result shows it.
    basis : directions shared by all learning rates; None where the runs do not allow any.
    full_losses : whether U is the mean of losses of the full training set. Batch norm makes these differ from losses of
        batches by a constant, so that a study takes the ones or the others: it takes those that are known better.
    """

    n_used: int
    estimator: EntropyEstimator
    described: EstimatorUsed
    basis: SharedBasis | None
    full_losses: bool = False

    def fresh(self) -> EntropyEstimator:
        """The study's estimator, unfitted: runs that are measured at the same time must not share one."""
        return clone(self.estimator)  # type: ignore[no-any-return]


def plan_of(examined: Sequence[Examined], shape: Trajectory, entropy: str, jackknife_blocks: int) -> Plan:
    """The plan for the runs of a study.

    Parameters
    ----------
    shape : of a readable run.
    entropy, jackknife_blocks : of `StudyConfig`.

    Raises
    ------
    ThermoError
        A model without a free dimension.
    """
    readable = [e for e in examined if e.shape is not None]
    # Equal numbers for all: one run cut short must not cost the others their snapshots.
    fewest = SHORT * float(np.median([e.kept for e in readable]))
    usable = [e for e in readable if e.kept >= fewest]
    stationary = [e for e in usable if e.result.regime == STATIONARY] or usable
    independent = [e.independent for e in stationary if e.independent > 0]
    # Without a run to trust all snapshots are used: thinning could not make them independent either.
    n_used = min(min(independent, default=10**9), *(e.kept for e in usable))
    n_eff = float(n_used) if independent else min(e.result.sampling.n_eff or 1.0 for e in stationary)
    # Every chain of a run gives equally many.
    together = math.lcm(*(e.shape.n_chains for e in usable if e.shape is not None))
    n_used = max(together, n_used // together * together)
    dim = shape.dim
    if dim < 1:
        raise ThermoError(
            f"run {shape.run_id} has one weight on a sphere, which leaves it two points: take a larger model"
        )
    name, reason, estimator = _choose(entropy, n_eff, dim, shape.on_sphere)
    estimator.set_params(jackknife_blocks=jackknife_blocks)
    errors = [e.shape.sketch_error for e in readable if e.shape is not None and e.shape.sketch_error]
    described = EstimatorUsed(name, dim, reason, SPACED, n_used, max(errors, default=None))
    basis = _shared_basis(stationary, n_used, dim)
    return Plan(n_used, estimator, described, basis, _full_losses_are_better(stationary))


def _full_losses_are_better(runs: Sequence[Examined]) -> bool:
    pairs = [(e.full_loss, e.result.loss) for e in runs]
    errors = [(full.stderr, ours.stderr) for full, ours in pairs if full is not None and ours is not None]
    if len(errors) < len(runs):
        return False
    full, ours = np.array(errors, dtype=float).T
    return bool(np.median(full) < np.median(ours))


def _choose(entropy: str, n_eff: float, dim: int, on_sphere: bool) -> tuple[str, str, EntropyEstimator]:
    """Short name, reason and estimator."""
    if entropy == AUTO:
        choice = choose_estimator(n_eff, dim, on_sphere)
        return choice.name, choice.reason, choice.estimator
    return entropy, "as requested", make_estimator(entropy, dim=dim)


def _shared_basis(runs: Sequence[Examined], n_used: int, dim: int) -> SharedBasis | None:
    samples = [e.rows for e in runs if e.rows is not None]
    samples = [samples[i] for i in evenly_spaced(len(samples), min(len(samples), BASIS_RUNS))]
    q = min(subspace_dimension(n_used, dim), sum(len(rows) - 1 for rows in samples) // 2)
    if q < 1:
        return None
    try:
        return fit_shared_basis(samples, q)
    except InsufficientData:
        # A run that does not move, or fewer directions than asked for: nothing to share.
        return None
