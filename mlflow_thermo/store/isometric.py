"""N snapshots of d ≫ N weights as a triangle of N(N+1)/2 numbers that keeps all their inner products."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: X (n, d) in pieces (n, width) that cover its columns, from the first on at every call.
Blocks = Callable[[], Iterable[NDArray[Any]]]

#: Largest relative error of a squared distance that the Gram matrix may leave before the slow way is taken.
_TOLERANCE = 1e-7


def isometric_factor(blocks: Blocks, alike: Callable[[], NDArray[Any]] | None = None) -> NDArray[np.float64]:
    """Lower-triangular L with L·Lᵀ = X·Xᵀ: its rows have the norms, angles and distances of the rows of X.

    From the Gram matrix of the rows about their mean, with the origin as one point more. Where some rows are so much
    closer to each other than to the rest that this squares away their distance, by orthogonalising the columns
    instead, which squares nothing and takes four times as long. Squared distances are right to 1e-7 at least.

    Parameters
    ----------
    blocks : the columns of X (n, d) with d >= n; needs 2 float64 copies of a piece, 4 where it orthogonalises.
    alike : asked after the first pass: labels (n,), the same for identical rows. Without it identical rows count as
        very close ones.

    Returns
    -------
    (n, n) lower-triangular matrix.
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
    """L from the inner products (n + 1, n + 1) of the centred rows and the centre; None where it would be wrong."""
    n = len(gram) - 1
    squares = np.diag(gram)[:n]
    between = squares[:, None] + squares[None, :] - 2 * gram[:n, :n]
    nearest = float(between.min(initial=np.inf, where=labels[:, None] != labels[None, :]))
    # The centre is far from the cloud, often: scaled to the size of the cloud it costs no digits.
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
    """The upper-triangular R (min(n, d), n) of X.T = Q·R, accumulated over blocks of the columns of X."""
    triangle: NDArray[np.float64] | None = None
    for block in blocks:
        columns = block.T.astype(np.float64)
        triangle = np.asarray(np.linalg.qr(columns if triangle is None else np.vstack([triangle, columns]), mode="r"))
    if triangle is None:
        raise ValueError("an isometric factor needs at least one block of columns, got none")
    return triangle


def packed(lower: NDArray[np.float64], first: int, last: int) -> NDArray[np.float64]:
    """Rows `first` to `last` (excluded) of a square lower-triangular matrix without the zeros, one after the other."""
    return np.concatenate([lower[i, : i + 1] for i in range(first, last)])


def unpacked_into(lower: NDArray[np.float64], numbers: NDArray[np.float64], first: int, last: int) -> None:
    """Put `packed` rows back into the zeros of `lower`."""
    start = 0
    for i in range(first, last):
        lower[i, : i + 1] = numbers[start : start + i + 1]
        start += i + 1


def packed_size(first: int, last: int) -> int:
    """How many numbers `packed` gives for these rows."""
    return (last * (last + 1) - first * (first + 1)) // 2
