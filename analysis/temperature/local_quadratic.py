"""T = (dU/d ln lr)/(dS/d ln lr) from local polynomials in ln lr."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from analysis.results import OK, UNIDENTIFIED, ZERO_TEMPERATURE, FloatArray
from analysis.temperature.noise import Noise
from analysis.temperature.result import TemperatureCurve, without_interval
from analysis.temperature.selection import GuidedFit, Scaled, choose_fits
from analysis.temperature.states import States

#: Share of the local cubic in the fit: enough for the coverage at a kink (benchmarks/coverage.md); each further 0.1
#: makes the temperatures of a plain power law 3 % worse.
CUBIC_SHARE = 0.2


def local_quadratic_temperatures(states: States, level: float) -> TemperatureCurve:
    """Ratio of the two slopes at each learning rate, with an interval.

    About each learning rate U and S are fitted with the same weights, those of their free energy U − T·S, where T is
    the temperature that makes it stationary there. Errors that U and S share, because they are measured on the same
    snapshots, drop out to first order. The local fits are made to the residuals of a guide (Glad 1998), a power law or
    a constant heat capacity, which removes most of the bias and so allows a wide bandwidth.

    At the bandwidth that predicts best, squared bias and variance are of similar size, so an interval made of the
    variance alone would often miss the truth. The fit is therefore a local quadratic with a share of the local cubic,
    and the difference between the cubic's and the quadratic's T is taken as the systematic error: the covariance of the
    temperatures is the delta method's plus the outer product of that difference with itself, and the interval is
    T ± z·stderr, cut at zero.

    Where the interval reaches zero the status is ``zero-temperature``: T is then max(T, 0) and its interval an upper
    limit, [0, T + z·stderr]. Where the loss falls by more than its error there is no temperature, and the status is
    ``unidentified``, as it is where the slope of the entropy may be zero.
    """
    data = Scaled.of(states)
    quadratic, cubic = choose_fits(data)
    fit = quadratic.towards(cubic, CUBIC_SHARE)
    flat = np.full(len(data.x), np.ptp(states.entropy) == 0) | (fit.slopes()[1] == 0)
    temperature = np.where(flat, np.nan, fit.temperature() * data.unit)
    if not states.has_errors:
        return without_interval(states, temperature, "local-quadratic")
    # Residuals of the stiffer fit: those of the mixture would show less of a curve that no polynomial follows.
    noise = Noise.of(quadratic)
    systematic = cubic.temperature() - quadratic.temperature()
    covariance = (_covariance(fit, noise) + np.outer(systematic, systematic)) * data.unit**2
    stderr = np.where(flat, np.nan, np.sqrt(np.diag(covariance)))
    reach = float(norm.ppf(0.5 + level / 2))
    lower, upper = temperature - reach * stderr, temperature + reach * stderr
    status = np.where(lower > 0, OK, ZERO_TEMPERATURE).astype("<U32")
    (u_slope, s_slope), (u_error, s_error) = fit.slopes(), _slope_errors(fit, noise)
    falls = ~(upper > 0) | (u_slope + reach * u_error < 0)
    status[falls | ~(s_slope - reach * s_error > 0)] = UNIDENTIFIED
    temperature, lower, upper, stderr = (
        np.where(falls, np.nan, values)
        for values in (np.maximum(temperature, 0.0), np.maximum(lower, 0.0), upper, stderr)
    )
    return TemperatureCurve(states.lr, temperature, lower, upper, stderr, status, "local-quadratic", level, covariance)


def _slope_errors(fit: GuidedFit, noise: Noise) -> tuple[FloatArray, FloatArray]:
    """Standard errors of dU/d ln lr and dS/d ln lr, (n,) each."""
    return (
        np.sqrt(np.diag(noise.through(fit.u_fit.slope, fit.u_slope_of_s()))),
        np.sqrt(np.diag(noise.through(np.zeros_like(fit.s_fit.slope), fit.s_fit.slope))),
    )


def _covariance(fit: GuidedFit, noise: Noise) -> FloatArray:
    """Covariance (n, n) of the temperatures by the delta method, including the guide's response to the noise."""
    s_slope, temperature = fit.slopes()[1][:, None], fit.temperature()[:, None]
    safe = np.where(s_slope == 0, np.nan, s_slope)
    return noise.through(fit.u_fit.slope / safe, (fit.u_slope_of_s() - temperature * fit.s_fit.slope) / safe)
