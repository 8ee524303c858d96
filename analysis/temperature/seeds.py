"""Errors that hold what seeds of one learning rate differ by, beyond what their runs know of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import brentq

from analysis.results import FloatArray
from analysis.temperature.states import States

#: Seeds beyond one for each learning rate from which the correlation of what they differ by is taken.
FEWEST_SPARE = 6


def with_seed_scatter(runs: States) -> States:
    """The runs with the scatter of the seeds in their errors: a run may sit in a valley of its own, of which it knows
    nothing.

    Either one variance between seeds for all learning rates, added to the square of every run's own error (random
    effects, Paule & Mandel 1982), or one factor on all errors (Birge 1932), whichever the residuals are likelier under:
    what valleys differ by may or may not grow with the temperature. Both leave the errors alone where seeds differ no
    more than these say, and neither lets the scatter of a hot learning rate swamp the small errors of a cold one. Runs
    that know no errors get them from their seeds alone; the correlation stays as it was where the seeds do not say.
    """
    mean, where = runs.by_lr()
    count = np.bincount(where)
    spare = int(np.sum(count - 1))
    if spare < 1:
        return runs
    runs, _ = runs.completed()
    # A single run of a learning rate leaves no residual and counts for nothing.
    residuals = runs.loss - mean.loss[where], runs.entropy - mean.entropy[where]
    share = (1 - 1 / count)[where]
    told = [np.zeros(len(where)) if error is None else error for error in (runs.loss_stderr, runs.entropy_stderr)]
    errors = [
        np.sqrt(_with_excess(residual, stderr**2, share)) for residual, stderr in zip(residuals, told, strict=True)
    ]
    correlation = runs.correlation
    if all((error > own).all() for error, own in zip(errors, told, strict=True)) and spare >= FEWEST_SPARE:
        squares = [float(np.sum(residual**2)) for residual in residuals]
        found = float(np.sum(residuals[0] * residuals[1])) / float(np.sqrt(squares[0] * squares[1]))
        correlation = float(np.clip(found, -0.95, 0.95))
    return replace(runs, loss_stderr=errors[0], entropy_stderr=errors[1], correlation=correlation)


def _with_excess(residual: FloatArray, told: FloatArray, share: FloatArray) -> FloatArray:
    """Variances (n,) of runs with these residuals about their learning rate's mean, whose own variances are `told`:
    all positive, or all zero where they are not known.

    Parameters
    ----------
    share : (n,) 1 − 1/m of a learning rate with m runs: the part of a variance that such a residual has.
    """
    squares, spare = residual**2, float(np.sum(share))
    alone = float(np.sum(squares)) / spare
    if not told.any():
        return np.full(len(told), alone)

    def surplus(between: float) -> float:
        return float(np.sum(squares / (told + between))) - spare

    if surplus(0.0) <= 0:
        return told
    added = told + float(brentq(surplus, 1e-12 * alone, alone))
    scaled = told * (surplus(0.0) + spare) / spare

    def log_likelihood(variance: FloatArray) -> float:
        return -float(np.sum(share * np.log(variance) + squares / variance)) / 2

    return added if log_likelihood(added) >= log_likelihood(scaled) else scaled
