"""Errors of losses and entropies, as they are told or as the residuals of a fit show them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.results import FloatArray
from analysis.temperature.selection import GuidedFit

#: Significance, in standard errors, from which the noise of U and S is taken to be correlated.
_SHARED = 2.0
#: Degrees of freedom below which the residuals say nothing.
_FEWEST = 0.5
#: Of the squared residuals of U, what its own noise makes up at least.
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class Noise:
    """Errors of the data of a fit.

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
    def of(cls, fit: GuidedFit) -> Noise:
        """What is told; widened where the residuals scatter more (seeds, basins), never narrowed.

        What is not told comes from the residuals by the method of moments: the guide of U goes through the entropies,
        so that the residuals of U answer to the noise of both.
        """
        data = fit.data
        (u_left, s_left), (u_of_u, u_of_s, s_of_s) = fit.residuals(), fit.residual_responses()
        du = data.du if data.u_told else data.du * _shape_of_loss_errors(u_left, u_of_u, fit.temperature_scale())
        u, s = u_left / du, s_left / data.ds
        # (n, n) each: how the residuals in units of the errors answer to noise of variance one.
        a, b, c = u_of_u * du / du[:, None], u_of_s * data.ds / du[:, None], s_of_s * data.ds / data.ds[:, None]
        told = data.u_told and data.s_told
        if min(np.sum(a * a), np.sum(c * c)) <= _FEWEST:
            u_factor, s_factor = (1.0 if known else float("nan") for known in (data.u_told, data.s_told))
            return cls(du * u_factor, data.ds * s_factor, data.correlation or 0.0, float("inf") if told else 1.0)
        s_variance = float(s @ s / np.sum(c * c))
        # Where the errors differ much in their shapes, common noise need not show in the product of the residuals.
        together = float(np.sum(a * c))
        shared = float(u @ s - s_variance * np.sum(b * c)) / together if together > _FEWEST else 0.0
        rest = float(u @ u - 2 * shared * np.sum(a * b) - s_variance * np.sum(b * b))
        # A difference of moments may come out below zero by luck, and errors of nothing would claim certainty.
        u_variance = max(rest, _LEAST_SHARE * float(u @ u)) / float(np.sum(a * a))
        correlation = float(np.clip(shared / (np.sqrt(u_variance * s_variance) or 1.0), -0.999, 0.999))
        if data.correlation is not None:
            correlation = data.correlation
        elif told and abs(np.arctanh(correlation)) * np.sqrt(max(np.sum(c * c) - 2, _FEWEST)) < _SHARED:
            correlation = 0.0
        u_factor, s_factor = _factor(u_variance, data.u_told), _factor(s_variance, data.s_told)
        dof = min((_degrees(m) for m, known in ((a, data.u_told), (c, data.s_told)) if not known), default=np.inf)
        return cls(du * u_factor, data.ds * s_factor, correlation, max(dof, 1.0))

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


def _factor(variance: float, told: bool) -> float:
    factor = float(np.sqrt(variance))
    return max(1.0, factor) if told else factor


def _degrees(responses: FloatArray) -> float:
    """Degrees of the χ² whose mean and variance are in the proportion of those of the residuals' sum of squares.

    (tr M)²/tr M² with M = RᵀR (Cleveland & Devlin 1988, δ₁²/δ₂). A smoother takes a share of many directions: tr M
    adds up what it leaves, but a noise estimate is as sharp as the directions are many. With tr M instead, intervals
    of studies with little noise are twice too wide.
    """
    m = responses.T @ responses
    return float(np.trace(m) ** 2 / np.sum(m * m))


def _shape_of_loss_errors(residual: FloatArray, response: FloatArray, thermal: FloatArray) -> FloatArray:
    """(n,) what the unknown errors of the losses are proportional to.

    All equal, or as the temperatures, of which the thermal fluctuations of a loss are: whichever makes the residuals
    likelier. Where the wrong one is taken, intervals are too narrow by half at one end of a sweep.

    Parameters
    ----------
    residual, response : (n,) and (n, n) the residuals of U and how they answer to the losses.
    thermal : (n,) temperatures, as positive sizes.
    """
    equal = np.ones(len(residual))
    if np.sum(response**2) < 1.0 or not residual.any() or not thermal.any():
        return equal

    def log_likelihood(shape: FloatArray) -> float:
        variance = response**2 @ shape**2
        return float(-0.5 * np.sum(np.log(variance)) - len(equal) / 2 * np.log(np.mean(residual**2 / variance)))

    return max(equal, thermal / thermal.mean(), key=log_likelihood)
