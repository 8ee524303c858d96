"""Gram matrices of many-dimensional snapshots: N×N numbers from N points in up to 10^6 dimensions.

They hold all that nearest neighbours, Gaussian kernels and dual-form Gaussians need. The columns are processed in
panels, so that float32 snapshots are never copied whole to float64.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike

from analysis.results import AnyArray, FloatArray, IntArray

#: Float64 numbers held at once by a chunk (64 MiB).
CHUNK = 2**23
#: Numbers in a panel: enough that adding up the panels' products costs little, few enough to need little memory.
_PANEL = 2**22
#: Up to this ratio of the centre's squared distance from the origin to that of the rows from it, no digits are lost.
_NEAR_ORIGIN = 1.0
#: Rows whose mean is the provisional centre.
_CENTRE_ROWS = 32


def column_chunks(n: int, d: int, at_least: int = 1) -> Iterator[slice]:
    """Slices that cover d columns of n rows in pieces of about 64 MiB and of `at_least` columns."""
    width = max(at_least, CHUNK // n, 1)
    for start in range(0, d, width):
        yield slice(start, min(start + width, d))


def centred_columns(X: AnyArray, columns: slice) -> FloatArray:
    """Columns of X (n, d) as float64 with their mean subtracted."""
    chunk = X[:, columns].astype(np.float64)
    chunk -= chunk.mean(axis=0)
    return chunk


def provisional_centre(X: AnyArray, rows: IntArray | None = None) -> FloatArray:
    """A point (d,) amid the rows of X, or amid those whose indices are given.

    Subtracting it keeps a Gram matrix from losing digits by cancellation; it need not be the mean.
    """
    few = _few(len(X)) if rows is None else rows[_few(len(rows))]
    return np.asarray(X[few].mean(axis=0, dtype=np.float64))


def _few(n: int) -> IntArray:
    """Up to `_CENTRE_ROWS` rows of n, evenly spread."""
    return np.linspace(0, n - 1, min(n, _CENTRE_ROWS)).astype(np.int64)


def centred_gram(X: AnyArray, precision: DTypeLike = np.float64) -> FloatArray:
    """Gram matrix (n, n) of the rows of X (n, d) about their mean, accumulated in float64.

    Parameters
    ----------
    X : float32 or float64.
    precision : of the products within a panel of some hundred columns. float32 takes about half the time and leaves
        relative errors of some 1e-7 of the norms.
    """
    centre = provisional_centre(X)
    spread = np.mean([np.sum((X[i] - centre) ** 2) for i in _few(len(X))])
    # So close to the origin no digits are lost, and X need not be copied to subtract the centre.
    near = float(centre @ centre) <= _NEAR_ORIGIN * float(spread)
    return recentred_in_place(gram_about(X, None if near else centre, precision))


def gram_about(
    X: AnyArray, centre: FloatArray | None = None, precision: DTypeLike = np.float64, rows: IntArray | None = None
) -> FloatArray:
    """Gram matrix (n, n) of X (n, d), or of its `rows` (n,), about the point `centre` (d,), None for the origin."""
    n, d = len(X) if rows is None else len(rows), X.shape[1]
    kind = np.dtype(precision)
    single = kind == np.float32
    # Float64 accumulates by itself; products of float32 are added up in float64 panel by panel.
    width = min(d, max(1, _PANEL // n)) if centre is not None or single or X.dtype != kind else d
    offset = None if centre is None else centre.astype(kind)
    buffer = None if centre is None and X.dtype == kind else np.empty((n, width), dtype=kind)
    gram = np.zeros((n, n))
    for start in range(0, d, width):
        columns = slice(start, min(start + width, d))
        part = panel = X[:, columns] if rows is None else X[rows, columns]
        if buffer is not None:
            panel = buffer[:, : columns.stop - start]
            if offset is None:
                panel[...] = part
            else:
                np.subtract(part, offset[columns], out=panel, casting="same_kind")
        # NumPy sees that both factors are the same array and calls BLAS's symmetric product, without copying a view.
        gram += panel @ panel.T
    return gram


def recentred_in_place(gram: FloatArray) -> FloatArray:
    """The Gram matrix about the rows' own mean instead of another centre; the argument is overwritten."""
    rows = gram.mean(axis=0)
    gram -= rows[:, None]
    gram -= rows[None, :]
    gram += rows.mean()
    return gram


def recentred(gram: FloatArray, keep: IntArray) -> FloatArray:
    """Gram matrix (m, m) of the m rows `keep` about their own mean."""
    return recentred_in_place(gram[np.ix_(keep, keep)])
