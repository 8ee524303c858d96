"""Kozachenko–Leonenko nearest-neighbour entropy, with a Theiler window and optional whitening."""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, gammaln

from analysis.entropy.base import EntropyEstimator, Evaluator, check_rank, require_integer
from analysis.entropy.shrinkage import SampleSpectrum, linear, oas_weight
from analysis.geometry import NeighbourFinder, isometric_embedding
from analysis.results import AnyArray, FloatArray, InsufficientData, IntArray


def log_unit_ball_volume(dim: int) -> float:
    """ln V_D of the unit ball; by ln Γ, since Γ itself overflows at D = 342."""
    return float(0.5 * dim * np.log(np.pi) - gammaln(0.5 * dim + 1))


def whitened(points: FloatArray, dim: int) -> tuple[FloatArray, float]:
    """Rows of `points` (n, d) scaled to unit OAS-shrunk covariance, and the ½ ln|Σ| that this removed, in nats.

    The coordinates (n, r) are along the principal axes. Shrinkage keeps the map invertible when N ≤ D.
    """
    centred = points - points.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    rank = min(len(singular), len(points) - 1)
    left, singular = left[:, :rank], check_rank(dim, singular[:rank] ** 2) ** 0.5
    left = left[:, : len(singular)]
    sample = SampleSpectrum(singular**2, np.einsum("nd,nd->n", centred, centred), dim)
    covariance = linear(sample, oas_weight)
    half_log_det = 0.5 * covariance.log_det()
    if not np.isfinite(half_log_det):
        return centred, -np.inf
    return left * (singular / np.sqrt(covariance.spanned)), half_log_det


class KozachenkoLeonenkoEntropy(EntropyEstimator):
    """S = (D/N) Σ_i ln r_k(i) + ln V_D + ψ(N) − ψ(k), Kozachenko & Leonenko 1987, k > 1 by Goria et al. 2005.

    With a Theiler window (Theiler 1986) snapshots within `theiler` steps in time do not count as neighbours, so
    that correlated snapshots are not their own nearest neighbours. Point i then has M_i candidates instead of
    N − 1, and ψ(N) becomes the mean of ψ(M_i + 1).

    A distance has one scale for all directions. With ``whiten`` distances are taken after linear whitening by the
    OAS-shrunk covariance Σ, and ½ ln|Σ| is added back, which is exact for any linear map.

    Parameters
    ----------
    k : the formula uses the distance to the k-th nearest neighbour.
    theiler : number of snapshots on either side in time that do not count as neighbours; about 3 correlation times.
    whiten : remove the covariance first; needed beyond D ≈ 5.
    dim : D of the formula; None means the number of columns. Points on S^(d−1) have D = d − 1.
    jackknife_blocks : number of time blocks for the standard error, each at least 10 correlation times; 0 is off.

    Attributes
    ----------
    entropy_, entropy_stderr_, status_, n_duplicates_, dim_, n_features_in_ : see `EntropyEstimator`.
        More than k identical snapshots give -inf with status ``duplicates``.

    Examples
    --------
    The uniform density on the unit interval has S = 0:

    >>> import numpy as np
    >>> from analysis import KozachenkoLeonenkoEntropy
    >>> fitted = KozachenkoLeonenkoEntropy().fit(np.random.default_rng(0).uniform(size=(1000, 1)))
    >>> abs(fitted.entropy_) < 4 * fitted.entropy_stderr_, fitted.status_
    (True, 'ok')
    """

    def __init__(
        self,
        k: int = 4,
        theiler: int = 0,
        whiten: bool = False,
        *,
        dim: int | None = None,
        jackknife_blocks: int = 10,
    ) -> None:
        self.k = k
        self.theiler = theiler
        self.whiten = whiten
        self.dim = dim
        self.jackknife_blocks = jackknife_blocks

    def _min_samples(self) -> int:
        return self.k + 1 + 2 * self.theiler

    def _validate(self, n: int, d: int) -> None:
        require_integer("k", self.k, 1)
        require_integer("theiler", self.theiler, 0)
        if n < self._min_samples():
            raise InsufficientData(
                f"{type(self).__name__} with k={self.k} and theiler={self.theiler} needs at least "
                f"k + 1 + 2·theiler = {self._min_samples()} snapshots, got n_samples={n}: "
                "record more snapshots or lower k or theiler"
            )

    def _evaluator(self, X: AnyArray) -> Evaluator:
        if self.whiten:
            # The principal axes of an isometric copy are those of X: d = 10^6 columns are touched once.
            points = isometric_embedding(X) if X.shape[1] >= len(X) else X.astype(np.float64)

            def evaluate_whitened(keep: IntArray) -> float:
                coordinates, half_log_det = whitened(points[keep], self.dim_)
                if half_log_det == -np.inf:
                    return -np.inf
                finder = NeighbourFinder(coordinates)
                local = np.arange(len(keep))
                return half_log_det + self._formula(finder.nearest(local, self.k, self.theiler, times=keep), keep)

            return evaluate_whitened
        finder = NeighbourFinder(X)
        return lambda keep: self._formula(finder.nearest(keep, self.k, self.theiler), keep)

    def _formula(self, distances: FloatArray, keep: IntArray) -> float:
        kth = distances[:, self.k - 1]
        if np.any(kth == 0):
            return -np.inf
        # keep is sorted: the candidates of each point are all but the stretch within its Theiler window.
        inside = np.searchsorted(keep, keep + self.theiler, "right") - np.searchsorted(keep, keep - self.theiler)
        candidates = len(keep) - inside
        return float(
            self.dim_ * np.mean(np.log(kth))
            + log_unit_ball_volume(self.dim_)
            + np.mean(digamma(candidates + 1))
            - digamma(self.k)
        )
