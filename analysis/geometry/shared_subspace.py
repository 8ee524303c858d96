"""Directions that all learning rates of a study share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.geometry.gram import centred_columns, column_chunks
from analysis.results import AnyArray, FloatArray, InsufficientData


@dataclass(frozen=True)
class SharedBasis:
    """Orthonormal directions shared by all learning rates.

    Attributes
    ----------
    components : (q, d) orthonormal rows, by falling share of the pooled variance.
    explained : (q,) share of the pooled variance along each.
    """

    components: FloatArray
    explained: FloatArray

    def project(self, X: AnyArray) -> FloatArray:
        """Coordinates (n, q) of the rows of X (n, d) about their own mean; ValueError for another d."""
        n, d = X.shape
        q, expected = self.components.shape
        if d != expected:
            raise ValueError(f"the shared basis is of {expected} weights, got snapshots of {d}: use runs of one model")
        out = np.zeros((n, q))
        for columns in column_chunks(n, d):
            out += centred_columns(X, columns) @ self.components[:, columns].T
        return out


def fit_shared_basis(samples: Sequence[AnyArray], q: int) -> SharedBasis:
    """Leading q principal axes of several runs pooled, each about its own mean and scaled to unit total variance.

    The scaling gives every learning rate one vote: the variance grows with lr, and the largest would otherwise
    choose the basis alone. The samples may be sub-samples of the runs, so that a caller that streams over runs
    keeps a few rows of each and projects the whole runs later. Costs one Gram matrix of all rows together.

    Parameters
    ----------
    samples : arrays (n_i, d) of one d.
    q : number of axes; at most N_eff/10 for the smallest run keeps the entropy in them well determined.

    Raises
    ------
    ValueError
        For no samples, or samples of different d.
    InsufficientData
        A sample that does not vary, or a q beyond what they span.
    """
    if not samples:
        raise ValueError("fit_shared_basis needs the snapshots of at least one run, got none")
    widths = sorted({int(sample.shape[1]) for sample in samples})
    if len(widths) > 1:
        raise ValueError(f"all runs must have the same number of weights, got {widths}: compare runs of one model")
    d = widths[0]
    rows = sum(len(sample) for sample in samples)
    span = min(rows - len(samples), d)
    if not 1 <= q <= span:
        raise InsufficientData(f"q={q} shared directions must be between 1 and the {span} that the snapshots span")
    if d < rows:
        return _basis_of_columns(samples, d, q)
    weights = np.concatenate([_unit_variance_weights(sample) for sample in samples])[:, None]
    gram = np.zeros((rows, rows))
    for columns in column_chunks(rows, d):
        chunk = weights * np.vstack([centred_columns(sample, columns) for sample in samples])
        gram += chunk @ chunk.T
    variances, vectors = _leading(gram, q)
    components = np.empty((q, d))
    for columns in column_chunks(rows, d):
        chunk = weights * np.vstack([centred_columns(sample, columns) for sample in samples])
        components[:, columns] = (vectors / np.sqrt(variances)).T @ chunk
    return SharedBasis(components, variances / len(samples))


def _basis_of_columns(samples: Sequence[AnyArray], d: int, q: int) -> SharedBasis:
    """The same from the pooled covariance, where there are fewer weights than rows."""
    scatter = np.zeros((d, d))
    for sample in samples:
        rows = centred_columns(sample, slice(0, d)) * _unit_variance_weights(sample)[:, None]
        scatter += rows.T @ rows
    variances, vectors = _leading(scatter, q)
    return SharedBasis(vectors.T, variances / len(samples))


def _leading(matrix: FloatArray, q: int) -> tuple[FloatArray, FloatArray]:
    """The q largest eigenvalues and their vectors (n, q)."""
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1][:q], vectors[:, ::-1][:, :q]
    if values[-1] <= 1e-12 * values[0]:
        raise InsufficientData(f"the snapshots vary along fewer than q={q} directions: lower q")
    return values, vectors


def _unit_variance_weights(sample: AnyArray) -> FloatArray:
    """The factor (n,) that gives the centred rows of one run a total square of 1."""
    n, d = sample.shape
    total = sum(float(np.sum(centred_columns(sample, columns) ** 2)) for columns in column_chunks(n, d))
    if total == 0:
        raise InsufficientData("the snapshots of a run do not vary: leave that run out")
    return np.full(n, total**-0.5)
