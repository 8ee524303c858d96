"""U as a convex, rising function of S: the states then each minimise a free energy at some positive temperature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.stats import norm

from analysis.results import OK, UNIDENTIFIED, ZERO_TEMPERATURE, FloatArray
from analysis.temperature.result import TemperatureCurve, without_interval
from analysis.temperature.states import States

#: Repetitions behind an interval or a p-value.
BOOTSTRAP = 400
#: Iterations of the weights, which depend on the fitted slopes.
_ROUNDS = 3


@dataclass(frozen=True)
class ConvexFit:
    """A convex, non-decreasing, piecewise linear U(S).

    Attributes
    ----------
    u : (n,) fitted losses.
    slope : (n,) dU/dS at each state, the mean of the slopes on its two sides; one-sided at the ends.
    chi_square : weighted sum of squared residuals, in units of the effective variance σ_U² + (T·σ_S)².
    """

    u: FloatArray
    slope: FloatArray
    chi_square: float


def convex_fit(s: FloatArray, u: FloatArray, du: FloatArray, ds: FloatArray) -> ConvexFit:
    """Weighted least squares over convex, non-decreasing functions.

    The error of S enters through the slope (effective variance, Orear 1982), which is iterated.

    Parameters
    ----------
    s, u : (n,) entropies and losses in any order.
    du, ds : (n,) their standard errors, positive.
    """
    knots, where = np.unique(s, return_inverse=True)
    reach = float(np.ptp(knots)) or 1.0
    scale = float(np.ptp(u)) or 1.0
    z, y = (knots - knots[0]) / reach, (u - u.min()) / scale
    # A constant of either sign, a first slope, and an increment of the slope at each inner knot; none is negative.
    hinges = np.maximum(z[:, None] - z[None, 1:-1], 0.0)
    design = np.column_stack([np.ones_like(z), -np.ones_like(z), z, hinges])
    slope = np.zeros(len(z))
    variance = (du / scale) ** 2
    coefficients = np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        root = 1 / np.sqrt(variance)
        coefficients, _residual = nnls(design[where] * root[:, None], y * root)
        pieces = coefficients[2] + np.concatenate([[0.0], np.cumsum(coefficients[3:])])
        padded = np.concatenate([pieces[:1], pieces, pieces[-1:]])
        slope = (padded[:-1] + padded[1:])[: len(z)] / 2
        if not ds.any():
            break
        variance = (du / scale) ** 2 + (slope[where] * ds / reach) ** 2
    fitted = (design @ coefficients)[where]
    chi_square = float(np.sum((y - fitted) ** 2 / variance))
    return ConvexFit(fitted * scale + float(u.min()), slope[where] * scale / reach, chi_square)


def convex_temperatures(states: States, level: float, rng: np.random.Generator) -> TemperatureCurve:
    """Slopes of the convex fit, with intervals from a parametric bootstrap about it.

    Without standard errors all states have equal weight.
    """
    mean, where = states.by_lr()
    if not mean.has_errors:
        slope = convex_fit(mean.entropy, mean.loss, np.ones_like(mean.loss), np.zeros_like(mean.loss)).slope
        known = np.where(np.ptp(mean.entropy) > 0, slope, np.nan)
        return without_interval(states, known[where], "convex")
    s, (du, ds) = mean.entropy, mean.errors("an interval")
    fit = convex_fit(s, mean.loss, du, ds)
    draws = np.array([
        convex_fit(s + ds * rng.normal(size=len(ds)), fit.u + du * rng.normal(size=len(du)), du, ds).slope
        for _ in range(BOOTSTRAP)
    ])  # fmt: skip
    stderr = draws.std(axis=0, ddof=1)
    reach = float(norm.ppf(0.5 + level / 2))
    status = np.full(len(du), OK, dtype="<U32")
    status[fit.slope - reach * stderr <= 0] = ZERO_TEMPERATURE
    # The fit can only rise, so noise about a constant always shows some slope. Parameters: a slope and a bend.
    if mean.loss_is_flat(du, fit.chi_square, 2):
        status[:] = ZERO_TEMPERATURE
    if mean.entropy_is_flat(ds):
        status[:] = UNIDENTIFIED
    return TemperatureCurve(
        states.lr, fit.slope[where], (fit.slope - reach * stderr)[where], (fit.slope + reach * stderr)[where],
        stderr[where], status[where], "convex", level, np.cov(draws.T)[np.ix_(where, where)],
    )  # fmt: skip
