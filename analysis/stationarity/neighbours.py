"""Whether nearest neighbours in weight space are neighbours in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import FloatArray

#: Neighbours per snapshot; the result hardly depends on it.
NEIGHBOURS = 10
#: Rows that are searched for neighbours at once.
_ROWS = 512


@dataclass(frozen=True)
class EdgeLag:
    """Fraction of the k-nearest-neighbour edges that join snapshots at most k apart in time.

    Attributes
    ----------
    fraction : observed.
    expected : for independent snapshots, about 2k/n.
    k : neighbours per snapshot.
    n : snapshots.
    """

    fraction: float
    expected: float
    k: int
    n: int

    @property
    def flagged(self) -> bool:
        """Whether the fraction is above twice that of independent snapshots, by more than chance explains."""
        edges = self.n * self.k
        # Mutual neighbours make two edges of one coincidence: twice the binomial variance.
        noise = np.sqrt(2 * self.expected * (1 - self.expected) / edges)
        return bool(self.fraction > max(2 * self.expected, self.expected + 4 * noise))


def edge_lag(sq_distances: FloatArray, k: int = NEIGHBOURS) -> EdgeLag:
    """Edge-lag fraction of snapshots at consecutive recording times.

    Consecutive iterates of SGD give about 1: the neighbours of each are those a step earlier and later, and a
    nearest-neighbour entropy then measures the step instead of the spread.

    Parameters
    ----------
    sq_distances : (n, n) squared distances in time order.
    k : neighbours per snapshot; lowered to n/20 for short series.
    """
    n = len(sq_distances)
    k = max(1, min(k, n // 20))
    near = 0
    for start in range(0, n, _ROWS):
        rows = np.arange(start, min(start + _ROWS, n))
        block = sq_distances[rows].copy()
        block[np.arange(len(rows)), rows] = np.inf
        found = np.argpartition(block, k - 1, axis=1)[:, :k]
        near += int(np.count_nonzero(np.abs(found - rows[:, None]) <= k))
    expected = (2 * k * n - k * (k + 1)) / (n * (n - 1))
    return EdgeLag(near / (n * k), expected, k, n)
