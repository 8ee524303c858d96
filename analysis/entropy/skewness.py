"""How skewed snapshots are in many dimensions, measured without bias.

|κ₃|² = Σ_ijk E[x_i x_j x_k]² of whitened snapshots is the mean of (x·x')³ over independent pairs (Mardia 1970). Pairs
are taken between time blocks, with the kernel of the third Hermite polynomials,
(x·x')³ − 3(|x|² + |x'|²) x·x' + 3(D + 2) x·x', on which errors of mean and covariance act in second order only. Its
expectation for Gaussian snapshots, which is known exactly, is taken off.
"""

from __future__ import annotations

import numpy as np

from analysis.entropy.base import check_rank
from analysis.geometry import isometric_embedding
from analysis.results import AnyArray, BoolArray, FloatArray, IntArray
from analysis.stationarity import evenly_spaced

#: Snapshots that a look at the skewness takes, and those of which the pairs are held in memory at a time.
_LOOK, _AT_ONCE = 4000, 2000
#: Time blocks between which pairs of snapshots are taken.
_BLOCKS = 10
#: |κ₃|² over D beyond which the entropy of a Gaussian, with or without its first correction, is not trusted: Gibbs
#: states of a network have up to 0.15 while dU/dS is right (benchmarks/network.md), over-parameterised ones at large
#: learning rates 0.9 to 3.3.
MOST_SKEWNESS = 0.5


class Skewness:
    """|κ₃|² of snapshots X (n, d), and of parts of them.

    Parameters
    ----------
    dim : D.
    jackknife_blocks : parts are made of all but some of so many time blocks.
    """

    def __init__(self, X: AnyArray, dim: int, jackknife_blocks: int = 0) -> None:
        everything = np.arange(len(X))
        # Pieces that lie within one block of either kind.
        split = [np.array_split(everything, min(len(X), n)) for n in (_BLOCKS, max(1, jackknife_blocks))]
        pieces = np.split(everything, sorted({int(block[0]) for blocks in split for block in blocks} - {0}))
        self._first = np.array([piece[0] for piece in pieces])
        block_of = np.repeat(np.arange(len(split[0])), [len(block) for block in split[0]])[self._first]
        apart = block_of[:, None] != block_of
        self._total = _skewness_between(_whitened(X, dim), pieces, apart)
        sizes = np.array([len(piece) for piece in pieces])
        self._pairs = np.where(apart, np.outer(sizes, sizes), 0)

    def squared(self, keep: IntArray) -> float:
        """|κ₃|² of the snapshots `keep`, whole time blocks of them; negative where noise makes it so."""
        kept = np.isin(self._first, keep)
        here = np.ix_(kept, kept)
        return float(self._total[here].sum() / self._pairs[here].sum())


def exceeds_limit(squared: float, n: int, dim: int) -> bool:
    """Whether |κ₃|² is beyond `MOST_SKEWNESS`, and not by the noise of n snapshots."""
    noise = float(np.sqrt(12 * dim * (dim + 1) * (dim + 2))) / n
    return squared - 3 * noise > MOST_SKEWNESS * dim


def too_skewed(X: AnyArray, dim: int) -> bool:
    """Whether snapshots (n, d) are far from any Gaussian, by a number of them that costs little."""
    X = X[evenly_spaced(len(X), min(len(X), _LOOK))]
    return exceeds_limit(Skewness(X, dim).squared(np.arange(len(X))), len(X), dim)


def _whitened(X: AnyArray, dim: int) -> FloatArray:
    """Snapshots (n, dim) of zero mean and unit covariance, with denominator n − 1."""
    if X.shape[1] >= len(X):
        X = isometric_embedding(X)
    centred = X - X.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(X) - 1))
    values = check_rank(dim, values[::-1])
    return np.asarray(centred @ (vectors[:, ::-1][:, :dim] / np.sqrt(values)))


def _skewness_between(points: FloatArray, pieces: list[IntArray], apart: BoolArray) -> FloatArray:
    """Sums of the kernel, less its bias, over the pairs between two pieces each that are `apart`, (pieces, pieces)."""
    n, dim = points.shape
    squares = np.einsum("nd,nd->n", points, points)
    bias = _gaussian_bias(n, dim)
    found = np.zeros(apart.shape)
    for a, b in zip(*np.nonzero(np.tril(apart)), strict=True):
        for rows in np.array_split(pieces[a], len(pieces[a]) * len(pieces[b]) // _AT_ONCE**2 + 1):
            t = points[rows] @ points[pieces[b]].T
            both = squares[rows][:, None] + squares[pieces[b]]
            found[a, b] += np.sum(t * (t * t - 3 * both + 3 * (dim + 2)) - bias)
        found[b, a] = found[a, b]
    return found


def _gaussian_bias(n: int, dim: int) -> float:
    """Expectation of the kernel over pairs of n normal snapshots, whitened by their own mean and covariance.

    The mean of (x·x')³ over all pairs with themselves is that of Mardia 1974; |x|² n/(n − 1)² has a beta distribution.
    """
    a, total, scale = dim / 2, (n - 1) / 2, (n - 1) ** 2 / n
    first = scale * a / total
    second = first * scale * (a + 1) / (total + 1)
    third = second * scale * (a + 2) / (total + 2)
    mardia = dim * (dim + 2) * ((n + 1) * (dim + 1) - 6) / ((n + 1) * (n + 3))
    # Mardia's covariance has the denominator n.
    cubes = (((n - 1) / n) ** 3 * n * mardia - third) / (n - 1)
    # The points add up to zero: what a point has with all others is less what it has with itself.
    return float(cubes + 6 * second / (n - 1) - 3 * (dim + 2) * first / (n - 1))
