"""Gram matrices of many-dimensional snapshots: N×N numbers from N points in up to 10^6 dimensions.

They carry all that nearest neighbours, Gaussian kernels and dual-form Gaussians need. The columns are processed in
panels that stay in the processor's cache, so that float32 snapshots are never copied whole to float64.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike
from scipy.linalg.blas import dsyrk, ssyrk

from analysis._typing import AnyArray, FloatArray, IntArray

#: Float64 numbers held at once by a chunk (64 MiB).
CHUNK = 2**23
#: Numbers of a panel: 4 MiB of float64, which the symmetric product reads from the cache.
_PANEL = 2**19
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


def provisional_centre(X: AnyArray) -> FloatArray:
    """A point (d,) amid the rows of X: all that subtracting it has to do is to keep a Gram matrix from cancelling."""
    rows = np.linspace(0, len(X) - 1, min(len(X), _CENTRE_ROWS)).astype(int)
    return np.asarray(X[rows].mean(axis=0, dtype=np.float64))


def centred_gram(X: AnyArray, precision: DTypeLike = np.float64) -> FloatArray:
    """Gram matrix (n, n) of the rows of X (n, d) about their mean, accumulated in float64.

    Parameters
    ----------
    X : float32 or float64.
    precision : of the products within a panel of some hundred columns. float32 takes about half the time and leaves
        relative errors of some 1e-7 of the norms.
    """
    return recentred_in_place(gram_about(X, provisional_centre(X), precision))


def gram_about(X: AnyArray, centre: FloatArray | None = None, precision: DTypeLike = np.float64) -> FloatArray:
    """Gram matrix (n, n) of the rows of X (n, d) about the point `centre` (d,), None for the origin."""
    n, d = X.shape
    precise = np.dtype(precision) == np.float64
    offset = np.zeros(d, dtype=precision) if centre is None else centre.astype(precision)
    width = min(d, max(1, _PANEL // n))
    panel = np.empty((n, width), dtype=precision)
    gram = np.zeros((n, n), order="F")
    for start in range(0, d, width):
        # The last panel is narrower, and BLAS wants its columns next to each other.
        part = panel if d - start >= width else np.empty((n, d - start), dtype=precision)
        columns = slice(start, start + part.shape[1])
        np.subtract(X[:, columns], offset[columns], out=part, casting="same_kind")
        if precise:
            gram = dsyrk(1.0, part.T, beta=1.0, c=gram, trans=1, overwrite_c=1)
        else:
            gram += ssyrk(1.0, part.T, trans=1)
    return mirrored(gram)


def mirrored(upper: FloatArray) -> FloatArray:
    """The symmetric matrix (n, n) whose upper triangle is given, above zeros."""
    whole = upper + upper.T
    np.fill_diagonal(whole, np.diag(upper))
    return np.asarray(whole)


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
