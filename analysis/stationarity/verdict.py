"""The verdict on the snapshots of one run, with its evidence."""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.results import Evidence, Status, remedy

#: Level of each test of stationarity.
TEST_LEVEL = 0.001


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
