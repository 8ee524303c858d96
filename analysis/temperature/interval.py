"""The paper's interval estimate of the temperature (arXiv 2505.23489)."""

from __future__ import annotations

import numpy as np

from analysis.results import EMPTY, OK, UNIDENTIFIED, ZERO_TEMPERATURE, FloatArray
from analysis.temperature.result import TemperatureCurve
from analysis.temperature.states import States

#: Half-width of the paper's triangular smoothing kernel, in ln lr.
PAPER_BANDWIDTH = 0.3


def interval_temperatures(states: States, epsilon: float) -> TemperatureCurve:
    """The paper's interval on the means over repeated learning rates; end points get no temperature."""
    mean, where = states.by_lr()
    u, s = (_smooth(mean.x, values) for values in (mean.loss, mean.entropy))
    n = len(mean.lr)
    low, high = np.full(n, np.nan), np.full(n, np.nan)
    for i in range(1, n - 1):
        with np.errstate(divide="ignore", invalid="ignore"):
            bound = (u[i] - u - epsilon) / (s[i] - s)
        above, below = bound[i + 1 :], bound[:i]
        above, below = above[np.isfinite(above)], below[np.isfinite(below)]
        high[i] = above.min() if len(above) else np.nan
        low[i] = max(0.0, below.max()) if len(below) else np.nan
        # A bound that no state sets takes the value of the other.
        if not len(below) or low[i] == 0.0:
            low[i] = high[i]
        if not len(above):
            high[i] = low[i]
    # Where the loss falls as the entropy rises both bounds are negative: no temperature.
    product = low * high
    temperature = np.sqrt(np.where((product >= 0) & (high >= 0), product, np.nan))
    status = np.full(n, OK, dtype="<U32")
    status[temperature == 0] = ZERO_TEMPERATURE
    status[low > high] = EMPTY
    status[~np.isfinite(temperature)] = UNIDENTIFIED
    nothing = np.full(len(where), np.nan)
    return TemperatureCurve(
        states.lr, temperature[where], low[where], high[where], nothing, status[where], "interval", float("nan")
    )


def _smooth(x: FloatArray, y: FloatArray) -> FloatArray:
    kernel = np.maximum(PAPER_BANDWIDTH - np.abs(x[:, None] - x[None, :]), 0.0)
    smooth: FloatArray = (kernel / kernel.sum(axis=1, keepdims=True)) @ y
    smooth[[0, -1]] = y[[0, -1]]
    return smooth
