"""Held-out score of a Gaussian kernel density: a cross-check in up to about five dimensions."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.neighbors import KernelDensity

from analysis.entropy.base import EntropyEstimator, Evaluator, require_integer
from analysis.entropy.held_out import time_block_splits, unit_scale
from analysis.geometry import isometric_embedding
from analysis.results import AnyArray, FloatArray, InsufficientData, IntArray


class KernelDensityEntropy(EntropyEstimator):
    """S ≤ −(1/N) Σ_i ln p̂_{−b(i)}(x_i), p̂_{−b} scikit-learn's `KernelDensity` fitted without time block b.

    Parameters
    ----------
    bandwidth : standard deviation of the kernel in units of X, or ``cv`` for the one with the best held-out
        score between 1/50 and 10 times Scott's rule.
    n_splits : number of contiguous time blocks, each held out once.
    dim : D of the kernel's normalisation; None means the number of columns.
    jackknife_blocks : number of time blocks for the standard error of the mean score, each at least 10
        correlation times; 0 is off. The bandwidth is kept.

    Attributes
    ----------
    bandwidth_ : float
        Bandwidth used, in units of X.
    entropy_, entropy_stderr_, status_, n_duplicates_, dim_, n_features_in_ : see `EntropyEstimator`.

    Examples
    --------
    An upper bound on the entropy of a standard normal, S = ½ ln 2πe = 1.42 nats:

    >>> from math import e, log, pi
    >>> import numpy as np
    >>> from analysis import KernelDensityEntropy
    >>> fitted = KernelDensityEntropy().fit(np.random.default_rng(0).normal(size=(300, 1)))
    >>> abs(fitted.entropy_ - 0.5 * log(2 * pi * e)) < 4 * fitted.entropy_stderr_, fitted.status_
    (True, 'ok')
    """

    def __init__(
        self,
        bandwidth: float | str = "cv",
        *,
        n_splits: int = 5,
        dim: int | None = None,
        jackknife_blocks: int = 10,
    ) -> None:
        self.bandwidth = bandwidth
        self.n_splits = n_splits
        self.dim = dim
        self.jackknife_blocks = jackknife_blocks

    def _min_samples(self) -> int:
        return 2 * self.n_splits

    def _validate(self, n: int, d: int) -> None:
        require_integer("n_splits", self.n_splits, 2)
        if isinstance(self.bandwidth, str):
            if self.bandwidth != "cv":
                raise ValueError(f"bandwidth must be a positive number or the word 'cv', got {self.bandwidth!r}")
        elif not (np.isfinite(self.bandwidth) and self.bandwidth > 0):
            raise ValueError(f"bandwidth must be a positive number or the word 'cv', got {self.bandwidth!r}")
        if n < self._min_samples():
            raise InsufficientData(
                f"{type(self).__name__} with n_splits={self.n_splits} needs at least {self._min_samples()} snapshots, "
                f"got n_samples={n}: record more snapshots or lower n_splits"
            )

    def _evaluator(self, X: AnyArray) -> Evaluator:
        points, scale = unit_scale(isometric_embedding(X) if X.shape[1] >= len(X) else X, self.dim_)
        if isinstance(self.bandwidth, str):
            scott = -np.log(len(points)) / (self.dim_ + 4)
            best = minimize_scalar(
                lambda log_h: -float(self._held_out_log_density(points, float(np.exp(log_h))).mean()),
                bounds=(scott - np.log(50.0), scott + np.log(10.0)),
                method="bounded",
                options={"xatol": 1e-3},
            )
            bandwidth = float(np.exp(best.x))
        else:
            bandwidth = self.bandwidth / scale
        self.bandwidth_ = bandwidth * scale
        surprise = self.dim_ * np.log(scale) - self._held_out_log_density(points, bandwidth)

        def evaluate(keep: IntArray) -> float:
            return float(surprise[keep].mean())

        return evaluate

    def _held_out_log_density(self, points: FloatArray, bandwidth: float) -> FloatArray:
        n, columns = points.shape
        log_density = np.empty(n)
        for train, test in time_block_splits(n, self.n_splits):
            # One leaf for all points: with smaller leaves the tree's bounds swamp the sum in many dimensions, and
            # the answer is wrong by 2.8 nats at d = 50 and by 388 at d = 1000.
            model = KernelDensity(bandwidth=bandwidth, leaf_size=n).fit(points[train])
            log_density[test] = model.score_samples(points[test])
        # The kernel is isotropic: in the D − columns directions that an embedding leaves out all points agree.
        missing = self.dim_ - columns
        return np.asarray(log_density - missing * np.log(bandwidth * np.sqrt(2 * np.pi)))
