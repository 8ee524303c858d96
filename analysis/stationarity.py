"""Correlation times of slow observables, and the number of independent snapshots that they leave."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft

from analysis._typing import AnyArray, FloatArray
from analysis.entropy.distances import centred_gram

#: Window of the sum over the autocorrelation, in correlation times (Sokal 1997).
SOKAL_WINDOW = 5.0
#: Leading principal components that are looked at.
SLOW_COMPONENTS = 3


def integrated_time(values: ArrayLike) -> float:
    """Integrated autocorrelation time in samples, 1 + 2·Σρ_t, at least 1; 1 for independent samples.

    The sum ends at the first lag beyond `SOKAL_WINDOW` times the sum so far (Sokal 1997), which keeps the noise
    of large lags out.

    Raises
    ------
    ValueError
        For a series that is not one-dimensional or shorter than 4, or holds NaN or infinity.
    """
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or len(x) < 4 or not np.isfinite(x).all():
        raise ValueError(f"values must be a finite series of at least 4 samples, got shape {x.shape}")
    centred = x - x.mean()
    n = len(x)
    spectrum = fft.rfft(centred, fft.next_fast_len(2 * n))
    correlation = fft.irfft(np.abs(spectrum) ** 2)[:n]
    if correlation[0] <= 1e-20 * max(1.0, float(np.max(x**2))) * n:
        return 1.0
    sums = 2.0 * np.cumsum(correlation / correlation[0]) - 1.0
    stops = np.arange(n) >= SOKAL_WINDOW * sums
    return float(max(1.0, sums[np.argmax(stops)] if stops.any() else sums[-1]))


def slow_observables(weights: AnyArray) -> FloatArray:
    """Scores on the leading principal components and the squared distance to the first snapshot.

    Parameters
    ----------
    weights : (n, d)

    Returns
    -------
    (m, n) array, one observable a row. The loss decorrelates faster than these and would flatter n_eff.
    """
    gram = centred_gram(weights)
    values, vectors = np.linalg.eigh(gram)
    count = min(SLOW_COMPONENTS, len(gram) - 1)
    scores = vectors[:, ::-1][:, :count] * np.sqrt(np.maximum(values[::-1][:count], 0.0))
    square = np.diag(gram)
    distance = square + square[0] - 2.0 * gram[0]
    return np.vstack([scores.T, distance])


def correlation_time(weights: AnyArray) -> float:
    """Integrated autocorrelation time, in snapshots, of the slowest of the slow observables of weights (n, d)."""
    return max(integrated_time(observable) for observable in slow_observables(weights))


def mean_and_stderr(values: ArrayLike) -> tuple[float, float]:
    """Mean of a correlated series and its standard error, sd·sqrt(tau/n)."""
    x = np.asarray(values, dtype=float)
    tau = integrated_time(x)
    return float(x.mean()), float(x.std(ddof=1) * np.sqrt(tau / len(x)))
