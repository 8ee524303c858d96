"""T = (dU/d ln lr)/(dS/d ln lr) from local quadratics in ln lr."""

from __future__ import annotations

import numpy as np

from analysis.results import OK, UNIDENTIFIED, ZERO_TEMPERATURE, FloatArray
from analysis.temperature._points import Points, TemperatureCurve
from analysis.temperature.noise import Noise
from analysis.temperature.selection import GuidedFit, Scaled, choose_fits

#: Different learning rates that the bias correction needs; fewer get the plain local quadratic.
POINTS_FOR_CORRECTION = 5


def local_quadratic_temperatures(points: Points, level: float) -> TemperatureCurve:
    """Ratio of the two slopes at each learning rate, with an interval.

    About each learning rate, U and S are fitted with the same weights, which are those of their free energy
    U − T·S: T is the temperature at which it is stationary there. Errors that U and S share, having been measured on
    the same snapshots, drop out to first order. The fits are made to what a guide leaves (Glad 1998), a power law or a
    constant heat capacity, which takes most of the bias and so allows a wide bandwidth.

    The interval is the delta method's about the slopes of local cubics at the same bandwidth. At the bandwidth that
    predicts best, squared bias and variance are of one size, and an interval about the quadratic itself would be
    centred beside the truth (Calonico, Cattaneo & Farrell 2018). It always holds the temperature.
    """
    data = Scaled.of(points)
    fit, corrected = choose_fits(data, correct=len(data.grid()) >= POINTS_FOR_CORRECTION)
    noise = Noise.of(fit)
    errors = np.sqrt(np.diag(_covariance(corrected, noise)))
    u_error, s_error = _slope_errors(corrected, noise)
    reach = noise.reach(level)
    u_slope, s_slope = corrected.slopes()
    status = np.full(len(points.x), OK, dtype="<U32")
    status[~(u_slope - reach * u_error > 0)] = ZERO_TEMPERATURE
    status[u_slope + reach * u_error < 0] = UNIDENTIFIED
    # A slope of S that may be zero makes T anything; no noise estimate at all makes it unknown too.
    flat = np.full(len(points.x), np.ptp(points.s) == 0) | (s_slope == 0)
    status[~(s_slope - reach * s_error > 0) | ~np.isfinite(errors) | flat] = UNIDENTIFIED
    temperature, centre, stderr = (
        np.where(flat, np.nan, values * data.unit) for values in (fit.temperature(), corrected.temperature(), errors)
    )
    lower, upper = np.minimum(centre - reach * stderr, temperature), np.maximum(centre + reach * stderr, temperature)
    return TemperatureCurve(
        np.exp(points.x), temperature, lower, upper, stderr, status, "local-quadratic", level,
        _covariance(fit, noise) * data.unit**2,
    )  # fmt: skip


def _slope_errors(fit: GuidedFit, noise: Noise) -> tuple[FloatArray, FloatArray]:
    """Standard errors of dU/d ln lr and dS/d ln lr, (n,) each."""
    return (
        np.sqrt(np.diag(noise.through(fit.u_fit.slope, fit.u_slope_of_s()))),
        np.sqrt(np.diag(noise.through(np.zeros_like(fit.s_fit.slope), fit.s_fit.slope))),
    )


def _covariance(fit: GuidedFit, noise: Noise) -> FloatArray:
    """Of the temperatures, (n, n), by the delta method, with the guide's answer to the noise in it."""
    s_slope, temperature = fit.slopes()[1][:, None], fit.temperature()[:, None]
    safe = np.where(s_slope == 0, np.nan, s_slope)
    return noise.through(fit.u_fit.slope / safe, (fit.u_slope_of_s() - temperature * fit.s_fit.slope) / safe)
