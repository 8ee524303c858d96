"""Held-out score of a Gaussian mixture: an upper bound on the entropy of few-dimensional, multi-modal weights."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from analysis.entropy.base import EntropyEstimator, Evaluator, require_integer
from analysis.entropy.held_out import time_block_splits, unit_scale
from analysis.results import AnyArray, FloatArray, InsufficientData, IntArray

_FILTERS = threading.Lock()
_TYPES = ("full", "tied", "diag", "spherical")


class GaussianMixtureEntropy(EntropyEstimator):
    """S ≤ −(1/N) Σ_i ln p̂_{−b(i)}(x_i), p̂_{−b} scikit-learn's `GaussianMixture` fitted without time block b.

    Parameters
    ----------
    n_components : number of Gaussians, or ``cv`` for the number up to `max_components` with the best score.
    covariance_type : ``full``, ``tied``, ``diag`` or ``spherical``. ``diag`` depends on the choice of axes.
    n_splits : number of contiguous time blocks, each held out once.
    max_components : largest number that ``cv`` tries.
    reg_covar : floor added to the variances, in units of the mean variance of X per dimension.
    random_state : seed of the initial k-means.
    dim : must be None or the number of columns: a density of an embedding is not a density of the full space.
    jackknife_blocks : number of time blocks for the standard error of the mean score, each at least 10
        correlation times; 0 is off. The fitted mixtures are kept.

    Attributes
    ----------
    n_components_ : int
        Number of Gaussians used.
    entropy_, entropy_stderr_, status_, n_duplicates_, dim_, n_features_in_ : see `EntropyEstimator`.

    Examples
    --------
    Two narrow, equally likely normals far apart have ln 2 nats more than one:

    >>> from math import e, log, pi
    >>> import numpy as np
    >>> from analysis import GaussianMixtureEntropy
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 1)) + rng.choice([-50, 50], size=(200, 1))
    >>> fitted = GaussianMixtureEntropy(n_components=2).fit(x)
    >>> exact = 0.5 * log(2 * pi * e) + log(2)
    >>> abs(fitted.entropy_ - exact) < 4 * fitted.entropy_stderr_, fitted.status_
    (True, 'ok')
    """

    def __init__(
        self,
        n_components: int | str = "cv",
        covariance_type: str = "full",
        *,
        n_splits: int = 5,
        max_components: int = 6,
        reg_covar: float = 1e-6,
        random_state: int | np.random.RandomState | None = 0,
        dim: int | None = None,
        jackknife_blocks: int = 10,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.n_splits = n_splits
        self.max_components = max_components
        self.reg_covar = reg_covar
        self.random_state = random_state
        self.dim = dim
        self.jackknife_blocks = jackknife_blocks

    def _min_samples(self) -> int:
        return 2 * self.n_splits

    def _validate(self, n: int, d: int) -> None:
        require_integer("n_splits", self.n_splits, 2)
        require_integer("max_components", self.max_components, 1)
        if self.n_components != "cv":
            require_integer("n_components (or the word 'cv')", self.n_components, 1)
        if self.covariance_type not in _TYPES:
            raise ValueError(f"covariance_type must be one of {', '.join(_TYPES)}; got {self.covariance_type!r}")
        if not (np.isfinite(self.reg_covar) and self.reg_covar >= 0):
            raise ValueError(f"reg_covar must be a finite number of at least 0, got {self.reg_covar!r}")
        if self.dim_ != d:
            raise InsufficientData(
                f"{type(self).__name__} needs dim={d}, the number of columns of X, got dim={self.dim_}: project X on a "
                "shared subspace or a tangent space instead"
            )
        needed = max(2 * self.n_splits, 0 if self.n_components == "cv" else 2 * int(self.n_components))
        if n < needed:
            raise InsufficientData(
                f"{type(self).__name__} with n_components={self.n_components!r} and n_splits={self.n_splits} needs at "
                f"least {needed} snapshots, got n_samples={n}: record more snapshots or lower these numbers"
            )

    def _evaluator(self, X: AnyArray) -> Evaluator:
        points, scale = unit_scale(X, self.dim_)
        candidates: Iterable[int] = (
            (int(self.n_components),)
            if self.n_components != "cv"
            else range(1, min(self.max_components, len(X) // 2) + 1)
        )
        scored = {number: self._held_out_log_density(points, number) for number in candidates}
        self.n_components_ = max(scored, key=lambda number: float(scored[number].mean()))
        surprise = self.dim_ * np.log(scale) - scored[self.n_components_]

        def evaluate(keep: IntArray) -> float:
            return float(surprise[keep].mean())

        return evaluate

    def _held_out_log_density(self, points: FloatArray, number: int) -> FloatArray:
        log_density = np.empty(len(points))
        for train, test in time_block_splits(len(points), self.n_splits):
            model = GaussianMixture(
                number,
                covariance_type=self.covariance_type,
                reg_covar=self.reg_covar,
                max_iter=500,
                random_state=self.random_state,
            )
            # Warning filters belong to the whole process: runs that are measured in parallel take turns.
            with _FILTERS, warnings.catch_warnings():
                # A fit that stopped early, or that has fewer distinct points than Gaussians, is still a density:
                # its held-out score stays an upper bound.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(points[train])
            log_density[test] = model.score_samples(points[test])
        return log_density
