"""Slopes of a line over drawn groups of points: errors that know that the points of one group go together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.results import FloatArray, IntArray


def slopes_over_groups(groups: Sequence[tuple[FloatArray, FloatArray]], counts: IntArray) -> FloatArray:
    """Least-squares slopes of y on x, one for each way to count the groups (Cameron, Gelbach & Miller 2008).

    Parameters
    ----------
    groups : k pairs of x and y, (n_i,) each.
    counts : (m, k) how often each group is drawn.

    Returns
    -------
    (m,) slopes; NaN where the drawn x hardly differ.
    """
    # A draw is a sum of rows, whatever the number of points.
    sums = np.array([[len(x), x.sum(), y.sum(), x @ x, x @ y] for x, y in groups])
    n, x, y, xx, xy = (counts @ sums).T
    spread = xx - x * x / n
    usable = spread > 1e-9 * spread.max()
    return np.asarray(np.divide(xy - x * y / n, spread, out=np.full(len(n), np.nan), where=usable))
