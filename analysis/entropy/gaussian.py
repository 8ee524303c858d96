"""Entropy of the Gaussian with the sample's covariance: exact-bias maximum likelihood, or shrunk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import digamma

from analysis.entropy import shrinkage
from analysis.entropy.base import EntropyEstimator, Evaluator, half_log_2pi_e
from analysis.entropy.shrinkage import Moments, SampleSpectrum
from analysis.entropy.skewness import too_skewed
from analysis.entropy.spectrum import SpectrumFinder
from analysis.results import OK, SKEWED, TOO_FEW, UNIDENTIFIED, AnyArray, InsufficientData, IntArray, Status
from analysis.stationarity import SNAPSHOTS_PER_DIMENSION

#: Weights of the identity in the linear shrinkages, which need no spectrum.
LINEAR: dict[str, Callable[[Moments], float]] = {
    "ledoit-wolf": shrinkage.ledoit_wolf_weight,
    "oas": shrinkage.oas_weight,
}
COVARIANCES = ("ml", *LINEAR, "nonlinear")


class GaussianEntropy(EntropyEstimator):
    """S = ½ ln det(2πe Σ) with one of four estimates of the covariance Σ.

    ``ml``: maximum likelihood with its bias removed exactly for Gaussian snapshots,
    S = ½[D ln 2πe + ln|A| − D ln 2 − Σ_{i=1..D} ψ((N−i)/2)], A the centred scatter matrix (Ahmed & Gokhale 1989).
    It needs N > D snapshots (InsufficientData otherwise); below 5D the status is ``too-few-samples``, and it is
    ``skewed`` where the snapshots are far from any Gaussian.

    ``ledoit-wolf`` (Ledoit & Wolf 2004), ``oas`` (Chen et al. 2010) and ``nonlinear`` (Ledoit & Wolf 2020) are
    defined for any N. With N ≤ D they are computed from the N×N Gram matrix. Below 5D snapshots the status is
    ``unidentified``: the shrinkage, not the data, decides ln|Σ|.

    Parameters
    ----------
    covariance : ``ml``, ``ledoit-wolf``, ``oas`` or ``nonlinear``.
    dim : D of the formula; None means the number of columns. An isometric embedding needs the original d;
        points on a sphere must be mapped to a tangent space first.
    jackknife_blocks : number of time blocks for the standard error, each at least 10 correlation times; 0 is off.

    Attributes
    ----------
    shrinkage_ : float
        Weight of the identity in the linear shrinkage; NaN for the others.
    entropy_, entropy_stderr_, status_, n_duplicates_, dim_, n_features_in_ : see `EntropyEstimator`.

    Examples
    --------
    Standard normals in two dimensions have S = ln 2πe = 2.84 nats:

    >>> from math import e, log, pi
    >>> import numpy as np
    >>> from analysis import GaussianEntropy
    >>> fitted = GaussianEntropy().fit(np.random.default_rng(0).normal(size=(1000, 2)))
    >>> abs(fitted.entropy_ - log(2 * pi * e)) < 4 * fitted.entropy_stderr_, fitted.status_
    (True, 'ok')
    """

    def __init__(self, covariance: str = "ml", *, dim: int | None = None, jackknife_blocks: int = 10) -> None:
        self.covariance = covariance
        self.dim = dim
        self.jackknife_blocks = jackknife_blocks

    def _min_samples(self) -> int:
        return self.dim_ + 1 if self.covariance == "ml" else 3

    def _validate(self, n: int, d: int) -> None:
        if self.covariance not in COVARIANCES:
            raise ValueError(f"covariance must be one of {', '.join(COVARIANCES)}; got {self.covariance!r}")
        if n < self._min_samples():
            raise InsufficientData(
                f"{type(self).__name__}(covariance={self.covariance!r}) in D={self.dim_} dimensions needs at least "
                f"{self._min_samples()} snapshots, got n_samples={n}: record more snapshots"
                + (" or use a shrunk covariance such as 'oas'" if self.covariance == "ml" else "")
            )

    def _evaluator(self, X: AnyArray) -> Evaluator:
        finder = SpectrumFinder(X, self.dim_)
        self.shrinkage_ = np.nan
        self._skewed = False
        if self.covariance == "ml":
            everything = np.arange(len(X))
            # With fewer snapshots the status is another one.
            if len(X) >= SNAPSHOTS_PER_DIMENSION * self.dim_ and np.all(finder.spectrum(everything).scatter > 0):
                self._skewed = too_skewed(X, self.dim_)
            return lambda keep: unbiased_gaussian_entropy(finder.spectrum(keep))
        weight_of = LINEAR.get(self.covariance)
        # The estimate itself uses the spectrum, which shows when a sample is degenerate.
        sample = finder.spectrum(np.arange(len(X)))
        whole = shrinkage.linear(sample, weight_of) if weight_of else shrinkage.nonlinear(sample)
        self.shrinkage_ = whole.shrinkage

        def log_det(keep: IntArray) -> float:
            if len(keep) == len(X):
                return whole.log_det()
            part = finder.scatter(keep)
            return part.shrunk_log_det(weight_of) if weight_of else shrinkage.nonlinear(part.spectrum()).log_det()

        return lambda keep: half_log_2pi_e(self.dim_) + 0.5 * log_det(keep)

    def _status(self, n: int) -> Status:
        status = super()._status(n)
        if self._skewed and status == OK:
            return SKEWED
        # Maximum likelihood adds no assumption for the directions that are missing: it is short of data.
        return TOO_FEW if status == UNIDENTIFIED and self.covariance == "ml" else status


def unbiased_gaussian_entropy(sample: SampleSpectrum) -> float:
    """Exact-bias maximum-likelihood entropy in nats; -inf when the scatter matrix is singular."""
    n, dim = sample.n, sample.dim
    if len(sample.scatter) < dim or np.any(sample.scatter <= 0):
        return -np.inf
    expected = dim * np.log(2.0) + np.sum(digamma((n - np.arange(1, dim + 1)) / 2))
    return float(half_log_2pi_e(dim) + 0.5 * (np.sum(np.log(sample.scatter)) - expected))
