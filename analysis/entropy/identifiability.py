"""What N ≪ d snapshots can say about entropy: three labelled numbers per run, and whether they agree.

ln|Σ| of more weights than snapshots is not identifiable without an assumption. Three estimates make three different
ones; where their changes between learning rates agree, the change is identified, and where they do not, it is not.
Summaries are a handful of floats, so that a caller can stream over runs and compare at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analysis.entropy.base import half_log_2pi_e
from analysis.entropy.gaussian import unbiased_gaussian_entropy
from analysis.entropy.shrinkage import oas_weight
from analysis.entropy.spectrum import SpectrumFinder
from analysis.results import OK, TOO_FEW, UNIDENTIFIED, AnyArray, FloatArray, InsufficientData, Status, remedy
from analysis.stationarity import SNAPSHOTS_PER_DIMENSION

#: Largest relative difference between the three ΔS that still counts as agreement.
AGREEMENT = 0.10


@dataclass(frozen=True)
class RunEntropies:
    """Three entropies of one run by different assumptions, in nats.

    Attributes
    ----------
    isotropic : (D/2) ln(2πe tr Σ/D): all that any distance-based estimator sees.
    shared_subspace : exact-bias Gaussian entropy in the q directions shared by all learning rates.
    completed : `shared_subspace` plus an isotropic Gaussian with the rest of the variance in the D − q other
        directions: the D-dimensional number that can be compared with the other two.
    shrinkage : Gaussian with the OAS-shrunk covariance.
    dim : D.
    subspace_dim : q.
    n_eff : independent snapshots.
    """

    isotropic: float
    shared_subspace: float
    completed: float
    shrinkage: float
    dim: int
    subspace_dim: int
    n_eff: float


@dataclass(frozen=True)
class Identifiability:
    """Verdict over the runs of a study.

    Attributes
    ----------
    isotropic, shared_subspace, completed, shrinkage : (n_runs,) the numbers of `RunEntropies`, nats.
    disagreement : largest root-mean-square difference between the changes of two of (isotropic, completed,
        shrinkage) over the runs, relative to the largest root-mean-square change.
    status : ``ok`` or ``unidentified``; ``too-few-samples`` when a run has fewer than 5 snapshots per shared direction.
    """

    isotropic: FloatArray
    shared_subspace: FloatArray
    completed: FloatArray
    shrinkage: FloatArray
    disagreement: float
    status: Status

    @property
    def remedy(self) -> str:
        """What to do about the status, in words."""
        return remedy(self.status)


def subspace_dimension(n_eff: float, dim: int) -> int:
    """The q ≤ N_eff/10 of the shared subspace, as large as allowed: a small one would miss a frozen floor."""
    return max(1, min(dim, int(n_eff // 10)))


def summarise_run(
    X: AnyArray,
    projection: AnyArray,
    *,
    dim: int | None = None,
    n_eff: float | None = None,
    log_volume_correction: float = 0.0,
) -> RunEntropies:
    """The three entropies of one run.

    Parameters
    ----------
    X : (n, d) snapshots, or an isometric embedding of them; tangent coordinates on the sphere.
    projection : (n, q) the same snapshots in the basis shared by all learning rates
        (`analysis.geometry.SharedBasis.project`).
    dim : D when X is an embedding; None means the number of columns.
    n_eff : independent snapshots among the n; None means all.
    log_volume_correction : of `analysis.geometry.TangentSpace`, added to every number.

    Raises
    ------
    ValueError
        For X and projection of different length.
    InsufficientData
        q > D, q >= n, or snapshots that do not vary.
    """
    n, q = projection.shape
    dim = int(X.shape[1]) if dim is None else dim
    if len(X) != n:
        raise ValueError(f"X and its projection must hold the same snapshots, got {len(X)} and {n}")
    if q > dim or q >= n:
        raise InsufficientData(
            f"the shared subspace has q={q} directions, which D={dim} and n={n} snapshots do not allow"
        )
    everything = np.arange(n)
    sample = SpectrumFinder(X, dim).scatter(everything)
    inside = SpectrumFinder(projection, q).spectrum(everything)
    trace = sample.trace / (n - 1)
    shared = unbiased_gaussian_entropy(inside)
    if trace <= 0 or not np.isfinite(shared):
        raise InsufficientData("the snapshots do not vary along every shared direction: lower q or leave the run out")
    rest = trace - float(inside.scatter.sum()) / (n - 1)
    completed = shared
    if q < dim:
        if rest <= 1e-12 * trace:
            raise InsufficientData(
                f"the snapshots do not vary outside of the q={q} shared directions: pass dim={q} or lower q"
            )
        completed += isotropic_entropy(rest, dim - q)
    return RunEntropies(
        isotropic=isotropic_entropy(trace, dim) + log_volume_correction,
        shared_subspace=shared + log_volume_correction,
        completed=completed + log_volume_correction,
        shrinkage=half_log_2pi_e(dim) + 0.5 * sample.shrunk_log_det(oas_weight) + log_volume_correction,
        dim=dim,
        subspace_dim=q,
        n_eff=float(n if n_eff is None else n_eff),
    )


def isotropic_entropy(trace: float, dim: int) -> float:
    """Entropy in nats of the isotropic Gaussian in `dim` dimensions with total variance `trace`."""
    return half_log_2pi_e(dim) + 0.5 * dim * float(np.log(trace / dim))


def compare_runs(runs: Sequence[RunEntropies]) -> Identifiability:
    """Whether the changes of the entropy between `runs` are identified.

    With at least 5 snapshots per dimension in every run the data determine the full covariance, and differences
    between the three only mean that the shape changes: the status is ``ok``. Otherwise the three changes must
    agree within 10 % (root mean square over the runs, so that repeats of one learning rate do no harm).

    Raises
    ------
    ValueError
        For fewer than two runs, or runs of different D or q.
    """
    if len(runs) < 2:
        raise ValueError(f"entropy differences need at least two runs, got {len(runs)}")
    shapes = sorted({(run.dim, run.subspace_dim) for run in runs})
    if len(shapes) > 1:
        raise ValueError(f"all runs must have the same D and q, got (D, q) = {shapes}: compare runs of one model")
    dim, q = shapes[0]
    table = {
        name: np.array([getattr(run, name) for run in runs])
        for name in ("isotropic", "shared_subspace", "completed", "shrinkage")
    }
    changes = [table[name] - table[name].mean() for name in ("isotropic", "completed", "shrinkage")]
    scale = max(float(np.linalg.norm(change)) for change in changes)
    worst = max(float(np.linalg.norm(a - b)) for a, b in combinations(changes, 2))
    disagreement = worst / scale if scale > 0 else 0.0
    n_eff = min(run.n_eff for run in runs)
    if n_eff >= SNAPSHOTS_PER_DIMENSION * dim:
        status: Status = OK
    elif disagreement > AGREEMENT:
        status = UNIDENTIFIED
    else:
        status = OK if n_eff >= SNAPSHOTS_PER_DIMENSION * q else TOO_FEW
    return Identifiability(**table, disagreement=disagreement, status=status)
