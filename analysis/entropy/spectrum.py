"""Eigenvalues of the scatter matrix from whichever of its two forms is smaller."""

from __future__ import annotations

import numpy as np

from analysis._typing import AnyArray, FloatArray, IntArray
from analysis.entropy.base import check_rank
from analysis.entropy.gram import centred_gram, recentred
from analysis.entropy.shrinkage import SampleSpectrum


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
        if self._gram is not None:
            gram = recentred(self._gram, keep)
            eigenvalues, sq_norms = np.linalg.eigvalsh(gram)[::-1], np.diag(gram).copy()
        else:
            assert self._points is not None
            centred = self._points[keep] - self._points[keep].mean(axis=0)
            sq_norms = np.einsum("nd,nd->n", centred, centred)
            small = centred.T @ centred if centred.shape[1] <= len(keep) else centred @ centred.T
            eigenvalues = np.linalg.eigvalsh(small)[::-1]
        # Centring costs one dimension: the eigenvalue beyond N−1 is rounding and must not be taken for variance.
        eigenvalues = check_rank(self._dim, np.asarray(eigenvalues[: len(keep) - 1], dtype=np.float64))
        floor = len(keep) * np.finfo(np.float64).eps * eigenvalues[0]
        return SampleSpectrum(np.where(eigenvalues > floor, eigenvalues, 0.0), sq_norms, self._dim)
