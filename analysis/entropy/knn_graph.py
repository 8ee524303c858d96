"""Entropy from the length of the k-nearest-neighbour graph: the estimator of the paper under study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from analysis.entropy.base import EntropyEstimator, Evaluator, require_integer
from analysis.geometry import (
    NEAR_CANCELLING,
    NEAR_CANCELLING_SINGLE,
    NeighbourFinder,
    distances_of_gram,
    distances_of_products,
    gram_about,
    provisional_centre,
)
from analysis.results import AnyArray, FloatArray, IntArray

#: Numbers of neighbours for which the paper gives its curves, and their continuation.
PAPER_KS = (1, 2, 5, 10, 20, 50, 100, 200, 300, 500)


class KNNGraphEntropy(EntropyEstimator):
    """S = (D/γ)[ln L − ((D−γ)/D) ln N] with L = Σ_i Σ_{j≤k} r_ij^γ (Costa & Hero 2004; Pál et al. 2010).

    A constant that depends on k, γ and D is left out, so only differences at equal N, k, D and snapshot spacing
    mean anything. Where N ≪ D the graph sees little but the overall scale of the sample. On consecutive
    iterates of SGD the neighbours are the neighbours in time, and dU/dS comes out at about half the true
    temperature: space the snapshots at least 3 correlation times apart.

    Parameters
    ----------
    k : number of neighbours of each snapshot.
    gamma : power γ of the edge lengths, positive.
    dim : D of the formula; None means the number of columns. Points on S^(d−1) have D = d − 1.
    jackknife_blocks : number of time blocks for the standard error, each at least 10 correlation times; 0 is off.

    Attributes
    ----------
    entropy_, entropy_stderr_, status_, n_duplicates_, dim_, n_features_in_ : see `EntropyEstimator`.
    """

    def __init__(self, k: int = 50, gamma: float = 1.0, *, dim: int | None = None, jackknife_blocks: int = 10) -> None:
        self.k = k
        self.gamma = gamma
        self.dim = dim
        self.jackknife_blocks = jackknife_blocks

    def _min_samples(self) -> int:
        return self.k + 1

    def _validate(self, n: int, d: int) -> None:
        require_integer("k", self.k, 1)
        if not (np.isfinite(self.gamma) and self.gamma > 0):
            raise ValueError(f"gamma must be a finite positive number, got {self.gamma!r}")
        if n < self._min_samples():
            raise ValueError(
                f"{type(self).__name__} with k={self.k} needs at least {self.k + 1} snapshots, got n_samples={n}: "
                "record more snapshots or lower k"
            )

    def _evaluator(self, X: AnyArray) -> Evaluator:
        finder = NeighbourFinder(X)
        gamma, dim = float(self.gamma), self.dim_

        def evaluate(keep: IntArray) -> float:
            return float(_entropies(finder.nearest(keep, self.k), (self.k,), gamma, dim)[0])

        return evaluate


def knn_graph_entropies(
    X: AnyArray,
    ks: Sequence[int] = PAPER_KS,
    gamma: float = 1.0,
    *,
    dim: int | None = None,
    precision: DTypeLike = np.float64,
) -> FloatArray:
    """`KNNGraphEntropy` for many k from one pass over the distances.

    Parameters
    ----------
    X : (n, d) snapshots.
    ks : numbers of neighbours, each below n.
    gamma, dim : as for `KNNGraphEntropy`.
    precision : of the products behind the distances; float32 takes about half the time.

    Returns
    -------
    (len(ks),) entropies in nats; -inf where all the neighbours coincide.

    Raises
    ------
    ValueError
        For a k or a gamma out of range.
    """
    check_neighbours(ks, len(X), gamma)
    finder = NeighbourFinder(X, precision)
    nearest = finder.nearest(np.arange(len(X)), max(ks))
    return _entropies(np.sort(nearest, axis=1), ks, gamma, dim or X.shape[1])


class SlidingKNNGraph:
    """kNN-graph entropies of a window of snapshots that moves along a series.

    A move costs the distances of the new snapshots only: about twice their share of the window. The order of the
    window does not matter to the graph, so the new ones take the places of the oldest.

    Parameters
    ----------
    window : (n, d) first window, in time order; copied.
    ks, gamma, dim : as for `knn_graph_entropies`.
    precision : of the products. float32 takes half the time and keeps the entropies to 1e-6 relative; snapshots so
        close to each other that their products cancel, as consecutive iterates are, are compared in float64.
    """

    def __init__(
        self,
        window: AnyArray,
        ks: Sequence[int] = PAPER_KS,
        gamma: float = 1.0,
        *,
        dim: int | None = None,
        precision: DTypeLike = np.float64,
    ) -> None:
        check_neighbours(ks, len(window), gamma)
        self._ks, self._gamma, self._dim = tuple(ks), gamma, dim or window.shape[1]
        self._near = NEAR_CANCELLING_SINGLE if np.dtype(precision) == np.float32 else NEAR_CANCELLING
        self._centre = provisional_centre(window)
        self._points = (window - self._centre).astype(precision)
        self._oldest = 0
        self._start()

    def _start(self) -> None:
        """Distances of the whole window."""
        gram = gram_about(self._points, precision=self._points.dtype)
        self._norms = np.diag(gram).copy()
        self._sq = distances_of_gram(gram, self._points, self._near).astype(self._points.dtype)
        np.fill_diagonal(self._sq, np.inf)

    def advance(self, rows: AnyArray) -> None:
        """Put the m snapshots `rows` (m, d), m up to n, in the places of the m oldest."""
        n = len(self._points)
        if rows.ndim != 2 or rows.shape[1] != self._points.shape[1] or not 0 < len(rows) <= n:
            raise ValueError(f"rows has shape {rows.shape}: give 1 to {n} snapshots of {self._points.shape[1]} weights")
        places = (self._oldest + np.arange(len(rows))) % n
        self._points[places] = rows - self._centre
        self._oldest = (self._oldest + len(rows)) % n
        if len(rows) > n // 2:
            # As dear as a new window, whose centre is the better one.
            shift = provisional_centre(self._points)
            self._centre = self._centre + shift
            self._points -= shift.astype(self._points.dtype)
            self._start()
            return
        new = self._points[places]
        # The wide factor first is what BLAS does faster in float32, by a fifth, and slower in float64.
        single = new.dtype == np.float32
        products = (self._points @ new.T).T if single else new @ self._points.T
        # Not from the products: the squares of a norm all have one sign, and float32 would add up their rounding.
        self._norms[places] = np.square(new, dtype=np.float64).sum(axis=1)
        sq = distances_of_products(products, self._norms, self._points, places, self._near)
        self._sq[places] = sq
        self._sq[:, places] = sq.T

    def entropies(self) -> FloatArray:
        """(len(ks),) entropies in nats of the present window."""
        # What has the digits of float32 is sorted as float32; sums are in float64.
        nearest = np.sort(self._sq, axis=1)[:, : max(self._ks)]
        return _entropies(np.sqrt(nearest, dtype=np.float64), self._ks, self._gamma, self._dim)


def check_neighbours(ks: Sequence[int], n: int, gamma: float) -> None:
    """Raise ValueError unless every k is an integer from 1 to n - 1 and γ is positive."""
    if not ks:
        raise ValueError("ks is empty: give at least one number of neighbours")
    for k in ks:
        require_integer("k", k, 1)
        if k >= n:
            raise ValueError(f"k={k} needs at least {k + 1} snapshots, got {n}: record more snapshots or lower k")
    if not (np.isfinite(gamma) and gamma > 0):
        raise ValueError(f"gamma must be a finite positive number, got {gamma!r}")


def _entropies(distances: FloatArray, ks: Sequence[int], gamma: float, dim: int) -> FloatArray:
    """Entropies for each of `ks` from the distances (n, max ks) of each point to its neighbours.

    They rise along each row; of a single k they may come in any order.
    """
    longest = float(distances.max())
    if longest == 0.0:
        return np.full(len(ks), -np.inf)
    # Edge lengths relative to the longest: a large γ must not overflow or underflow the sum.
    edges = distances / longest
    lengths = np.cumsum(np.sum(edges**gamma, axis=0))[np.asarray(ks) - 1]
    with np.errstate(divide="ignore"):
        logs = gamma * np.log(longest) + np.log(lengths)
    return np.asarray(dim / gamma * (logs - (dim - gamma) / dim * np.log(len(distances))))
