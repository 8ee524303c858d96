"""T = a·lr^b fitted to the losses and entropies themselves."""

from __future__ import annotations

import numpy as np
from scipy.special import exprel
from scipy.stats import norm

from analysis.results import OK, UNIDENTIFIED, ZERO_TEMPERATURE, FloatArray
from analysis.temperature.result import TemperatureCurve, without_interval
from analysis.temperature.states import States

#: Exponents that are tried first, before a finer grid about the best of them.
EXPONENTS = np.linspace(-3.0, 5.0, 161)
#: Repetitions of the bootstrap.
BOOTSTRAP = 400


def thermal_integral(log_t: FloatArray, s: FloatArray) -> FloatArray:
    """∫ T dS from the first point to each, (…, n), exact where ln T (…, n) and the entropy (n,) are linear between."""
    steps = np.exp(log_t[..., :-1]) * exprel(np.diff(log_t)) * np.diff(s)
    return np.concatenate([np.zeros_like(log_t[..., :1]), np.cumsum(steps, axis=-1)], axis=-1)


def power_law_fit(x: FloatArray, u: FloatArray, s: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """ln a and b of U = U_0 + a·∫ e^(b·x) dS by weighted least squares; ln a is NaN when a is not positive."""
    exponents = EXPONENTS
    best = (np.nan, np.nan)
    for _ in range(2):
        g = thermal_integral(exponents[:, None] * x, s)
        share = weight / weight.sum()
        centred_g, centred_u = g - (g @ share)[:, None], u - u @ share
        square = (centred_g**2) @ share
        a = (centred_g * centred_u) @ share / np.where(square > 0, square, np.inf)
        rest = ((centred_u - a[:, None] * centred_g) ** 2) @ share
        # Only solutions with a positive temperature compete.
        rest = np.where(a > 0, rest, np.inf)
        if not np.isfinite(rest).any():
            return np.nan, np.nan
        k = int(np.argmin(rest))
        best = (float(np.log(a[k])), float(exponents[k]))
        step = exponents[1] - exponents[0]
        exponents = np.linspace(exponents[k] - step, exponents[k] + step, 81)
    return best


def power_law_temperatures(states: States, level: float, rng: np.random.Generator) -> TemperatureCurve:
    """The fitted law at each learning rate; intervals in ln T by a parametric bootstrap of losses and entropies.

    Without standard errors all states have equal weight.
    """
    mean, where = states.by_lr()
    u, s = mean.loss, mean.entropy
    # Centred, so that a and b are nearly independent and e^(b·x) keeps its digits.
    x = mean.x - float(mean.x.mean())
    if not mean.has_errors:
        log_a, b = power_law_fit(x, u, s, np.ones_like(u))
        t = np.exp(log_a + b * x) if np.ptp(u) > 0 else np.where(np.ptp(s) > 0, 0.0, np.full_like(u, np.nan))
        return without_interval(states, t[where], "power-law")
    du, ds = mean.errors("an interval")
    weight = 1 / du**2
    log_a, b = power_law_fit(x, u, s, weight)
    for _ in range(2):
        if np.isfinite(log_a):
            weight = 1 / (du**2 + (np.exp(log_a + b * x) * ds) ** 2)
            log_a, b = power_law_fit(x, u, s, weight)
    if not np.isfinite(log_a):
        # The loss falls where the entropy rises, at every learning rate: no positive temperature fits.
        nothing = np.full(len(where), np.nan)
        status = np.full(len(where), UNIDENTIFIED, dtype="<U32")
        return TemperatureCurve(states.lr, nothing, nothing, nothing, nothing, status, "power-law", level)
    truth = thermal_integral(log_a + b * x, s)
    draws = []
    for _ in range(BOOTSTRAP):
        found = power_law_fit(x, truth + du * rng.normal(size=len(u)), s + ds * rng.normal(size=len(s)), weight)
        if np.isfinite(found[0]):
            draws.append(found[0] + found[1] * x)
    log_t = log_a + b * x
    spread = np.std(draws, axis=0, ddof=1) if len(draws) > BOOTSTRAP / 2 else np.full(len(x), np.nan)
    together = np.cov(np.transpose(draws)) if len(draws) > BOOTSTRAP / 2 else np.full((len(x), len(x)), np.nan)
    reach = float(norm.ppf(0.5 + level / 2))
    # Where the amplitude may be zero, ln T has no interval.
    level_u = float(np.average(u - truth, weights=weight))
    chi_square = float(np.sum((u - truth - level_u) ** 2 * weight))
    vanishing = len(draws) < (0.5 + level / 2) * BOOTSTRAP or mean.loss_is_flat(du, chi_square, 2)
    name = UNIDENTIFIED if mean.entropy_is_flat(ds) else ZERO_TEMPERATURE if vanishing else OK
    status = np.full(len(where), name, dtype="<U32")
    t = np.exp(log_t)
    lower = np.zeros_like(t) if vanishing else np.exp(log_t - reach * spread)
    return TemperatureCurve(
        states.lr, t[where], lower[where], np.exp(log_t + reach * spread)[where], (t * spread)[where], status,
        "power-law", level, (together * np.outer(t, t))[np.ix_(where, where)],
    )  # fmt: skip
