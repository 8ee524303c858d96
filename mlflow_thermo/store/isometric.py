"""N snapshots of d ≫ N weights as a triangle of N(N+1)/2 numbers with the same inner products."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Gives X (n, d) as blocks of columns (n, width), all of them, from the first one at every call.
Blocks = Callable[[], Iterable[NDArray[Any]]]

#: Largest relative error of a squared distance from the Gram matrix; beyond it the columns are orthogonalised.
_TOLERANCE = 1e-7


def isometric_factor(blocks: Blocks, alike: Callable[[], NDArray[Any]] | None = None) -> NDArray[np.float64]:
    """Lower-triangular L with L·Lᵀ = X·Xᵀ: its rows have the norms, angles and distances of the rows of X.

    It is computed from the Gram matrix of the rows about their mean, with the origin as one more point. Where some rows
    are so much closer to each other than to the others that their distance drowns in the rounding errors of the Gram
    matrix, the columns are orthogonalised instead, which squares nothing and takes four times as long. The relative
    error of a squared distance is at most 1e-7.

    Parameters
    ----------
    blocks : callable
        Gives the columns of X (n, d), d >= n, block by block. Needs memory for 2 float64 copies of a block, for 4
        where it orthogonalises.
    alike : callable, optional
        Called after the first pass: labels (n,), equal for identical rows. Without it, identical rows are treated as
        very close ones.

    Returns
    -------
    ndarray
        Lower-triangular matrix (n, n), float64.

    Raises
    ------
    ValueError
        No block.

    Examples
    --------
    >>> X = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]])
    >>> lower = isometric_factor(lambda: [X])
    >>> np.allclose(lower @ lower.T, X @ X.T)
    True
    """
    gram: NDArray[np.float64] | None = None
    for block in blocks():
        points = block.astype(np.float64)
        centre = points.mean(axis=0)
        points -= centre
        if gram is None:
            gram = np.zeros((len(points) + 1, len(points) + 1))
        along = points @ centre
        gram[:-1, :-1] += points @ points.T
        gram[-1, :-1] += along
        gram[:-1, -1] += along
        gram[-1, -1] += centre @ centre
    if gram is None:
        raise ValueError("an isometric factor needs at least one block of columns, got none")
    found = _factor_of_gram(gram, np.arange(len(gram) - 1) if alike is None else alike())
    return orthogonalised(blocks()).T if found is None else found


def _factor_of_gram(gram: NDArray[np.float64], labels: NDArray[Any]) -> NDArray[np.float64] | None:
    """L from the inner products (n + 1, n + 1) of the centred rows and the centre; None if it would be inaccurate."""
    n = len(gram) - 1
    squares = np.diag(gram)[:n]
    between = squares[:, None] + squares[None, :] - 2 * gram[:n, :n]
    nearest = float(between.min(initial=np.inf, where=labels[:, None] != labels[None, :]))
    # The centre is often far from the origin compared with the size of the cloud: unscaled, it would cost digits.
    scale = np.sqrt(squares.mean() / gram[-1, -1]) if gram[-1, -1] > 0 and squares.any() else 1.0
    weights = np.ones(n + 1)
    weights[-1] = scale
    values, vectors = np.linalg.eigh(gram * np.outer(weights, weights))
    if 16 * np.finfo(float).eps * values[-1] > _TOLERANCE * nearest:
        return None
    coordinates = vectors * np.sqrt(np.maximum(values, 0.0))
    rows = coordinates[:n] + coordinates[-1] / scale
    lower: NDArray[np.float64] = np.asarray(np.linalg.qr(rows.T, mode="r")).T
    return lower


def orthogonalised(blocks: Iterable[NDArray[Any]]) -> NDArray[np.float64]:
    """The upper-triangular R of X.T = Q·R, accumulated over blocks of the columns of X.

    Parameters
    ----------
    blocks : iterable of ndarray
        Columns of X (n, d), in blocks (n, width).

    Returns
    -------
    ndarray
        R, shape (min(n, d), n), float64.

    Raises
    ------
    ValueError
        No block.
    """
    triangle: NDArray[np.float64] | None = None
    for block in blocks:
        columns = block.T.astype(np.float64)
        triangle = np.asarray(np.linalg.qr(columns if triangle is None else np.vstack([triangle, columns]), mode="r"))
    if triangle is None:
        raise ValueError("an isometric factor needs at least one block of columns, got none")
    return triangle


def packed(lower: NDArray[np.float64], first: int, last: int) -> NDArray[np.float64]:
    """Rows `first` to `last` (exclusive) of a lower-triangular matrix, one after the other, without the zeros."""
    return np.concatenate([lower[i, : i + 1] for i in range(first, last)])


def unpacked_into(lower: NDArray[np.float64], numbers: NDArray[np.float64], first: int, last: int) -> None:
    """Put `packed` rows back into the zeros of `lower`."""
    start = 0
    for i in range(first, last):
        lower[i, : i + 1] = numbers[start : start + i + 1]
        start += i + 1


def packed_size(first: int, last: int) -> int:
    """Number of values that `packed` gives for these rows."""
    return (last * (last + 1) - first * (first + 1)) // 2
