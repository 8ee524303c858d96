"""Entropy of a density that is nearly Gaussian: the Gaussian's, less what the skewness of the sample takes from it."""

from __future__ import annotations

import numpy as np

from analysis.entropy.base import EntropyEstimator, Evaluator, check_rank
from analysis.entropy.gaussian import unbiased_gaussian_entropy
from analysis.entropy.spectrum import SpectrumFinder
from analysis.results import TOO_FEW, UNIDENTIFIED, AnyArray, BoolArray, FloatArray, InsufficientData, IntArray, Status

#: Time blocks between which pairs of snapshots are taken.
_BLOCKS = 10


class EdgeworthEntropy(EntropyEstimator):
    """S = S_Gauss − |κ₃|²/12, S_Gauss as of `GaussianEntropy`, κ₃ the third cumulants of the whitened snapshots.

    The leading term of the negentropy in the Edgeworth expansion (Comon 1994, here in D dimensions). Fluctuations in a
    smooth well are Gaussian at T → 0 and have |κ₃|² ∝ T next to it: a Gaussian entropy rises too fast with T, and dU/dS
    comes out too low.

    |κ₃|² = Σ_ijk E[x_i x_j x_k]² is the mean of (x·x')³ over independent pairs (Mardia 1970). Pairs are taken between
    time blocks, with the kernel of the third Hermite polynomials, (x·x')³ − 3(|x|² + |x'|²) x·x' + 3(D + 2) x·x', on
    which errors of mean and covariance act in second order only. Its expectation for Gaussian snapshots, which is known
    exactly, is taken off. What is left scatters by sqrt(D³/12)/N nats.

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
        The formula needs N > D snapshots (InsufficientData otherwise); below 5D the status is ``too-few-samples``.

    Examples
    --------
    Five exponential variables added up have S = 2.154 nats, a Gaussian of their variance 2.224:

    >>> import numpy as np
    >>> from analysis import EdgeworthEntropy
    >>> x = np.random.default_rng(0).gamma(5, size=(5000, 1))
    >>> fitted = EdgeworthEntropy().fit(x)
    >>> abs(fitted.entropy_ - 2.154) < 4 * fitted.entropy_stderr_, fitted.status_
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
        self.negentropy_ = np.nan
        if not np.isfinite(unbiased_gaussian_entropy(finder.spectrum(np.arange(len(X))))):
            return lambda keep: -np.inf
        everything = np.arange(len(X))
        # The jackknife leaves out blocks of its own: pieces that lie within one block of either kind.
        split = [np.array_split(everything, min(len(X), n)) for n in (_BLOCKS, max(1, self.jackknife_blocks))]
        pieces = np.split(everything, sorted({int(block[0]) for blocks in split for block in blocks} - {0}))
        first = np.array([piece[0] for piece in pieces])
        block_of = np.repeat(np.arange(len(split[0])), [len(block) for block in split[0]])[first]
        apart = block_of[:, None] != block_of
        total = _skewness_between(_whitened(X, self.dim_), pieces, apart)
        sizes = np.array([len(piece) for piece in pieces])
        pairs = np.where(apart, np.outer(sizes, sizes), 0)

        def negentropy(keep: IntArray) -> float:
            kept = np.isin(first, keep)
            here = np.ix_(kept, kept)
            return float(total[here].sum() / pairs[here].sum()) / 12

        self.negentropy_ = negentropy(everything)
        return lambda keep: unbiased_gaussian_entropy(finder.spectrum(keep)) - negentropy(keep)

    def _status(self, n: int) -> Status:
        status = super()._status(n)
        # As in the Gaussian that it corrects: no assumption stands in for what is missing.
        return TOO_FEW if status == UNIDENTIFIED else status


def _whitened(X: AnyArray, dim: int) -> FloatArray:
    """Snapshots (n, dim) of zero mean and unit covariance, with denominator n − 1."""
    centred = X - X.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(X) - 1))
    values = check_rank(dim, values[::-1])
    return np.asarray(centred @ (vectors[:, ::-1][:, :dim] / np.sqrt(values)))


def _skewness_between(points: FloatArray, pieces: list[IntArray], apart: BoolArray) -> FloatArray:
    """Sums of the kernel, less its bias, over the pairs between two pieces each that are `apart`, (pieces, pieces)."""
    n, dim = points.shape
    squares = np.einsum("nd,nd->n", points, points)
    bias = _gaussian_bias(n, dim)
    found = np.zeros(apart.shape)
    for a, b in zip(*np.nonzero(np.tril(apart)), strict=True):
        t = points[pieces[a]] @ points[pieces[b]].T
        both = squares[pieces[a]][:, None] + squares[pieces[b]]
        found[a, b] = found[b, a] = np.sum(t * (t * t - 3 * both + 3 * (dim + 2)) - bias)
    return found


def _gaussian_bias(n: int, dim: int) -> float:
    """Expectation of the kernel over pairs of n normal snapshots, whitened by their own mean and covariance.

    The mean of (x·x')³ over all pairs with themselves is that of Mardia 1974; |x|² n/(n − 1)² has a beta distribution.
    """
    a, total, scale = dim / 2, (n - 1) / 2, (n - 1) ** 2 / n
    first = scale * a / total
    second = first * scale * (a + 1) / (total + 1)
    third = second * scale * (a + 2) / (total + 2)
    mardia = dim * (dim + 2) * ((n + 1) * (dim + 1) - 6) / ((n + 1) * (n + 3))
    # Mardia's covariance has the denominator n.
    cubes = (((n - 1) / n) ** 3 * n * mardia - third) / (n - 1)
    # The points add up to zero: what a point has with all others is less what it has with itself.
    return float(cubes + 6 * second / (n - 1) - 3 * (dim + 2) * first / (n - 1))
