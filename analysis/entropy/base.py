"""What every entropy estimator shares: validation, statuses and the delete-block jackknife."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from analysis.geometry import count_duplicates
from analysis.results import (
    CONSTANT,
    DUPLICATES,
    OK,
    TOO_FEW,
    UNIDENTIFIED,
    AnyArray,
    FloatArray,
    InsufficientData,
    IntArray,
    Status,
)
from analysis.stationarity import FEWEST_SNAPSHOTS, SNAPSHOTS_PER_DIMENSION

if TYPE_CHECKING:
    from typing import Self

#: Maps the indices of the snapshots that are kept to the entropy of that sub-sample, in nats.
Evaluator: TypeAlias = Callable[[IntArray], float]

#: Most operations that a check of the rank may cost.
_RANK_COST = 10**8
#: Squares of larger weights would overflow float64.
_LARGEST_WEIGHT = 1e150


def delete_block_jackknife(evaluate: Evaluator, n: int, blocks: int) -> float:
    """Standard error of ``evaluate`` from leaving out one of `blocks` contiguous time blocks at a time.

    Künsch 1989; with blocks of at least 10 correlation times it also holds for correlated snapshots. Bootstrapping
    with replacement would duplicate points, which nearest-neighbour estimators cannot handle.
    """
    return jackknife_stderr(delete_block_values(evaluate, n, blocks))


def delete_block_values(evaluate: Evaluator, n: int, blocks: int) -> FloatArray:
    """``evaluate`` without each of `blocks` contiguous time blocks, (blocks,)."""
    everything = np.arange(n)
    return np.array([evaluate(np.delete(everything, block)) for block in np.array_split(everything, blocks)])


def jackknife_stderr(values: FloatArray) -> float:
    """Standard error from the values (blocks,) without each block; NaN where one of them is not finite."""
    if not np.all(np.isfinite(values)):
        return float("nan")
    return float(np.sqrt((len(values) - 1) / len(values) * np.sum((values - values.mean()) ** 2)))


def correlation_with_mean(entropies: FloatArray, series: FloatArray) -> float:
    """Correlation between the errors of an entropy and of the mean of a series along the same snapshots.

    Parameters
    ----------
    entropies : (blocks,) `entropy_jackknife_` of the estimator.
    series : (n,) in time order over the same time.

    Returns
    -------
    Correlation in [-1, 1]; NaN where either of the two does not vary.
    """
    mean = delete_block_values(lambda keep: float(series[keep].mean()), len(series), len(entropies))
    a, b = entropies - entropies.mean(), mean - mean.mean()
    size = float(np.sqrt(np.sum(a**2) * np.sum(b**2)))
    return float(np.sum(a * b)) / size if np.isfinite(size) and size > 0 else float("nan")


def _has_frozen_direction(X: AnyArray) -> bool:
    """Whether more snapshots than columns leave a direction in which nothing moves, so that the entropy is -inf.

    Estimators that see distances only, or that regularise, would return a finite number. Checked only where that costs
    less than the estimate.
    """
    n, d = X.shape
    if n <= d or n * d * d > _RANK_COST:
        return False
    points = X.astype(np.float64)
    points -= points.mean(axis=0)
    spread = points.std(axis=0)
    return bool((spread == 0).any()) or int(np.linalg.matrix_rank(points / spread)) < d


def _moved(X: AnyArray) -> AnyArray:
    """The rows of X that differ from the row before: a repeat is no new point."""
    keep = np.append(True, np.any(X[1:] != X[:-1], axis=1))
    return X if keep.all() else X[keep]


def require_integer(name: str, value: object, at_least: int) -> int:
    """`value` as an int, or a ValueError that names the parameter."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < at_least:
        raise ValueError(f"{name} must be an integer of at least {at_least}, got {value!r}")
    return int(value)


class EntropyEstimator(BaseEstimator):  # type: ignore[misc]
    """Base of all estimators of the differential entropy of weight snapshots.

    A subclass checks its parameters in `_validate`, says how many snapshots its formula needs in
    `_min_samples`, and returns an `Evaluator` from `_evaluator`. This class does the rest.

    Attributes
    ----------
    entropy_ : float
        Differential entropy in nats; -inf only together with a status that says why.
    entropy_stderr_ : float
        Delete-block jackknife standard error in nats; NaN when the jackknife is off (``jackknife_blocks=0``) or
        impossible (the status then is not ``ok``).
    entropy_jackknife_ : (blocks,) array
        Entropies without each time block, which give the standard error; empty where there is none.
    status_ : str
        One of `analysis.results.REMEDIES`; ``ok`` when nothing is wrong.
    n_duplicates_ : int
        Number of snapshots that repeat an earlier one. Those that repeat the snapshot right before them, as rejected
        moves of a sampler do, are counted here and left out of the estimate.
    dim_ : int
        Dimension D that the formulas used.
    n_features_in_ : int
        Number of columns of X.
    """

    dim: int | None
    jackknife_blocks: int

    def fit(self, X: AnyArray, y: object = None) -> Self:
        """Estimate the entropy of X.

        Parameters
        ----------
        X : array of shape (n_snapshots, n_weights), float32 or float64, rows in time order.
        y : ignored, present for the scikit-learn API.

        Returns
        -------
        The estimator itself.

        Raises
        ------
        ValueError
            For NaN or infinite weights, or parameters out of range.
        InsufficientData
            Too few snapshots for the formula, or weights whose squares overflow.
        """
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        n, d = X.shape
        if max(float(X.max()), -float(X.min())) > _LARGEST_WEIGHT:
            raise InsufficientData(f"X holds weights beyond {_LARGEST_WEIGHT:g}, whose squares overflow: rescale X")
        self.dim_ = d if self.dim is None else require_integer("dim", self.dim, 1)
        blocks = require_integer("jackknife_blocks", self.jackknife_blocks, 0)
        if blocks == 1:
            raise ValueError("jackknife_blocks must be 0 (off) or at least 2, got 1")
        self.n_duplicates_ = count_duplicates(X)
        before, X = n, _moved(X)
        n = len(X)
        # All alike is a status, not too few.
        self._validate(n if n > 1 else before, d)
        frozen = _has_frozen_direction(X)
        self.entropy_, self.entropy_stderr_, jackknifed = -np.inf, np.nan, blocks == 0
        self.entropy_jackknife_ = np.empty(0)
        if n > 1:
            evaluate = self._evaluator(X)
            self.entropy_ = evaluate(np.arange(n))
            if 0 < blocks <= n and n - -(-n // blocks) >= self._min_samples() and np.isfinite(self.entropy_):
                values = delete_block_values(evaluate, n, blocks)
                self.entropy_stderr_ = jackknife_stderr(values)
                jackknifed = bool(np.isfinite(self.entropy_stderr_))
                self.entropy_jackknife_ = values if jackknifed else np.empty(0)
        self.status_ = self._overall_status(n, jackknifed, frozen, self.n_duplicates_ > before - n)
        return self

    def _overall_status(self, n: int, jackknifed: bool, frozen: bool, repeated: bool) -> Status:
        if n == 1:
            return CONSTANT
        if repeated:
            return DUPLICATES
        if frozen or not np.isfinite(self.entropy_):
            return UNIDENTIFIED
        if n < FEWEST_SNAPSHOTS:
            return TOO_FEW
        status = self._status(n)
        return TOO_FEW if status == OK and not jackknifed else status

    @abstractmethod
    def _validate(self, n: int, d: int) -> None:
        """Raise ValueError for parameters out of range, InsufficientData for fewer than `_min_samples` snapshots."""

    @abstractmethod
    def _min_samples(self) -> int:
        """Smallest number of snapshots for which the formula is defined."""

    @abstractmethod
    def _evaluator(self, X: AnyArray) -> Evaluator:
        """Do the work that all sub-samples share and return the function that finishes it."""

    def _status(self, n: int) -> Status:
        """Status of a finite estimate from n distinct snapshots.

        Fewer snapshots than a covariance needs leave the entropy to the estimator's assumption: isotropy for
        distances, a shape for densities.
        """
        return OK if n >= SNAPSHOTS_PER_DIMENSION * self.dim_ else UNIDENTIFIED


def half_log_2pi_e(dim: int) -> float:
    """(D/2) ln 2πe: entropy in nats of a standard normal in `dim` dimensions."""
    return 0.5 * dim * float(np.log(2 * np.pi * np.e))


def check_rank(dim: int, values: FloatArray) -> FloatArray:
    """The leading `dim` of the descending `values` (variances), all of them when there are fewer.

    Raises
    ------
    ValueError
        When more than `dim` of them are above rounding, since the points then do not live in `dim` dimensions:
        points on a sphere must go through `analysis.geometry.tangent_space` before a density is fitted.
    """
    if len(values) > dim and values[dim] > 1e-10 * values[0]:
        raise ValueError(
            f"dim={dim} is smaller than the number of dimensions that X spans ({len(values)} columns): "
            "map points on a sphere with analysis.geometry.tangent_space first, or drop dim"
        )
    return values[:dim]
