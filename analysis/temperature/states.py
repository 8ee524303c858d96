"""The stationary states of a study, from which every temperature is computed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analysis.results import FloatArray, InsufficientData, IntArray


@dataclass(frozen=True)
class States:
    """Losses and entropies of stationary states, in any order, with repeated learning rates (seeds) allowed.

    `of` makes them from what a user gives, and checks it.

    Attributes
    ----------
    lr, loss, entropy : (n,) learning rates; losses; entropies in nats, -inf for a state that collapsed to a point.
    loss_stderr, entropy_stderr : (n,) standard errors, NaN for one that is not known; None where none is.
    correlation : between the errors of loss and entropy of one state; None where it is not known.
    """

    lr: FloatArray
    loss: FloatArray
    entropy: FloatArray
    loss_stderr: FloatArray | None = None
    entropy_stderr: FloatArray | None = None
    correlation: float | None = None

    @classmethod
    def of(
        cls,
        lr: ArrayLike,
        loss: ArrayLike,
        entropy: ArrayLike,
        loss_stderr: ArrayLike | None = None,
        entropy_stderr: ArrayLike | None = None,
        correlation: float | None = None,
    ) -> States:
        """Checked states; the parameters are the attributes of the class.

        Raises
        ------
        ValueError
            Lists of different length, values that are not finite, negative errors, a correlation outside of [-1, 1].
        InsufficientData
            Fewer than three different learning rates.
        """
        rates, u, s = (np.atleast_1d(np.asarray(values, dtype=float)) for values in (lr, loss, entropy))
        for name, values in (("loss", u), ("entropy", s)):
            if values.shape != rates.shape or rates.ndim != 1:
                raise ValueError(f"{name} has shape {values.shape}, lr has {rates.shape}: give one value for each lr")
        if not (np.isfinite(rates).all() and (rates > 0).all()):
            raise ValueError("lr must hold finite positive numbers")
        count = len(np.unique(rates))
        if count < 3:
            raise InsufficientData(f"lr holds {count} different learning rates: a temperature needs at least 3")
        if not np.isfinite(u).all() or np.isnan(s).any() or np.isposinf(s).any():
            raise ValueError("loss and entropy must be finite: leave diverged runs out")
        if correlation is not None and not -1 <= correlation <= 1:
            raise ValueError(f"correlation must lie between -1 and 1, got {correlation!r}")
        du, ds = _checked("loss_stderr", loss_stderr, rates), _checked("entropy_stderr", entropy_stderr, rates)
        return cls(rates, u, s, du, ds, correlation)

    @property
    def has_errors(self) -> bool:
        """Whether the errors of both losses and entropies are known."""
        return self.loss_stderr is not None and self.entropy_stderr is not None

    @property
    def x(self) -> FloatArray:
        """(n,) ln lr."""
        return np.asarray(np.log(self.lr))

    @property
    def numbers(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray | None, FloatArray | None]:
        """The arrays in the order of the arguments of `analysis.temperature.temperature_curve`."""
        return self.lr, self.loss, self.entropy, self.loss_stderr, self.entropy_stderr

    def take(self, index: IntArray) -> States:
        """The states at `index`."""
        du, ds = (None if error is None else error[index] for error in (self.loss_stderr, self.entropy_stderr))
        return replace(
            self, lr=self.lr[index], loss=self.loss[index], entropy=self.entropy[index], loss_stderr=du,
            entropy_stderr=ds,
        )  # fmt: skip

    def by_lr(self) -> tuple[States, IntArray]:
        """Means over repeated learning rates, by rising learning rate, and the index (n,) of each state's mean."""
        lr, where = np.unique(self.lr, return_inverse=True)
        count = np.bincount(where)
        loss, entropy = (np.bincount(where, values) / count for values in (self.loss, self.entropy))
        du, ds = (
            None if error is None else np.sqrt(np.bincount(where, error**2)) / count
            for error in (self.loss_stderr, self.entropy_stderr)
        )
        return States(lr, loss, entropy, du, ds, self.correlation), where

    def completed(self) -> tuple[States, tuple[str, ...]]:
        """The states with missing errors filled in where others are known, and notes that say so.

        A zero counts as missing, like NaN: it would give its state infinite weight. Such a state gets the largest error
        at its own and the next learning rates on either side. This rather lowers than raises its weight, and not by
        much: the errors of a loss grow with the temperature, so that neighbours have similar ones.
        """
        (du, about_u), (ds, about_s) = (
            self._filled("loss", self.loss_stderr),
            self._filled("entropy", self.entropy_stderr),
        )
        return replace(self, loss_stderr=du, entropy_stderr=ds), about_u + about_s

    def _filled(self, name: str, errors: FloatArray | None) -> tuple[FloatArray | None, tuple[str, ...]]:
        if errors is None or not (errors > 0).any():
            return None, ()
        known = errors > 0
        if known.all():
            return errors, ()
        grid, where = np.unique(self.lr[known], return_inverse=True)
        largest = np.zeros(len(grid))
        np.maximum.at(largest, where, errors[known])
        below = np.clip(np.searchsorted(grid, self.lr, side="right") - 1, 0, None)
        above = np.clip(np.searchsorted(grid, self.lr, side="left"), None, len(grid) - 1)
        note = (
            f"{int(np.sum(~known))} of {len(known)} states have no standard error of the {name}: each is given the "
            "largest of its neighbours'"
        )
        return np.where(known, errors, np.maximum(largest[below], largest[above])), (note,)

    def errors(self, what: str) -> tuple[FloatArray, FloatArray]:
        """Standard errors of losses and entropies, (n,) each.

        Those of the losses are kept above rounding, since they become weights.

        Parameters
        ----------
        what : needs them, for the error message.

        Raises
        ------
        InsufficientData
            Where they are not known.
        """
        if self.loss_stderr is None or self.entropy_stderr is None:
            raise InsufficientData(f"{what} needs standard errors: give loss_stderr and entropy_stderr")
        return np.maximum(self.loss_stderr, rounding(self.loss)), self.entropy_stderr

    def entropy_is_flat(self, entropy_stderr: FloatArray) -> bool:
        """Whether the entropies scatter no more than their errors, so that nothing can be divided by their change."""
        chi_square = _constant_chi_square(self.entropy, entropy_stderr)
        return chi_square < float(stats.chi2.ppf(0.99, len(self.entropy) - 1))

    def loss_is_flat(self, loss_stderr: FloatArray, chi_square: float, dof: int) -> bool:
        """Whether a constant explains the losses as well as a fit of `chi_square` with `dof` more parameters."""
        return _constant_chi_square(self.loss, loss_stderr) - chi_square < float(stats.chi2.ppf(0.975, dof))


def rounding(values: FloatArray) -> float:
    """A positive spread below the rounding of values of this size: stands for the absence of noise."""
    return 1e-12 * (float(np.ptp(values)) or float(np.abs(values).max()) or 1.0)


def _checked(name: str, values: ArrayLike | None, rates: FloatArray) -> FloatArray | None:
    if values is None:
        return None
    errors = np.atleast_1d(np.asarray(values, dtype=float))
    if errors.shape != rates.shape:
        raise ValueError(f"{name} has shape {errors.shape}, lr has {rates.shape}: give one value for each lr")
    if np.isinf(errors).any() or (errors < 0).any():
        raise ValueError(f"{name} must hold finite numbers that are not negative, or NaN where one is not known")
    return errors


def _constant_chi_square(values: FloatArray, errors: FloatArray) -> float:
    """χ² of the values about their weighted mean."""
    mean = float(np.average(values, weights=errors**-2))
    return float(np.sum(((values - mean) / errors) ** 2))
