"""Shrunk covariance spectra from the spectrum of the sample alone, in any number of dimensions.

Shrinkage towards a multiple of the identity keeps the eigenvectors, and the D − r directions that the sample does
not span all get the same eigenvalue. The log-determinant therefore needs only the r ≤ N−1 sample eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.results import FloatArray


@dataclass(frozen=True)
class Moments:
    """What linear shrinkage needs to know of N centred snapshots in D dimensions.

    Attributes
    ----------
    n, dim : N and D.
    trace, trace_sq : of the sample covariance (1/N) and of its square.
    fourth : mean of |x_n|⁴.
    """

    n: int
    dim: int
    trace: float
    trace_sq: float
    fourth: float


@dataclass(frozen=True)
class SampleSpectrum:
    """What a covariance estimate needs to know of N centred snapshots in D dimensions.

    Attributes
    ----------
    scatter : (r,) eigenvalues of the centred scatter matrix Σ_n x_n x_nᵀ, descending, r = min(N − 1, D).
    sq_norms : (n,) squared distances |x_n|² of the snapshots from their mean.
    dim : D.
    """

    scatter: FloatArray
    sq_norms: FloatArray
    dim: int

    @property
    def n(self) -> int:
        """Number of snapshots N."""
        return len(self.sq_norms)

    def moments(self) -> Moments:
        """Traces and fourth moment."""
        eigenvalues = self.scatter / self.n
        fourth = float(np.mean(self.sq_norms**2))
        return Moments(self.n, self.dim, float(eigenvalues.sum()), float(np.sum(eigenvalues**2)), fourth)


@dataclass(frozen=True)
class CovarianceSpectrum:
    """Eigenvalues of a covariance estimate: the r that the sample spans, and the one shared by the other D − r."""

    spanned: FloatArray
    rest: float
    dim: int
    shrinkage: float = float("nan")

    def log_det(self) -> float:
        """ln|Σ|; -inf when an eigenvalue is zero."""
        missing = self.dim - len(self.spanned)
        if np.any(self.spanned <= 0) or (missing > 0 and self.rest <= 0):
            return -np.inf
        return float(np.sum(np.log(self.spanned)) + (missing * np.log(self.rest) if missing else 0.0))


def linear(sample: SampleSpectrum, weight_of: Callable[[Moments], float]) -> CovarianceSpectrum:
    """(1 − ρ)·S + ρ·(tr S/D)·1 for the covariance S of a sample and its weight ρ."""
    shrinkage = weight_of(sample.moments())
    eigenvalues = sample.scatter / sample.n
    mu = float(eigenvalues.sum()) / sample.dim
    return CovarianceSpectrum(
        (1.0 - shrinkage) * eigenvalues + shrinkage * mu, shrinkage * mu, sample.dim, float(shrinkage)
    )


def ledoit_wolf_weight(m: Moments) -> float:
    """Weight of the identity in the linear shrinkage of Ledoit & Wolf 2004, as in ``sklearn.covariance.LedoitWolf``."""
    if m.dim == 1:
        return 0.0
    beta = (m.fourth - m.trace_sq) / m.n
    delta = m.trace_sq - m.trace**2 / m.dim
    # An exactly isotropic sample has delta = 0 up to rounding: it is its own target.
    return 1.0 if delta <= 1e-14 * m.trace_sq else max(0.0, min(beta, delta)) / delta


def oas_weight(m: Moments) -> float:
    """Weight of the identity in the shrinkage of Chen et al. 2010, as in ``sklearn.covariance.OAS``."""
    if m.dim == 1:
        return 0.0
    denominator = (m.n + 1) * (m.trace_sq - m.trace**2 / m.dim)
    return 1.0 if denominator <= 0 else min((m.trace_sq + m.trace**2) / denominator, 1.0)


def _epanechnikov_hilbert(x: FloatArray) -> FloatArray:
    """Hilbert transform of the Epanechnikov kernel of unit variance, as in Ledoit & Wolf 2020.

    Far out the closed form cancels to nothing (x reaches 10^8 when D ≈ N, where some eigenvalues are tiny), so the
    series in u = √5/x takes over. At |x| = √5 the transform is continuous while its logarithm is not: 0·ln 0 = 0.
    """
    root5 = np.sqrt(5.0)
    far = np.abs(x) > 100.0
    u = root5 / np.where(far, x, 1.0)
    series = -3 / (root5 * np.pi) * (u / 3 + u**3 / 15 + u**5 / 35 + u**7 / 63)
    near = np.where(far, 0.0, x)
    below, above = np.abs(root5 - near), np.abs(root5 + near)
    logarithm = np.log(np.where(below > 0, below, 1.0) / np.where(above > 0, above, 1.0))
    closed = -3 / (10 * np.pi) * near + 3 / (4 * root5 * np.pi) * (1 - near**2 / 5) * logarithm
    return np.asarray(np.where(far, series, closed))


def nonlinear(sample: SampleSpectrum) -> CovarianceSpectrum:
    """Analytical non-linear shrinkage of Ledoit & Wolf 2020 (Ann. Statist. 48, 3043).

    The density of the sample eigenvalues and its Hilbert transform are estimated with an Epanechnikov kernel of
    bandwidth h·λ_j, h = n^(−1/3), where n = N − 1 since the mean was subtracted. A sample that does not span
    min(N − 1, D) dimensions has a zero eigenvalue, which stays zero.
    """
    n, dim = sample.n - 1, sample.dim
    eigenvalues = sample.scatter / n
    if np.any(eigenvalues <= 0):
        return CovarianceSpectrum(eigenvalues, 0.0, dim)
    h = n ** (-1.0 / 3.0)
    root5 = np.sqrt(5.0)
    x = (eigenvalues[:, None] - eigenvalues[None, :]) / (h * eigenvalues[None, :])
    density = 3 / (4 * root5) * np.mean(np.maximum(1 - x**2 / 5, 0) / (h * eigenvalues), axis=1)
    kernel = _epanechnikov_hilbert(x)
    hilbert = np.mean(kernel / (h * eigenvalues), axis=1)
    if dim <= n:
        c = dim / n
        spanned = eigenvalues / (
            (np.pi * c * eigenvalues * density) ** 2 + (1 - c - np.pi * c * eigenvalues * hilbert) ** 2
        )
        return CovarianceSpectrum(spanned, 0.0, dim)
    at_zero = 3 / (10 * h**2) + 3 / (4 * root5 * h) * (1 - 1 / (5 * h**2)) * np.log(
        np.abs((1 + root5 * h) / (1 - root5 * h))
    )
    rest = 1.0 / (np.pi * (dim - n) / n * (at_zero / np.pi * float(np.mean(1 / eigenvalues))))
    spanned = eigenvalues / (np.pi**2 * eigenvalues**2 * (density**2 + hilbert**2))
    return CovarianceSpectrum(spanned, rest, dim)
