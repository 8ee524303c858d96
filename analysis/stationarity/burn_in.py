"""How many early snapshots to drop: the marginal standard error rule, where the data show a need for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from analysis.results import FloatArray
from analysis.stationarity.correlation import integrated_time

#: Standard errors by which the dropped part's mean must differ from the rest's. The rule finds some cut in any series,
#: and is applied to several observables.
SIGNIFICANT = 5.0


def mser_truncation(observables: ArrayLike) -> int:
    """Number of leading samples whose removal lowers the standard error of the mean most (White 1997, MSER).

    The series is cut into batches of √n samples. At most half of it is dropped, and nothing unless the dropped part's
    mean differs from the rest's by 5 standard errors, both with the rest's spread and correlation time: a slow
    stationary process, whose every window has a trend, is left whole.

    Parameters
    ----------
    observables : (n,) or (m, n); of m rows the largest cut counts.

    Returns
    -------
    Samples to drop.
    """
    rows = np.atleast_2d(np.asarray(observables, dtype=float))
    return max(_truncation(row) for row in rows)


def _truncation(series: FloatArray) -> int:
    n = len(series)
    size = max(1, int(np.sqrt(n)))
    count = n // size
    if count < 4:
        return 0
    # The samples that fill no batch are the first ones, which go with any transient that is dropped.
    offset = n - count * size
    means = series[offset:].reshape(count, size).mean(axis=1)
    error = np.array([means[k:].var() / (count - k) for k in range(count // 2 + 1)])
    best = int(np.argmin(error))
    cut = offset + best * size
    if best == 0:
        return 0
    dropped, kept = series[:cut], series[cut:]
    spread = kept.std() * np.sqrt(integrated_time(kept) * (1 / len(dropped) + 1 / len(kept)))
    return cut if abs(dropped.mean() - kept.mean()) > SIGNIFICANT * spread else 0
