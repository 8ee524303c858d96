"""Correlation times of slow observables, and the number of independent snapshots that they leave."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft
from scipy.linalg import eigh

from analysis.geometry import centred_gram, recentred
from analysis.results import AnyArray, FloatArray, InsufficientData

#: Window of the sum over the autocorrelation, in correlation times (Sokal 1997).
SOKAL_WINDOW = 5.0
#: Number of leading principal components that are examined.
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
    # A relative floor: an absolute one would make the result depend on the units of the series.
    if correlation[0] <= 1e-20 * float(np.max(x**2)) * n:
        return 1.0
    return time_from_correlation(correlation)


def time_from_correlation(correlation: FloatArray) -> float:
    """Integrated time of an autocorrelation (lags,) of positive value at lag 0, in samples, at least 1."""
    sums = 2.0 * np.cumsum(correlation / correlation[0]) - 1.0
    stops = np.arange(len(sums)) >= SOKAL_WINDOW * sums
    return float(max(1.0, sums[np.argmax(stops)] if stops.any() else sums[-1]))


def leading_scores(gram: FloatArray) -> FloatArray:
    """Scores (m, n) on the leading principal components, from the Gram matrix (n, n) of the centred snapshots."""
    values, vectors = _leading(gram, min(SLOW_COMPONENTS, len(gram) - 1))
    return np.asarray((vectors * np.sqrt(values)).T)


def _leading(matrix: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """The `count` largest eigenvalues (floored at zero) and their vectors, descending."""
    n = len(matrix)
    values, vectors = eigh(matrix, subset_by_index=(n - count, n - 1))
    return np.maximum(values[::-1], 0.0), vectors[:, ::-1]


def cross_fitted_scores(weights: AnyArray, gram: FloatArray | None = None) -> list[tuple[FloatArray, FloatArray]]:
    """Scores of each half of the snapshots on the leading principal components of the other half.

    The components of a sample are those combinations of the weights that happen to move slowest in it: in 200
    independent weights of one correlation time the first component's own score seems three times slower. Directions
    from the other half are free of this selection.

    Parameters
    ----------
    weights : (n, d) snapshots in time order.
    gram : (n, n) Gram matrix of the centred snapshots, if it is known.

    Returns
    -------
    A pair of series for each component, one from each half.
    """
    n, d = weights.shape
    first, second = np.arange(n // 2), np.arange(n // 2, n)
    count = min(SLOW_COMPONENTS, d, n // 2 - 1)
    out = []
    if gram is None and d <= n // 2:
        halves = [weights[part].astype(np.float64) for part in (first, second)]
        centred = [half - half.mean(axis=0) for half in halves]
        for here, there in ((0, 1), (1, 0)):
            out.append(centred[there] @ _leading(centred[here].T @ centred[here], count)[1])
    else:
        gram = centred_gram(weights) if gram is None else gram
        for chosen, other in ((first, second), (second, first)):
            _, vectors = _leading(recentred(gram, chosen), count)
            # Vectors of the centred half sum to zero, so that the rows need no centring before the product.
            scores = gram[other[0] : other[-1] + 1, chosen[0] : chosen[-1] + 1] @ vectors
            out.append(scores - scores.mean(axis=0))
    return [(out[0][:, k], out[1][:, k]) for k in range(count)]


def correlation_time(weights: AnyArray, gram: FloatArray | None = None) -> float:
    """Integrated autocorrelation time, in snapshots, of the slowest direction of weights (n, d), n >= 10.

    The largest of the leading principal components' times, each the mean over the two halves of `cross_fitted_scores`,
    and that of the squared distance to the first snapshot. Being the largest of several noisy numbers, it is 10 to 25 %
    above the truth with 50 to 100 independent snapshots, which is on the safe side.

    Raises
    ------
    InsufficientData
        Fewer than 10 snapshots.
    """
    if len(weights) < 10:
        raise InsufficientData(f"a correlation time needs at least 10 snapshots, got {len(weights)}")
    pairs = cross_fitted_scores(weights, gram)
    times = [(integrated_time(a) + integrated_time(b)) / 2 for a, b in pairs]
    return max(*times, integrated_time(_distance(weights)))


def _distance(weights: AnyArray) -> FloatArray:
    """Squared distance of the later snapshots to the first."""
    out = np.empty(len(weights) - 1)
    step = max(1, 2**23 // weights.shape[1])
    for start in range(0, len(out), step):
        difference = weights[1 + start : 1 + start + step].astype(np.float64) - weights[0]
        out[start : start + step] = np.einsum("nd,nd->n", difference, difference)
    return out


def mean_and_stderr(values: ArrayLike) -> tuple[float, float]:
    """Mean of a correlated series and its standard error, sd·sqrt(tau/n), sd/sqrt(n_eff) of several chains.

    Parameters
    ----------
    values : (n,) in time order, or (n_chains, n).
    """
    x = np.atleast_2d(np.asarray(values, dtype=float))
    n_eff = effective_size(x) if len(x) > 1 else x.size / integrated_time(x[0])
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(n_eff))


def effective_size(chains: FloatArray) -> float:
    """Independent samples among those of a scalar in several chains (Vehtari et al. 2021), at most all of them.

    Parameters
    ----------
    chains : (n_chains, n).
    """
    spread = float(chains.std())
    if spread == 0:
        return float(chains.size)
    # Here, so that a training on a machine without the library runs as long as it needs no count.
    from arviz_stats.base import array_stats

    # Scaled, because the library takes a spread below 10^-15 for none.
    found = array_stats.ess((chains - chains.mean()) / spread, chain_axis=0, draw_axis=1, method="mean")
    return float(min(found, chains.size))
