"""Entropy of a density that is nearly Gaussian: the Gaussian's, less what the skewness of the sample takes from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.entropy.base import EntropyEstimator, Evaluator
from analysis.entropy.gaussian import unbiased_gaussian_entropy
from analysis.entropy.skewness import Skewness, exceeds_limit
from analysis.entropy.spectrum import SpectrumFinder
from analysis.results import SKEWED, TOO_FEW, UNIDENTIFIED, AnyArray, InsufficientData, Status

if TYPE_CHECKING:
    from typing import Self


#: The terms that are left out are taken to be this share of the first: in a network, where S is known from the losses,
#: 0.3 to 0.5 of it (benchmarks/network.md, gaussian-ml against edgeworth).
LEFT_OUT = 0.4


class EdgeworthEntropy(EntropyEstimator):
    """S = S_Gauss − |κ₃|²/12, S_Gauss as of `GaussianEntropy`, κ₃ the third cumulants of the whitened snapshots.

    The leading term of the negentropy in the Edgeworth expansion (Comon 1994, here in D dimensions). Fluctuations in a
    smooth well are Gaussian at T → 0 and have |κ₃|² ∝ T next to it: a Gaussian entropy rises too fast with T, and dU/dS
    comes out too low.

    |κ₃|²/12 is measured without bias (`analysis.entropy.skewness`) and scatters by sqrt(D³/12)/N nats. The standard
    error holds two fifths of it, in quadrature, for the terms of the expansion that are left out.

    Parameters
    ----------
    dim : D of the formula; None means the number of columns. An isometric embedding needs the original d; points on a
        sphere must be mapped to a tangent space first.
    jackknife_blocks : number of time blocks for the standard error, each at least 10 correlation times; 0 is off.

    Attributes
    ----------
    negentropy_ : float
        |κ₃|²/12 in nats without bias, so that it may be negative; NaN where S is not finite.
    entropy_, entropy_stderr_, status_, n_duplicates_, dim_, n_features_in_ : see `EntropyEstimator`.
        The formula needs N > D snapshots (InsufficientData otherwise); below 5D the status is ``too-few-samples``,
        where the expansion does not hold, |κ₃|² > D/2, ``skewed``.

    Examples
    --------
    Twenty exponential variables added up have S = 2.900 nats, a Gaussian of their variance 2.917:

    >>> import numpy as np
    >>> from analysis import EdgeworthEntropy
    >>> x = np.random.default_rng(0).gamma(20, size=(10_000, 1))
    >>> fitted = EdgeworthEntropy().fit(x)
    >>> abs(fitted.entropy_ - 2.900) < 4 * fitted.entropy_stderr_ < 0.05, fitted.status_
    (True, 'ok')
    """

    def __init__(self, *, dim: int | None = None, jackknife_blocks: int = 10) -> None:
        self.dim = dim
        self.jackknife_blocks = jackknife_blocks

    def _min_samples(self) -> int:
        return self.dim_ + 1

    def _validate(self, n: int, d: int) -> None:
        if n < self._min_samples():
            raise InsufficientData(
                f"EdgeworthEntropy in D={self.dim_} dimensions needs at least {self._min_samples()} snapshots, got "
                f"n_samples={n}: record more snapshots or use a shrunk covariance such as 'oas'"
            )

    def _evaluator(self, X: AnyArray) -> Evaluator:
        finder = SpectrumFinder(X, self.dim_)
        if not np.isfinite(unbiased_gaussian_entropy(finder.spectrum(np.arange(len(X))))):
            return lambda keep: -np.inf
        skewness = Skewness(X, self.dim_, self.jackknife_blocks)
        everything = np.arange(len(X))
        self.negentropy_ = skewness.squared(everything) / 12
        return lambda keep: unbiased_gaussian_entropy(finder.spectrum(keep)) - skewness.squared(keep) / 12

    def fit(self, X: AnyArray, y: object = None) -> Self:
        """As `EntropyEstimator.fit`, with the error of the expansion in the standard error."""
        self.negentropy_ = np.nan
        super().fit(X, y)
        if self.negentropy_ > 0:
            self.entropy_stderr_ = float(np.hypot(self.entropy_stderr_, LEFT_OUT * self.negentropy_))
        return self

    def _status(self, n: int) -> Status:
        status = super()._status(n)
        if status == UNIDENTIFIED:
            # As in the Gaussian that it corrects: no assumption stands in for what is missing.
            return TOO_FEW
        return SKEWED if exceeds_limit(12 * self.negentropy_, n, self.dim_) else status
