"""Eigenvalues of the scatter matrix from whichever of its two forms is smaller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.entropy.base import check_rank
from analysis.entropy.shrinkage import Moments, SampleSpectrum, linear
from analysis.geometry import centred_gram, recentred
from analysis.results import AnyArray, FloatArray, IntArray

#: Smallest eigenvalue, over the trace, of a matrix whose Cholesky factor keeps ten digits of it.
_WELL_CONDITIONED = 1e-6


@dataclass(frozen=True)
class SampleScatter:
    """Centred snapshots as the smaller of their scatter and Gram matrices.

    Attributes
    ----------
    matrix : scatter (d, d) or Gram matrix (n, n).
    sq_norms : (n,) squared distances of the snapshots from their mean.
    dim : D.
    """

    matrix: FloatArray
    sq_norms: FloatArray
    dim: int

    @property
    def trace(self) -> float:
        """Sum of the squared distances from the mean."""
        return float(self.sq_norms.sum())

    def spectrum(self) -> SampleSpectrum:
        """Eigenvalues, those within rounding set to zero; ValueError if more than D are not."""
        n = len(self.sq_norms)
        eigenvalues = np.linalg.eigvalsh(self.matrix)[::-1]
        # Centring costs one dimension: the eigenvalue beyond N−1 is rounding and must not be taken for variance.
        eigenvalues = check_rank(self.dim, np.asarray(eigenvalues[: n - 1], dtype=np.float64))
        floor = n * np.finfo(np.float64).eps * eigenvalues[0]
        return SampleSpectrum(np.where(eigenvalues > floor, eigenvalues, 0.0), self.sq_norms, self.dim)

    def shrunk_log_det(self, weight_of: Callable[[Moments], float]) -> float:
        """ln|Σ| of a linear shrinkage.

        From a Cholesky factor, which takes a tenth of the time of the eigenvalues and gives the same number. The
        eigenvalues are used where the weight of the identity is so small that rounding would decide on zero ones.
        """
        n, trace = len(self.sq_norms), self.trace / len(self.sq_norms)
        trace_sq, fourth = float(np.vdot(self.matrix, self.matrix)) / n**2, float(np.mean(self.sq_norms**2))
        weight = weight_of(Moments(n, self.dim, trace, trace_sq, fourth))
        target = weight * trace / self.dim
        # No eigenvalue exceeds the trace: this bounds the condition number from above.
        if not target > _WELL_CONDITIONED * trace:
            return linear(self.spectrum(), weight_of).log_det()
        shrunk = self.matrix * ((1.0 - weight) / n)
        shrunk[np.diag_indices(len(shrunk))] += target
        factor = np.linalg.cholesky(shrunk)
        # Directions outside of the matrix, or in it beyond D, all have the variance of the target.
        return float(2.0 * np.sum(np.log(np.diag(factor))) + (self.dim - len(shrunk)) * np.log(target))


class SpectrumFinder:
    """Scatter and spectra of sub-samples of the rows of X (n, d) as a cloud in `dim` dimensions.

    With d ≥ n only the n×n Gram matrix is kept (10^6 weights cost no more than X itself); otherwise the d×d
    scatter matrix of the kept rows is formed.
    """

    def __init__(self, X: AnyArray, dim: int) -> None:
        n, d = X.shape
        self._dim = dim
        self._gram: FloatArray | None = centred_gram(X) if d >= n else None
        self._points: FloatArray | None = None if d >= n else X - X.mean(axis=0, dtype=np.float64)

    def scatter(self, keep: IntArray) -> SampleScatter:
        """The rows `keep` about their own mean."""
        if self._gram is not None:
            gram = recentred(self._gram, keep)
            return SampleScatter(gram, np.diag(gram).copy(), self._dim)
        assert self._points is not None
        centred = self._points[keep] - self._points[keep].mean(axis=0)
        small = centred.T @ centred if centred.shape[1] <= len(keep) else centred @ centred.T
        sq_norms = np.einsum("nd,nd->n", centred, centred)
        return SampleScatter(np.asarray(small, dtype=np.float64), sq_norms, self._dim)

    def spectrum(self, keep: IntArray) -> SampleSpectrum:
        """Spectrum of the rows `keep` about their own mean."""
        return self.scatter(keep).spectrum()
