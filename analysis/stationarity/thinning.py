"""Thinning: snapshots that are independent, and equally many for every learning rate."""

from __future__ import annotations

import numpy as np

from analysis.results import IntArray

#: A covariance of D dimensions is identified by the data alone from about this many snapshots per dimension.
SNAPSHOTS_PER_DIMENSION = 5
#: Fewer snapshots than this are called too few whatever the estimator.
FEWEST_SNAPSHOTS = 10
#: Spacing in correlation times at which snapshots count as independent.
INDEPENDENT_SPACING = 3.0
#: Up to this correlation time snapshots count as independent: 1 within the noise of an estimate from 10^3 of them.
INDEPENDENT_TAU = 1.5


def evenly_spaced(n: int, count: int, start: int = 0) -> IntArray:
    """Indices (count,) spread evenly over ``start … n − 1``, the last one included.

    Raises
    ------
    ValueError
        When there are fewer than `count` to choose from.
    """
    if not 1 <= count <= n - start:
        raise ValueError(f"count={count} snapshots cannot be chosen from {n - start}")
    return np.round(np.linspace(n - 1, start + (n - start) / count - 1, count)).astype(np.int64)[::-1]


def independent_snapshots(n: int, tau: float, burn_in: int = 0) -> int:
    """How many of n snapshots are left after burn-in at a spacing of three correlation times `tau`."""
    kept = n - burn_in
    return kept if tau <= INDEPENDENT_TAU else int(kept // (INDEPENDENT_SPACING * tau))
