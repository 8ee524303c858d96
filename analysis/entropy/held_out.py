"""What the two density estimators share: a held-out score over contiguous time blocks.

−E[ln p̂] of snapshots that p̂ has not seen is an upper bound on S. Random splits would leave each held-out snapshot
between two training snapshots of almost the same weights, and the bound would be lost.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import KFold

from analysis.results import AnyArray, FloatArray, IntArray


def time_block_splits(n: int, n_splits: int) -> Iterator[tuple[IntArray, IntArray]]:
    """(train, held-out) indices with each of `n_splits` contiguous blocks held out once."""
    yield from KFold(n_splits, shuffle=False).split(np.empty((n, 1)))


def unit_scale(X: AnyArray, dim: int) -> tuple[FloatArray, float]:
    """X about its mean in units of its rms spread per dimension, and that spread.

    Thresholds and search ranges inside density estimators are absolute: without this, weights in units of 10^-4
    would give a different answer than the same weights in units of 1.
    """
    centred = X.astype(np.float64)
    centred -= centred.mean(axis=0)
    scale = float(np.sqrt(np.sum(np.mean(centred**2, axis=0)) / dim))
    return centred / scale, scale
