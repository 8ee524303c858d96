"""The verdict on the snapshots of one run, with its evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from analysis.results import DUPLICATES, TOO_FEW, UNIDENTIFIED, Evidence, Status, remedy
from analysis.stationarity.thinning import FEWEST_SNAPSHOTS, SNAPSHOTS_PER_DIMENSION

#: Level of each test of stationarity.
TEST_LEVEL = 0.001
#: Pairwise diagnostics use at most this many snapshots: the last ones, or evenly spaced ones.
LARGEST_MATRIX = 2000

#: A status and the evidence for it in words; None where nothing is wrong.
Problem: TypeAlias = "tuple[Status, str] | None"


@dataclass(frozen=True)
class Diagnosis:
    """Whether snapshots are independent draws of a stationary state.

    Attributes
    ----------
    status : one of `analysis.results`: ``ok``, ``not-stationary``, ``autocorrelated``, ``unidentified``,
        ``too-few-samples``, ``duplicates``, ``constant`` or ``diverged``. The first that applies, in the order
        in which problems have to be fixed.
    tau : integrated autocorrelation time of the slowest observable, in snapshots, after burn-in.
    n_eff : independent snapshots, (n − burn_in)/tau.
    burn_in : leading snapshots to drop.
    evidence : the numbers behind the status.
    reason : the evidence for the status in words.
    """

    status: Status
    tau: float
    n_eff: float
    burn_in: int
    evidence: Evidence = field(default_factory=Evidence)
    reason: str = ""

    @property
    def remedy(self) -> str:
        """What to do about it, in words; empty when nothing is wrong."""
        return remedy(self.status)


def short_of(status: Status, n: int, reason: str) -> Diagnosis:
    """A verdict that needs no more than the number of snapshots."""
    return Diagnosis(status, float("nan"), float(n), 0, Evidence(n=float(n)), reason)


def repeated(e: Evidence) -> Problem:
    """Snapshots that repeat others than the one before them."""
    if e.duplicates > e.stays:
        return DUPLICATES, f"{int(e.duplicates)} of the snapshots repeat an earlier one"
    return None


def unresolved(e: Evidence) -> Problem:
    """Directions that are frozen, or lie on a floor that so few snapshots cannot resolve."""
    dim = int(e.dim)
    if e.rank < min(e.n - 1, e.columns, dim):
        return UNIDENTIFIED, f"the snapshots vary in {int(e.rank)} of {dim} directions: the others are frozen"
    if e.n_eff < SNAPSHOTS_PER_DIMENSION * dim and e.active_share > 0.5:
        return UNIDENTIFIED, (
            f"{int(e.active_directions)} directions hold {e.active_share:.0%} of the variance, over a floor in "
            f"{dim} that {e.n_eff:.0f} independent snapshots cannot resolve"
        )
    return None


def too_few(e: Evidence) -> Problem:
    """Fewer independent snapshots than any estimator needs."""
    if e.n_eff < FEWEST_SNAPSHOTS:
        return TOO_FEW, f"{e.n_eff:.1f} independent snapshots, at least {FEWEST_SNAPSHOTS} are needed"
    return None
