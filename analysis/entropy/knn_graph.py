"""Entropy from the length of the k-nearest-neighbour graph: the estimator of the paper under study."""

from __future__ import annotations

import numpy as np

from analysis._typing import AnyArray, IntArray
from analysis.entropy.base import EntropyEstimator, Evaluator, require_integer
from analysis.entropy.distances import NeighbourFinder


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
            distances = finder.nearest(keep, self.k)
            # Edge lengths relative to the longest: a large γ must not overflow or underflow the sum.
            longest = float(distances.max())
            if longest == 0.0:
                return -np.inf
            log_length = gamma * np.log(longest) + np.log(np.sum((distances / longest) ** gamma))
            return float(dim / gamma * (log_length - (dim - gamma) / dim * np.log(len(keep))))

        return evaluate
