"""The states of a study before a curve is fitted: errors that hold the scatter of the seeds, and few enough states.

What a temperature curve costs must not grow with the cube of the number of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from analysis.results import FloatArray, IntArray

#: States up to which every run is one.
MOST_STATES = 64
#: Seeds beyond one for each learning rate from which the correlation of what they differ by is taken.
FEWEST_SPARE = 6


@dataclass(frozen=True)
class States:
    """Stationary states of a study, each the mean of one or more runs.

    Attributes
    ----------
    lr, loss, entropy : (m,)
    loss_stderr, entropy_stderr : (m,) standard errors of the means.
    where : (n,) state of each run.
    """

    lr: FloatArray
    loss: FloatArray
    entropy: FloatArray
    loss_stderr: FloatArray
    entropy_stderr: FloatArray
    where: IntArray

    @property
    def numbers(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """In the order of the arguments of `analysis.temperature.temperature_curve`."""
        return self.lr, self.loss, self.entropy, self.loss_stderr, self.entropy_stderr

    def mean(self, values: FloatArray) -> FloatArray:
        """Means (m,) of the runs' values (n,) over the states."""
        return np.asarray(np.bincount(self.where, values) / np.bincount(self.where))

    def mean_of_known(self, values: Sequence[float | None]) -> FloatArray:
        """`mean` over the runs that have a value; 0 for a state none of whose runs has one."""
        known = np.array([value is not None for value in values], dtype=float)
        total = self.mean(np.array([value or 0.0 for value in values], dtype=float))
        return np.asarray(total / np.where(self.mean(known) > 0, self.mean(known), 1.0))

    def at(self, lr: FloatArray, values: FloatArray) -> FloatArray:
        """The states' values (m,) at the runs' learning rates (n,): (n,), between states along ln lr."""
        if len(self.where) == len(self.lr):
            return np.asarray(values[self.where])
        order = np.argsort(self.lr, kind="stable")
        return np.asarray(np.interp(np.log(lr), np.log(self.lr[order]), values[order]))


def pooled(
    lr: FloatArray,
    loss: FloatArray,
    entropy: FloatArray,
    loss_stderr: FloatArray,
    entropy_stderr: FloatArray,
    most: int = MOST_STATES,
) -> States:
    """The runs as they are, or from more than `most` on the means over seeds and then over neighbouring learning rates.

    The error of a mean over seeds is the larger one of what the runs' own errors and what their scatter say.

    Parameters
    ----------
    lr, loss, entropy, loss_stderr, entropy_stderr : (n,) of the runs.
    """
    if len(lr) <= most:
        return States(lr, loss, entropy, loss_stderr, entropy_stderr, np.arange(len(lr)))
    grid, where = np.unique(lr, return_inverse=True)
    seeds = len(grid) <= most
    if not seeds:
        where = np.minimum(np.arange(len(grid)) * most // len(grid), most - 1)[where]
    count = np.bincount(where)
    means, errors = [], []
    for values, stderr in ((loss, loss_stderr), (entropy, entropy_stderr)):
        mean = np.bincount(where, values) / count
        told = np.sqrt(np.bincount(where, stderr**2)) / count
        spread = np.bincount(where, (values - mean[where]) ** 2) / np.maximum(count - 1, 1)
        means.append(mean)
        # Neighbouring learning rates differ by more than noise.
        errors.append(np.maximum(told, np.sqrt(spread / count)) if seeds else told)
    rates = np.exp(np.bincount(where, np.log(lr)) / count)
    return States(rates, means[0], means[1], errors[0], errors[1], where)


@dataclass(frozen=True)
class SeedScatter:
    """What seeds of one learning rate differ by, beyond the errors that their runs know of.

    Attributes
    ----------
    loss_stderr, entropy_stderr : (n,) the runs' own errors and the scatter together.
    correlation : of the errors of U and S; as it was given where the seeds do not say.
    """

    loss_stderr: FloatArray
    entropy_stderr: FloatArray
    correlation: float | None


def with_seed_scatter(
    lr: FloatArray,
    loss: FloatArray,
    entropy: FloatArray,
    loss_stderr: FloatArray,
    entropy_stderr: FloatArray,
    correlation: float | None = None,
) -> SeedScatter:
    """Errors that hold what differs from seed to seed: a run may sit in a valley of its own, of which it knows nothing.

    Either one variance between seeds for all learning rates, added to the square of every run's own error (random
    effects, Paule & Mandel 1982), or one factor on all errors (Birge 1932), whichever the residuals are likelier under:
    what valleys differ by may or may not grow with the temperature. Both leave the errors alone where seeds differ no
    more than these say, and neither lets the scatter of a hot learning rate swamp the small errors of a cold one.

    Parameters
    ----------
    lr, loss, entropy, loss_stderr, entropy_stderr : (n,) of the runs.
    correlation : of the errors of a run's loss and entropy, None where it is not known.
    """
    _, where = np.unique(lr, return_inverse=True)
    count = np.bincount(where)
    spare = int(np.sum(count - 1))
    if spare < 1:
        return SeedScatter(loss_stderr, entropy_stderr, correlation)
    # A single run of a learning rate leaves no residual and counts for nothing.
    residuals = [values - (np.bincount(where, values) / count)[where] for values in (loss, entropy)]
    share = (1 - 1 / count)[where]
    errors = [
        np.sqrt(_with_excess(residual, stderr**2, share))
        for residual, stderr in zip(residuals, (loss_stderr, entropy_stderr), strict=True)
    ]
    grown = all((error > told).all() for error, told in zip(errors, (loss_stderr, entropy_stderr), strict=True))
    if grown and spare >= FEWEST_SPARE:
        squares = [float(np.sum(residual**2)) for residual in residuals]
        found = float(np.sum(residuals[0] * residuals[1])) / float(np.sqrt(squares[0] * squares[1]))
        correlation = float(np.clip(found, -0.95, 0.95))
    return SeedScatter(errors[0], errors[1], correlation)


def _with_excess(residual: FloatArray, told: FloatArray, share: FloatArray) -> FloatArray:
    """Variances (n,) of runs with these residuals about their learning rate's mean, whose own variances are `told`.

    Parameters
    ----------
    share : (n,) 1 − 1/m of a learning rate with m runs: the part of a variance that such a residual has.
    """
    squares, spare = residual**2, float(np.sum(share))

    def surplus(between: float) -> float:
        # A run that says it has no error, and has none, takes no part.
        variance = told + between
        part = np.divide(squares, variance, out=np.where(squares > 0, np.inf, 0.0), where=variance > 0)
        return float(np.sum(part)) - spare

    if surplus(0.0) <= 0:
        return told
    added = told + float(brentq(surplus, 1e-12 * np.sum(squares) / spare, np.sum(squares) / spare))
    if not (told > 0).all():
        return added
    scaled = told * (surplus(0.0) + spare) / spare

    def log_likelihood(variance: FloatArray) -> float:
        return -float(np.sum(share * np.log(variance) + squares / variance)) / 2

    return added if log_likelihood(added) >= log_likelihood(scaled) else scaled
