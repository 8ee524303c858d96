"""Directions in which the snapshots do not move: the rank, and a frozen floor below the moving ones."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigvalsh

from analysis.results import FloatArray

#: A frozen floor shows as a drop by this factor in the spectrum, below directions that hold most of the variance.
FLOOR_GAP = 10.0
#: Number of smallest eigenvalues where jumps are ignored: with as many snapshots as directions spectra end in jumps.
FLOOR_EDGE = 4


def spectrum_of(gram: FloatArray, d: int) -> FloatArray:
    """Eigenvalues of the Gram matrix of the centred snapshots, descending, without the zero that centring makes."""
    n = len(gram)
    count = min(n - 1, d)
    return np.asarray(eigvalsh(gram)[::-1][:count])


def floor_of(spectrum: FloatArray, correlated: bool) -> tuple[int, float, int]:
    """Number of directions above a jump of the spectrum (0 for none), their share of the variance, and the rank.

    The spectrum of a diffusing path falls steeply by itself, so that correlated snapshots need a larger jump.
    """
    rank = int(np.count_nonzero(spectrum > 100 * np.finfo(float).eps * len(spectrum) * spectrum[0]))
    most = max(1, len(spectrum) - FLOOR_EDGE)
    gap = FLOOR_GAP**2 if correlated else FLOOR_GAP
    jumps = np.nonzero(spectrum[:most] > gap * np.maximum(spectrum[1 : most + 1], 0.0))[0]
    if not len(jumps):
        return 0, 0.0, rank
    active = int(jumps[-1]) + 1
    return active, float(spectrum[:active].sum() / spectrum.sum()), rank
