"""What all methods take and give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analysis.results import FloatArray, IntArray, StrArray


@dataclass(frozen=True)
class TemperatureCurve:
    """Temperature at each learning rate, in the order in which the learning rates were given.

    Attributes
    ----------
    lr, temperature, lower, upper, stderr : (n,) arrays; temperatures in loss units per nat. NaN where a number
        does not exist, with a `status` that says why.
    status : (n,) statuses of `analysis.results`; a temperature whose status is not ``ok`` is tentative.
    method : how it was computed.
    level : of the interval ``[lower, upper]``; NaN where the bounds are not a confidence interval.
    covariance : (n, n) of the temperatures: neighbours share their data. None where it is not known. `stderr` and
        the interval allow for the bias of a smooth fit besides.
    """

    lr: FloatArray
    temperature: FloatArray
    lower: FloatArray
    upper: FloatArray
    stderr: FloatArray
    status: StrArray
    method: str
    level: float
    covariance: FloatArray | None = None


def checked_stderr(name: str, values: ArrayLike | None, rates: FloatArray) -> FloatArray | None:
    if values is None:
        return None
    errors = np.atleast_1d(np.asarray(values, dtype=float))
    if errors.shape != rates.shape:
        raise ValueError(f"{name} has shape {errors.shape}, lr has {rates.shape}: give one value for each lr")
    if not (np.isfinite(errors).all() and (errors >= 0).all()):
        raise ValueError(f"{name} must hold finite numbers that are not negative")
    # A zero would give its point infinite weight; without any noise the residuals tell all there is.
    return errors if (errors > 0).all() else None


@dataclass(frozen=True)
class Points:
    """Stationary states of a study.

    Attributes
    ----------
    x : (n,) ln lr, in any order, repeats allowed.
    u, s : (n,) losses and entropies, finite.
    du, ds : (n,) their standard errors, positive; None where they are not known.
    correlation : of the errors of U and S of one state; None where it is not known.
    """

    x: FloatArray
    u: FloatArray
    s: FloatArray
    du: FloatArray | None
    ds: FloatArray | None
    correlation: float | None = None

    def take(self, index: IntArray) -> Points:
        """The states at `index`."""
        du, ds = (None if error is None else error[index] for error in (self.du, self.ds))
        return Points(self.x[index], self.u[index], self.s[index], du, ds, self.correlation)

    def with_noise(self) -> tuple[FloatArray, FloatArray]:
        """Standard errors of the losses and the entropies, from their scatter where they are not given."""
        return (
            scatter(self.x, self.u) if self.du is None else self.du,
            scatter(self.x, self.s) if self.ds is None else self.ds,
        )


@dataclass(frozen=True)
class Averages:
    """Means over repeated learning rates, by rising learning rate.

    Attributes
    ----------
    x, u, s : (m,)
    du, ds : (m,) standard errors of the means.
    where : (n,) index of each point's learning rate.
    """

    x: FloatArray
    u: FloatArray
    s: FloatArray
    du: FloatArray
    ds: FloatArray
    where: IntArray

    @classmethod
    def of(cls, points: Points) -> Averages:
        """Average; the loss's errors are kept above rounding, since they become weights."""
        du, ds = points.with_noise()
        x, where = np.unique(points.x, return_inverse=True)
        count = np.bincount(where)
        u, s = (np.bincount(where, values) / count for values in (points.u, points.s))
        du, ds = (np.sqrt(np.bincount(where, error**2)) / count for error in (du, ds))
        return cls(x, u, s, np.maximum(du, rounding(u)), ds, where)

    def entropy_is_flat(self) -> bool:
        """Whether the entropies scatter no more than their errors, so that nothing can be divided by their change."""
        if not (self.ds > 0).all():
            return bool(np.ptp(self.s) == 0)
        return _flat(self.s, self.ds)

    def loss_is_flat(self, chi_square: float, dof: int) -> bool:
        """Whether a constant explains the losses as well as a fit of `chi_square` with `dof` numbers more does."""
        return self.constant_chi_square() - chi_square < float(stats.chi2.ppf(0.975, dof))

    def constant_chi_square(self) -> float:
        """Of the losses about their weighted mean."""
        mean = float(np.average(self.u, weights=self.du**-2))
        return float(np.sum(((self.u - mean) / self.du) ** 2))


def rounding(values: FloatArray) -> float:
    """A spread that values of this size cannot resolve, positive: what stands for no noise at all."""
    return 1e-12 * (float(np.ptp(values)) or float(np.abs(values).max()) or 1.0)


def _flat(values: FloatArray, errors: FloatArray) -> bool:
    mean = float(np.average(values, weights=errors**-2))
    return float(np.sum(((values - mean) / errors) ** 2)) < float(stats.chi2.ppf(0.99, len(values) - 1))


def scatter(x: FloatArray, y: FloatArray) -> FloatArray:
    """Standard deviation of the noise of a smooth curve, (n,), equal for all points.

    From the deviation of each point from the line through its neighbours in x (Gasser, Sroka & Jennen-Steinmetz 1986).
    """
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    left, right = x[1:-1] - x[:-2], x[2:] - x[1:-1]
    span = np.where(left + right > 0, left + right, 1.0)
    # Three repeats of one learning rate: the plain mean of the neighbours.
    a = np.where(left + right > 0, right / span, 0.5)
    residual = a * y[:-2] + (1 - a) * y[2:] - y[1:-1]
    return np.full(len(x), float(np.sqrt(np.mean(residual**2 / (a**2 + (1 - a) ** 2 + 1)))))
