"""Tests of one-dimensional series: agreement between seeds, and stationarity of a decorrelated series."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from analysis.stationarity.correlation import integrated_time
from analysis.stationarity.thinning import INDEPENDENT_TAU

#: The KPSS statistic that independent samples exceed once in a thousand times: the limit is the Cramér-von Mises
#: distribution, tabulated by Anderson & Darling 1952.
KPSS_RARE = 1.168
#: Fewer decorrelated samples than this say nothing about a level.
_FEWEST = 10


def split_rhat(chains: ArrayLike) -> float:
    """Potential scale reduction of halved chains (Gelman et al. 2013, ch. 11.4): 1 when they agree, above 1.01 if not.

    Parameters
    ----------
    chains : (m, n) one observable of m seeds; with a single seed its two halves are compared.

    Raises
    ------
    ValueError
        For fewer than 4 samples per chain or values that are not finite.
    """
    x = np.atleast_2d(np.asarray(chains, dtype=float))
    if x.ndim != 2 or x.shape[1] < 4 or not np.isfinite(x).all():
        raise ValueError(f"chains must hold at least 4 finite samples each, got shape {x.shape}")
    half = x.shape[1] // 2
    parts = np.concatenate([x[:, :half], x[:, -half:]])
    within = float(parts.var(axis=1, ddof=1).mean())
    between = half * float(parts.mean(axis=1).var(ddof=1))
    if within == 0:
        return 1.0 if between == 0 else float("inf")
    return float(np.sqrt((half - 1) / half + between / (half * within)))


def kpss_statistic(series: ArrayLike) -> float:
    """KPSS statistic of a constant level (Kwiatkowski et al. 1992) of a series (n,) thinned to independence.

    Independent samples exceed 0.739 once in a hundred times and `KPSS_RARE` once in a thousand. NaN when fewer than 10
    independent samples are left, or for a constant series.
    """
    # Imported here: trainings use this module, and start sooner without.
    from scipy.signal import detrend

    x = np.asarray(series, dtype=float)
    # A trend is what the test is for: it must not be taken for correlation, which would thin it away.
    tau = integrated_time(detrend(x))
    # Where tau is 1 within its noise the series is taken as it is.
    thinned = x[:: int(np.ceil(2 * tau))] if tau > INDEPENDENT_TAU else x
    if len(thinned) < _FEWEST or np.ptp(thinned) == 0:
        return float("nan")
    # Kwiatkowski et al. 1992 without lags, written out: statsmodels' warns where its table of p-values ends, and a
    # warning cannot be silenced in one thread alone.
    centred = thinned - thinned.mean()
    # A run at its optimum has losses whose squares underflow.
    centred /= np.abs(centred).max()
    return float(np.sum(np.cumsum(centred) ** 2) / (len(thinned) * np.sum(centred**2)))
