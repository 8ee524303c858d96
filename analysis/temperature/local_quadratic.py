"""T = (dU/d ln lr)/(dS/d ln lr) from local quadratics in ln lr."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis._typing import FloatArray
from analysis.results import OK, UNIDENTIFIED, ZERO_TEMPERATURE
from analysis.temperature._points import Points, TemperatureCurve
from analysis.temperature.selection import GuidedFit, Scaled, choose_fits

#: Different learning rates that the bias correction needs; fewer get the plain local quadratic.
POINTS_FOR_CORRECTION = 5
#: Significance, in standard errors, from which the noise of U and S is taken to be correlated.
_SHARED = 2.0


def local_quadratic_temperatures(points: Points, level: float) -> TemperatureCurve:
    """Ratio of the two slopes at each learning rate, with an interval.

    About each learning rate, U and S are fitted with the same weights, which are those of their free energy
    U − T·S: T is the temperature at which it is stationary there. Errors that U and S share, having been measured on
    the same snapshots, drop out to first order. The fits are made to what a power-law guide leaves (Glad 1998), which
    takes most of the bias and so allows a wide bandwidth.

    The interval is the delta method's about the slopes of local cubics at the same bandwidth. At the bandwidth that
    predicts best, squared bias and variance are of one size, and an interval about the quadratic itself would be
    centred beside the truth (Calonico, Cattaneo & Farrell 2018). It always holds the temperature.
    """
    data = Scaled.of(points)
    fit, corrected = choose_fits(data, correct=len(data.grid()) >= POINTS_FOR_CORRECTION)
    noise = _Noise.of(fit)
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


@dataclass(frozen=True)
class _Noise:
    """Errors of the data.

    Attributes
    ----------
    u, s : (n,) standard errors, NaN where the residuals are too few to show them.
    correlation : between U and S.
    dof : degrees of freedom behind what was estimated; infinite when all was told.
    """

    u: FloatArray
    s: FloatArray
    correlation: float
    dof: float

    @classmethod
    def of(cls, fit: GuidedFit) -> _Noise:
        data = fit.data
        u, s = (r / error for r, error in zip(fit.residuals(), (data.du, data.ds), strict=True))
        u_dof, s_dof = fit.u_fit.degrees_of_freedom(), fit.s_fit.degrees_of_freedom()
        sums = float(np.sum(u**2)), float(np.sum(s**2))
        correlation = float(np.sum(u * s)) / (float(np.sqrt(sums[0] * sums[1])) or 1.0)
        told = data.u_told and data.s_told
        dof = float("inf") if told else min(d for d, t in ((u_dof, data.u_told), (s_dof, data.s_told)) if not t)
        if data.correlation is not None:
            correlation = data.correlation
        elif told and abs(np.arctanh(np.clip(correlation, -0.999, 0.999))) * np.sqrt(max(s_dof - 2, 0.5)) < _SHARED:
            correlation = 0.0
        return cls(
            data.du * _scale(sums[0], u_dof, data.u_told), data.ds * _scale(sums[1], s_dof, data.s_told),
            correlation, max(1.0, dof),
        )  # fmt: skip

    def through(self, by_u: FloatArray, by_s: FloatArray) -> FloatArray:
        """Covariance (m, m) of what answers to U and S by the matrices (m, n)."""
        u, s = by_u * self.u, by_s * self.s
        shared = self.correlation * (u @ s.T)
        covariance = u @ u.T + s @ s.T + shared + shared.T
        # Rounding may leave less than nothing where U and S cancel.
        covariance[np.diag_indices(len(covariance))] = np.maximum(np.diag(covariance), 0.0)
        return np.asarray(covariance)

    def reach(self, level: float) -> float:
        """Half-width of an interval in standard errors."""
        return float(stats.norm.ppf(0.5 + level / 2) if np.isinf(self.dof) else stats.t.ppf(0.5 + level / 2, self.dof))


def _scale(chi_square: float, dof: float, told: bool) -> float:
    """Factor on the errors. Scatter beyond what was told (seeds, basins) widens them; it never narrows them."""
    if dof <= 0.5:
        return 1.0 if told else float("nan")
    scale = float(np.sqrt(chi_square / dof))
    return max(1.0, scale) if told else scale


def _slope_errors(fit: GuidedFit, noise: _Noise) -> tuple[FloatArray, FloatArray]:
    """Standard errors of dU/d ln lr and dS/d ln lr, (n,) each."""
    return (
        np.sqrt(np.diag(noise.through(fit.u_fit.slope, fit.u_slope_of_s()))),
        np.sqrt(np.diag(noise.through(np.zeros_like(fit.s_fit.slope), fit.s_fit.slope))),
    )


def _covariance(fit: GuidedFit, noise: _Noise) -> FloatArray:
    """Of the temperatures, (n, n), by the delta method, with the guide's answer to the noise in it."""
    s_slope, temperature = fit.slopes()[1][:, None], fit.temperature()[:, None]
    safe = np.where(s_slope == 0, np.nan, s_slope)
    return noise.through(fit.u_fit.slope / safe, (fit.u_slope_of_s() - temperature * fit.s_fit.slope) / safe)
