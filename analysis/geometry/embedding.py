"""Isometric compression of N points in d dimensions to at most N−1 columns."""

from __future__ import annotations

import numpy as np

from analysis.geometry.gram import centred_columns, column_chunks
from analysis.results import AnyArray, FloatArray
from mlflow_thermo.store import orthogonalised


def isometric_embedding(X: AnyArray, centre: bool = True) -> FloatArray:
    """Coordinates of the rows of X with the same pairwise distances in as few columns as possible.

    A QR decomposition accumulated over column chunks, then the principal axes of its small factor. Unlike the
    eigenvectors of a Gram matrix this squares nothing, so that rows much closer to each other than to their
    mean keep their distance.

    Parameters
    ----------
    X : (n, d) array, float32 or float64.
    centre : subtract the mean row first. With False the origin is kept as well: norms and angles are preserved
        too, which points on a sphere need, at the price of one more column.

    Returns
    -------
    (n, min(n − 1, d)) float64 array, (n, min(n, d)) without centring. Where d is the smaller number the columns
    are those of X. The entropy formulas still need the original d: pass it as ``dim``.
    """
    n, d = X.shape
    rank = n - 1 if centre else n
    if d <= rank:
        points = X.astype(np.float64)
        return points - points.mean(axis=0) if centre else points
    chunks = column_chunks(n, d, at_least=4 * n)
    triangle = orthogonalised(centred_columns(X, columns) if centre else X[:, columns] for columns in chunks)
    left, singular, _ = np.linalg.svd(triangle.T, full_matrices=False)
    return np.asarray((left * singular)[:, :rank])
