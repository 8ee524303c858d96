"""Standard errors that include the scatter between seeds of one learning rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import brentq

from analysis.results import FloatArray
from analysis.temperature.states import States

#: Seeds beyond one per learning rate that it takes to estimate the correlation of their scatter in U and S.
FEWEST_SPARE = 6


def with_seed_scatter(runs: States) -> States:
    """The runs with the scatter between seeds in their errors.

    Each seed may have settled in another valley, which the error of a single run does not show.

    Either one variance between seeds for all learning rates, added to the square of every run's own error (random
    effects, Paule & Mandel 1982), or one factor on all errors (Birge 1932), whichever makes the residuals more likely:
    the difference between valleys may or may not grow with the temperature. Both leave the errors alone where seeds
    scatter by no more than these, and neither lets the scatter of a hot learning rate swamp the small errors of a cold
    one. Runs without errors get them from the seeds alone; the correlation is kept where the seeds do not determine it.
    """
    mean, where = runs.by_lr()
    count = np.bincount(where)
    spare = int(np.sum(count - 1))
    if spare < 1:
        return runs
    runs, _ = runs.completed()
    # A learning rate with a single run leaves no residual and does not count.
    residuals = runs.loss - mean.loss[where], runs.entropy - mean.entropy[where]
    share = (1 - 1 / count)[where]
    given = [np.zeros(len(where)) if error is None else error for error in (runs.loss_stderr, runs.entropy_stderr)]
    errors = [
        np.sqrt(_with_excess(residual, stderr**2, share)) for residual, stderr in zip(residuals, given, strict=True)
    ]
    correlation = runs.correlation
    if all((error > own).all() for error, own in zip(errors, given, strict=True)) and spare >= FEWEST_SPARE:
        squares = [float(np.sum(residual**2)) for residual in residuals]
        found = float(np.sum(residuals[0] * residuals[1])) / float(np.sqrt(squares[0] * squares[1]))
        correlation = float(np.clip(found, -0.95, 0.95))
    return replace(runs, loss_stderr=errors[0], entropy_stderr=errors[1], correlation=correlation)


def _with_excess(residual: FloatArray, given: FloatArray, share: FloatArray) -> FloatArray:
    """Variances (n,) of runs, including the scatter between them.

    Parameters
    ----------
    residual : (n,) of the runs about the mean of their learning rate.
    given : (n,) their own variances: all positive, or all zero where they are not known.
    share : (n,) 1 − 1/m of a learning rate with m runs: the part of a variance that such a residual has.
    """
    squares, spare = residual**2, float(np.sum(share))
    alone = float(np.sum(squares)) / spare
    if not given.any():
        return np.full(len(given), alone)

    def surplus(between: float) -> float:
        return float(np.sum(squares / (given + between))) - spare

    if surplus(0.0) <= 0:
        return given
    added = given + float(brentq(surplus, 1e-12 * alone, alone))
    scaled = given * (surplus(0.0) + spare) / spare

    def log_likelihood(variance: FloatArray) -> float:
        return -float(np.sum(share * np.log(variance) + squares / variance)) / 2

    return added if log_likelihood(added) >= log_likelihood(scaled) else scaled
