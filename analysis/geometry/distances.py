"""Pairwise distances of many-dimensional snapshots, exact even for points in 10^6 dimensions that nearly coincide.

From the Gram matrix where that keeps its digits, by explicit differences elsewhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike
from scipy.spatial.distance import cdist

from analysis.geometry.gram import CHUNK, centred_gram, column_chunks, gram_about, provisional_centre
from analysis.results import AnyArray, FloatArray, IntArray

#: Up to this many columns differences are formed explicitly: cheap, and free of cancellation.
EXPLICIT_COLUMNS = 64
#: Pairs with r² below this share of |w − w̄|² lose digits in the Gram form and are recomputed by differences.
NEAR_CANCELLING = 1e-5
#: The same where the products are float32.
NEAR_CANCELLING_SINGLE = 1e-2
#: Entries of a Gram matrix that cost as much as the differences of one pair, whose rows have to be gathered.
_ENTRIES_PER_PAIR = 64


def squared_distances(X: AnyArray, gram: FloatArray | None = None, precision: DTypeLike = np.float64) -> FloatArray:
    """Squared Euclidean distances (n, n) between the rows of X (n, d).

    Parameters
    ----------
    X : float32 or float64.
    gram : centred Gram matrix (n, n), if it is known.
    precision : of the products, see `centred_gram`. Distances have relative errors of up to 1e-10 with float64. With
        float32 they are some 1e-8, and up to 1e-4 for a pair that is ten times closer than its distance from the
        mean; closer pairs are recomputed in float64.
    """
    if X.shape[1] <= EXPLICIT_COLUMNS:
        points = X.astype(np.float64)
        return np.asarray(cdist(points, points, "sqeuclidean"))
    gram = centred_gram(X, precision) if gram is None else gram
    single = np.dtype(precision) == np.float32
    return distances_of_gram(gram, X, NEAR_CANCELLING_SINGLE if single else NEAR_CANCELLING)


def distances_of_gram(gram: FloatArray, X: AnyArray, near: float) -> FloatArray:
    """Squared distances (n, n) from the Gram matrix (n, n) of X (n, d) about a point amid its rows.

    Pairs with r² below `near` times the product of their distances from that point are recomputed from X.
    """
    norms = np.diag(gram).copy()
    sq = gram * -2.0
    sq += norms[:, None]
    sq += norms[None, :]
    np.maximum(sq, 0.0, out=sq)
    np.fill_diagonal(sq, np.inf)
    # For almost every sample, the nearest neighbour of each row shows that there are none.
    suspects = np.nonzero(sq.min(axis=1, initial=np.inf) < near * norms * 4)[0]
    rows, j = np.nonzero(sq[suspects] < near * np.maximum(norms[suspects, None], norms[None, :]))
    i = suspects[rows]
    np.fill_diagonal(sq, 0.0)
    once = i < j
    i, j = i[once], j[once]
    exact = _recomputed(X, i, j)
    sq[i, j] = exact
    sq[j, i] = exact
    return sq


def _recomputed(X: AnyArray, i: IntArray, j: IntArray) -> FloatArray:
    """Squared distances of the pairs (i[p], j[p]) of rows of X, to the digits of float64.

    Many pairs of few rows, as of consecutive iterates, share a Gram matrix in float64 about a point amid them; pairs
    that cancel there too are computed by differences.
    """
    rows, at = np.unique(np.concatenate([i, j]), return_inverse=True)
    if len(rows) ** 2 >= _ENTRIES_PER_PAIR * len(i):
        return _explicit_squared_distances(X, i, j)
    gram = gram_about(X, provisional_centre(X, rows), rows=rows)
    first, second = at[: len(i)], at[len(i) :]
    a, b = np.diag(gram)[first], np.diag(gram)[second]
    sq = a + b - 2 * gram[first, second]
    near = np.nonzero(sq < NEAR_CANCELLING * np.maximum(a, b))[0]
    sq[near] = _explicit_squared_distances(X, i[near], j[near])
    return np.asarray(sq)


def _explicit_squared_distances(X: AnyArray, i: IntArray, j: IntArray) -> FloatArray:
    """Squared distances of the pairs (i[p], j[p]) of rows of X, by differences in float64."""
    out = np.zeros(len(i))
    pairs = 256
    for start in range(0, len(i), pairs):
        a, b = i[start : start + pairs], j[start : start + pairs]
        for columns in column_chunks(pairs, X.shape[1]):
            difference = X[a, columns].astype(np.float64) - X[b, columns]
            out[start : start + pairs] += np.einsum("pc,pc->p", difference, difference)
    return out


class NeighbourFinder:
    """Distances to the nearest neighbours of any sub-sample of the rows of X, found once for all of them.

    With few columns the distances are formed chunk by chunk when asked for, so that N may be large; with many
    columns the N×N matrix is computed once and shared by the estimate and its jackknife.
    """

    def __init__(self, X: AnyArray, precision: DTypeLike = np.float64) -> None:
        few = X.shape[1] <= EXPLICIT_COLUMNS
        self._points: FloatArray | None = X.astype(np.float64) if few else None
        self._sq: FloatArray | None = None if few else squared_distances(X, precision=precision)

    def _rows(self, rows: IntArray, keep: IntArray) -> FloatArray:
        if self._points is not None:
            return np.asarray(cdist(self._points[rows], self._points[keep], "sqeuclidean"))
        assert self._sq is not None
        if len(rows) == len(self._sq) and np.array_equal(rows, np.arange(len(rows))):
            return np.array(self._sq)
        return np.asarray(self._sq[np.ix_(rows, keep)])

    def nearest(self, keep: IntArray, k: int, theiler: int = 0, times: IntArray | None = None) -> FloatArray:
        """Distances (m, k) from each of the m rows `keep` to its k nearest others among them.

        Neighbours within `theiler` snapshots in time (the row itself with 0) are left out; `times` (m,) says
        when the rows were taken, None that row i was snapshot i. The last column is the k-th neighbour; the
        others are in no particular order, since nothing needs them sorted.
        """
        m = len(keep)
        times = keep if times is None else times
        out = np.empty((m, k))
        step = max(1, CHUNK // m)
        for start in range(0, m, step):
            sq = self._rows(keep[start : start + step], keep)
            sq[np.abs(times[start : start + step, None] - times[None, :]) <= theiler] = np.inf
            sq.partition(k - 1, axis=1)
            np.sqrt(sq[:, :k], out=out[start : start + step])
        return out
