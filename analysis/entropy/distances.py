"""Pairwise distances of many-dimensional snapshots, exact although N points in 10^6 dimensions nearly coincide.

N×N numbers carry all that nearest neighbours, Gaussian kernels and dual-form Gaussians need. The columns are
processed in chunks, so that float32 snapshots are never copied whole to float64.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial.distance import cdist

from analysis._typing import AnyArray, FloatArray, IntArray

#: Up to this many columns differences are formed explicitly: cheap, and free of cancellation.
EXPLICIT_COLUMNS = 64
#: Pairs with r² below this share of |w − w̄|² lose digits in the Gram form and are recomputed by differences.
NEAR_CANCELLING = 1e-5
#: Float64 numbers held at once by a chunk (64 MiB).
_CHUNK = 2**23


def column_chunks(n: int, d: int, at_least: int = 1) -> Iterator[slice]:
    """Slices that cover d columns of n rows in pieces of about 64 MiB and of `at_least` columns."""
    width = max(at_least, _CHUNK // n, 1)
    for start in range(0, d, width):
        yield slice(start, min(start + width, d))


def centred_columns(X: AnyArray, columns: slice) -> FloatArray:
    """Columns of X (n, d) as float64 with their mean subtracted, which is what keeps a Gram matrix accurate."""
    chunk = X[:, columns].astype(np.float64)
    chunk -= chunk.mean(axis=0)
    return chunk


def centred_gram(X: AnyArray) -> FloatArray:
    """Gram matrix (n, n) of the rows of X (n, d) about their mean, accumulated in float64."""
    n, d = X.shape
    gram = np.zeros((n, n))
    for columns in column_chunks(n, d):
        chunk = centred_columns(X, columns)
        gram += chunk @ chunk.T
    return gram


def recentred(gram: FloatArray, keep: IntArray) -> FloatArray:
    """Gram matrix (m, m) of the m rows `keep` about their own mean."""
    part = gram[np.ix_(keep, keep)]
    rows = part.mean(axis=0)
    return np.asarray(part - rows[:, None] - rows[None, :] + rows.mean())


def squared_distances(X: AnyArray, gram: FloatArray | None = None) -> FloatArray:
    """Squared Euclidean distances (n, n) between the rows of X (n, d).

    From the centred Gram matrix, `gram` if it is known; pairs where that cancels (r² < 1e-5·|w − w̄|²) by explicit
    differences.
    """
    if X.shape[1] <= EXPLICIT_COLUMNS:
        points = X.astype(np.float64)
        return np.asarray(cdist(points, points, "sqeuclidean"))
    sq: FloatArray = centred_gram(X) if gram is None else gram.copy()
    norms = np.diag(sq).copy()
    sq *= -2.0
    sq += norms[:, None]
    sq += norms[None, :]
    np.maximum(sq, 0.0, out=sq)
    np.fill_diagonal(sq, 0.0)
    near = np.triu(sq < NEAR_CANCELLING * np.maximum.outer(norms, norms), k=1)
    i, j = np.nonzero(near)
    exact = _explicit_squared_distances(X, i, j)
    sq[i, j] = exact
    sq[j, i] = exact
    return sq


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

    def __init__(self, X: AnyArray) -> None:
        few = X.shape[1] <= EXPLICIT_COLUMNS
        self._points: FloatArray | None = X.astype(np.float64) if few else None
        self._sq: FloatArray | None = None if few else squared_distances(X)

    def _rows(self, rows: IntArray, keep: IntArray) -> FloatArray:
        if self._points is not None:
            return np.asarray(cdist(self._points[rows], self._points[keep], "sqeuclidean"))
        assert self._sq is not None
        return np.asarray(self._sq[np.ix_(rows, keep)])

    def nearest(self, keep: IntArray, k: int, theiler: int = 0, times: IntArray | None = None) -> FloatArray:
        """Distances (m, k) from each of the m rows `keep` to its k nearest others among them.

        Neighbours within `theiler` snapshots in time (the row itself with 0) are left out; `times` (m,) says
        when the rows were taken, None that row i was snapshot i. The last column is the k-th neighbour; the
        others come in no order, since nothing needs them sorted.
        """
        m = len(keep)
        times = keep if times is None else times
        out = np.empty((m, k))
        step = max(1, _CHUNK // m)
        for start in range(0, m, step):
            sq = self._rows(keep[start : start + step], keep)
            sq[np.abs(times[start : start + step, None] - times[None, :]) <= theiler] = np.inf
            out[start : start + step] = np.partition(sq, k - 1, axis=1)[:, :k]
        return np.sqrt(out)
