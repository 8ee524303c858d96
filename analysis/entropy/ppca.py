"""Probabilistic PCA: q directions with their own variance over an isotropic remainder."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold

from analysis.entropy.base import (
    EntropyEstimator,
    Evaluator,
    check_rank,
    half_log_2pi_e,
    require_integer,
)
from analysis.geometry import isometric_embedding
from analysis.results import AnyArray, FloatArray, InsufficientData, IntArray


class ProbabilisticPCAEntropy(EntropyEstimator):
    """S = ½[D ln 2πe + Σ_{i≤q} ln λ_i + (D − q) ln σ²], σ² = Σ_{i>q} λ_i/(D − q), Tipping & Bishop 1999.

    λ_i are the principal variances of scikit-learn's `PCA` (denominator N − 1), found in the isometric embedding
    when there are more weights than snapshots; its own ``noise_variance_`` is not used there, since it averages
    over the embedding's dimensions instead of D.

    Parameters
    ----------
    n_components : q, or ``cv`` for the q with the best likelihood of held-out contiguous time blocks. Compare
        learning rates at one common q: a q that changes between them shows up as a step in S.
    n_splits : number of time blocks of the cross-validation.
    dim : D of the formula; None means the number of columns. An isometric embedding needs the original d.
    jackknife_blocks : number of time blocks for the standard error (at fixed q), each at least 10 correlation
        times; 0 is off.

    Attributes
    ----------
    n_components_ : int
        The q that was used.
    noise_variance_ : float
        σ².
    entropy_, entropy_stderr_, status_, n_duplicates_, dim_, n_features_in_ : see `EntropyEstimator`.
        Below 5D snapshots the status is ``unidentified``: the isotropic remainder is then an assumption.

    Examples
    --------
    One wide direction over an isotropic remainder in five dimensions, S = (5/2) ln 2πe + ln 10:

    >>> from math import e, log, pi
    >>> import numpy as np
    >>> from analysis import ProbabilisticPCAEntropy
    >>> x = np.random.default_rng(0).normal(size=(500, 5)) * [10, 1, 1, 1, 1]
    >>> fitted = ProbabilisticPCAEntropy(n_components=1).fit(x)
    >>> exact = 2.5 * log(2 * pi * e) + log(10)
    >>> abs(fitted.entropy_ - exact) < 4 * fitted.entropy_stderr_, fitted.status_
    (True, 'ok')
    """

    def __init__(
        self,
        n_components: int | str = "cv",
        *,
        n_splits: int = 5,
        dim: int | None = None,
        jackknife_blocks: int = 10,
    ) -> None:
        self.n_components = n_components
        self.n_splits = n_splits
        self.dim = dim
        self.jackknife_blocks = jackknife_blocks

    def _min_samples(self) -> int:
        return 3 if self.n_components == "cv" else int(self.n_components) + 2

    def _validate(self, n: int, d: int) -> None:
        require_integer("n_splits", self.n_splits, 2)
        if self.n_components != "cv":
            q = require_integer("n_components (or the word 'cv')", self.n_components, 0)
            if q >= self.dim_:
                raise ValueError(
                    f"n_components={q} must be smaller than the dimension D={self.dim_}: X has n_features={d}"
                )
        needed = max(self._min_samples(), 2 * self.n_splits if self.n_components == "cv" else 0)
        if n < needed:
            raise InsufficientData(
                f"{type(self).__name__} with n_components={self.n_components!r} and n_splits={self.n_splits} needs at "
                f"least {needed} snapshots, got n_samples={n}: record more snapshots or lower these numbers"
            )

    def _evaluator(self, X: AnyArray) -> Evaluator:
        points = isometric_embedding(X) if X.shape[1] >= len(X) else X.astype(np.float64)
        self.n_components_ = (
            _cross_validated_q(points, self.dim_, self.n_splits)
            if self.n_components == "cv"
            else int(self.n_components)
        )
        q = self.n_components_
        everything = _principal_variances(points, self.dim_)
        self.noise_variance_ = float(everything[q:].sum()) / (self.dim_ - q)

        def evaluate(keep: IntArray) -> float:
            variances = everything if len(keep) == len(points) else _principal_variances(points[keep], self.dim_)
            noise = float(variances[q:].sum()) / (self.dim_ - q)
            if noise <= 0 or np.any(variances[:q] <= 0):
                return -np.inf
            return half_log_2pi_e(self.dim_) + 0.5 * float(
                np.sum(np.log(variances[:q])) + (self.dim_ - q) * np.log(noise)
            )

        return evaluate


def _positive_variances(pca: PCA, n: int, dim: int) -> FloatArray:
    """Principal variances, descending, at most n − 1 of them and exact zeros below rounding."""
    variances = check_rank(dim, np.asarray(pca.explained_variance_)[: n - 1])
    return np.where(variances > n * np.finfo(np.float64).eps * variances[0], variances, 0.0)


def _principal_variances(points: FloatArray, dim: int) -> FloatArray:
    return _positive_variances(PCA(svd_solver="full").fit(points), len(points), dim)


def _cross_validated_q(points: FloatArray, dim: int, n_splits: int) -> int:
    """Number of components that predicts held-out time blocks best.

    All q are scored at once: the first q squared projections and the rest of |x|² are cumulative sums.
    """
    n = len(points)
    scores: list[FloatArray] = []
    for train, test in KFold(n_splits).split(points):
        pca = PCA(svd_solver="full").fit(points[train])
        variances = _positive_variances(pca, len(train), dim)
        rank = int(np.count_nonzero(variances))
        if rank == 0:
            continue
        q = np.arange(min(rank, dim))
        spanned = variances[:rank]
        noise = (spanned.sum() - np.concatenate([[0.0], np.cumsum(spanned)[:-1]]))[: len(q)] / (dim - q)
        sq_projections = np.mean(pca.transform(points[test])[:, :rank] ** 2, axis=0)
        sq_norm = float(np.mean(np.sum((points[test] - pca.mean_) ** 2, axis=1)))
        explained = np.concatenate([[0.0], np.cumsum(sq_projections / spanned)[:-1]])[: len(q)]
        left_over = sq_norm - np.concatenate([[0.0], np.cumsum(sq_projections)[:-1]])[: len(q)]
        log_spanned = np.concatenate([[0.0], np.cumsum(np.log(spanned))[:-1]])[: len(q)]
        score = -0.5 * (log_spanned + (dim - q) * np.log(noise) + explained + left_over / noise)
        scores.append(score * len(test) / n)
    if not scores:
        return 0
    shared = min(len(score) for score in scores)
    return int(np.argmax(np.sum([score[:shared] for score in scores], axis=0)))
