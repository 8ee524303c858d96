"""One number with its uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtri

from analysis.results.statuses import OK, Status, remedy

#: Half-width of a normal 95 % interval, in standard errors.
NORMAL_95 = float(ndtri(0.975))


def number(value: float) -> float | None:
    """`value`, or None where it is NaN or infinite: JSON has neither."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True)
class Estimate:
    """One number with its uncertainty; None where a part of it does not exist.

    A `value` whose `status` is not ``ok`` is tentative.

    Attributes
    ----------
    value, stderr : the number and its standard error, in its own units.
    lower, upper : its 95 % interval.
    status : one of `analysis.results.REMEDIES`.
    """

    value: float
    stderr: float | None = None
    lower: float | None = None
    upper: float | None = None
    status: Status = OK

    def __post_init__(self) -> None:
        remedy(self.status)

    @property
    def remedy(self) -> str:
        """What to do about the status, in words; empty when nothing is wrong."""
        return remedy(self.status)
