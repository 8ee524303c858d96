"""Slopes of a line over resampled groups of points, for errors that allow for correlations within a group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.results import FloatArray, IntArray


def slopes_over_groups(groups: Sequence[tuple[FloatArray, FloatArray]], counts: IntArray) -> FloatArray:
    """Least-squares slopes of y on x, one for each resample of the groups (Cameron, Gelbach & Miller 2008).

    Parameters
    ----------
    groups : k pairs of x and y, (n_i,) each.
    counts : (m, k) how often each resample holds each group.

    Returns
    -------
    (m,) slopes; NaN where the x of a resample hardly differ.
    """
    # A resample is a weighted sum of these rows, whatever the number of points.
    sums = np.array([[len(x), x.sum(), y.sum(), x @ x, x @ y] for x, y in groups])
    n, x, y, xx, xy = (counts @ sums).T
    spread = xx - x * x / n
    usable = spread > 1e-9 * spread.max()
    return np.asarray(np.divide(xy - x * y / n, spread, out=np.full(len(n), np.nan), where=usable))
