"""Entropy from the length of the k-nearest-neighbour graph: the estimator of arXiv 2505.23489."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from analysis.entropy.base import EntropyEstimator, Evaluator, require_integer
from analysis.geometry import NeighbourFinder
from analysis.results import AnyArray, FloatArray, InsufficientData, IntArray

#: Numbers of neighbours for which the paper shows its curves, and larger ones.
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

    Examples
    --------
    Twice the scale adds ln 2 nats in each of three dimensions:

    >>> from math import log
    >>> import numpy as np
    >>> from analysis import KNNGraphEntropy
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> graph = KNNGraphEntropy(k=10, jackknife_blocks=0)
    >>> small = graph.fit(x).entropy_
    >>> round((graph.fit(2 * x).entropy_ - small) / log(2), 6)
    3.0
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
            raise InsufficientData(
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
    (len(ks),) entropies in nats up to a constant; -inf where all the neighbours coincide.

    Raises
    ------
    ValueError
        For a k that is not a positive integer, or a gamma that is not positive.
    InsufficientData
        No more than k snapshots.
    """
    check_neighbours(ks, len(X), gamma)
    finder = NeighbourFinder(X, precision)
    nearest = finder.nearest(np.arange(len(X)), max(ks))
    return _entropies(np.sort(nearest, axis=1), ks, gamma, dim or X.shape[1])


def check_neighbours(ks: Sequence[int], n: int, gamma: float) -> None:
    """Raise ValueError unless every k is a positive integer and γ is positive, InsufficientData for k >= n."""
    if not ks:
        raise ValueError("ks is empty: give at least one number of neighbours")
    for k in ks:
        require_integer("k", k, 1)
        if k >= n:
            raise InsufficientData(f"k={k} needs at least {k + 1} snapshots, got {n}: record more snapshots or lower k")
    if not (np.isfinite(gamma) and gamma > 0):
        raise ValueError(f"gamma must be a finite positive number, got {gamma!r}")


def _entropies(distances: FloatArray, ks: Sequence[int], gamma: float, dim: int) -> FloatArray:
    """Entropies for each of `ks` from the distances (n, max ks) of each point to its neighbours.

    The distances rise along each row; for a single k they may come in any order.
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
