"""Eigenvalues of the scatter matrix from whichever of its two forms is smaller."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis._typing import AnyArray, FloatArray, IntArray
from analysis.entropy.base import check_rank
from analysis.entropy.gram import centred_gram, recentred
from analysis.entropy.shrinkage import Moments, SampleSpectrum, towards_identity

#: Smallest eigenvalue, over the trace, of a matrix whose Cholesky factor keeps ten digits of it.
_WELL_CONDITIONED = 1e-6


class SpectrumFinder:
    """Sample spectra of sub-samples of the rows of X (n, d) as a cloud in `dim` dimensions.

    With d ≥ n only the n×n Gram matrix is kept (10^6 weights cost no more than X itself); otherwise the d×d
    scatter matrix of the kept rows is formed.
    """

    def __init__(self, X: AnyArray, dim: int) -> None:
        n, d = X.shape
        self._dim = dim
        self._gram: FloatArray | None = centred_gram(X) if d >= n else None
        self._points: FloatArray | None = None if d >= n else X - X.mean(axis=0, dtype=np.float64)

    def spectrum(self, keep: IntArray) -> SampleSpectrum:
        """Spectrum of the rows `keep` about their own mean."""
        matrix, sq_norms = self._smaller(keep)
        eigenvalues = np.linalg.eigvalsh(matrix)[::-1]
        # Centring costs one dimension: the eigenvalue beyond N−1 is rounding and must not be taken for variance.
        eigenvalues = check_rank(self._dim, np.asarray(eigenvalues[: len(keep) - 1], dtype=np.float64))
        floor = len(keep) * np.finfo(np.float64).eps * eigenvalues[0]
        return SampleSpectrum(np.where(eigenvalues > floor, eigenvalues, 0.0), sq_norms, self._dim)

    def trace(self, keep: IntArray) -> float:
        """Total square of the rows `keep` about their own mean."""
        return float(self._smaller(keep)[1].sum())

    def shrunk_log_det(self, keep: IntArray, weight_of: Callable[[Moments], float]) -> float:
        """ln|Σ| of a linear shrinkage of the rows `keep`.

        From a Cholesky factor, which takes a tenth of the time of the eigenvalues and gives the same number; from these
        where the weight of the identity is so small that eigenvalues of zero are left to rounding.
        """
        matrix, sq_norms = self._smaller(keep)
        n, trace = len(keep), float(np.trace(matrix)) / len(keep)
        moments = Moments(n, self._dim, trace, float(np.vdot(matrix, matrix)) / n**2, float(np.mean(sq_norms**2)))
        weight = weight_of(moments)
        target = weight * trace / self._dim
        # No eigenvalue exceeds the trace: this bounds the condition number from above.
        if not target > _WELL_CONDITIONED * trace:
            sample = self.spectrum(keep)
            return towards_identity(sample, weight_of(sample.moments())).log_det()
        matrix *= (1.0 - weight) / n
        matrix[np.diag_indices(len(matrix))] += target
        factor = np.linalg.cholesky(matrix)
        # Directions beyond the matrix's, or within it beyond D, all have the target's variance.
        return float(2.0 * np.sum(np.log(np.diag(factor))) + (self._dim - len(matrix)) * np.log(target))

    def _smaller(self, keep: IntArray) -> tuple[FloatArray, FloatArray]:
        """Scatter matrix of the rows `keep`, or their Gram matrix where that is smaller; and their squared norms."""
        if self._gram is not None:
            gram = recentred(self._gram, keep)
            return gram, np.diag(gram).copy()
        assert self._points is not None
        centred = self._points[keep] - self._points[keep].mean(axis=0)
        small = centred.T @ centred if centred.shape[1] <= len(keep) else centred @ centred.T
        return np.asarray(small, dtype=np.float64), np.einsum("nd,nd->n", centred, centred)
