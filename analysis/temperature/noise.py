"""Standard errors of losses and entropies: as given, and as the residuals of a fit show them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import FloatArray
from analysis.temperature.selection import GuidedFit

#: Significance, in standard errors, from which the noise of U and S is taken to be correlated.
_SHARED = 2.0
#: Degrees of freedom below which the residuals say nothing.
_FEWEST = 0.5
#: Share of the squared residuals of U that is attributed to its own noise at least.
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class Noise:
    """Standard errors of the data of a fit, and their correlation.

    Attributes
    ----------
    u, s : (n,) standard errors.
    correlation : between U and S.
    """

    u: FloatArray
    s: FloatArray
    correlation: float

    @classmethod
    def of(cls, fit: GuidedFit) -> Noise:
        """The given errors, widened where the residuals scatter more (seeds, basins), never narrowed.

        By the method of moments: the guide of U depends on the entropies, so that the residuals of U respond to the
        noise of both. A correlation that is not given is estimated from the residuals and used where it is significant:
        an interval that ignores that U and S share their noise is more than twice too wide.
        """
        data = fit.data
        (u_left, s_left), (u_of_u, u_of_s, s_of_s) = fit.residuals(), fit.residual_responses()
        du, ds = data.du, data.ds
        u, s = u_left / du, s_left / ds
        # (n, n) each: how the residuals, in units of the errors, respond to noise of variance one.
        a, b, c = u_of_u * du / du[:, None], u_of_s * ds / du[:, None], s_of_s * ds / ds[:, None]
        if min(np.sum(a * a), np.sum(c * c)) <= _FEWEST:
            return cls(du, ds, data.correlation or 0.0)
        s_variance = float(s @ s / np.sum(c * c))
        # Where the errors of U and S vary along lr in very different ways, shared noise need not show in the residuals.
        together = float(np.sum(a * c))
        shared = float(u @ s - s_variance * np.sum(b * c)) / together if together > _FEWEST else 0.0
        rest = float(u @ u - 2 * shared * np.sum(a * b) - s_variance * np.sum(b * b))
        # A difference of moments may come out negative by chance.
        u_variance = max(rest, _LEAST_SHARE * float(u @ u)) / float(np.sum(a * a))
        correlation = data.correlation
        if correlation is None:
            correlation = float(np.clip(shared / (np.sqrt(u_variance * s_variance) or 1.0), -0.999, 0.999))
            if abs(np.arctanh(correlation)) * np.sqrt(max(np.sum(c * c) - 2, _FEWEST)) < _SHARED:
                correlation = 0.0
        return cls(du * max(1.0, float(np.sqrt(u_variance))), ds * max(1.0, float(np.sqrt(s_variance))), correlation)

    def through(self, by_u: FloatArray, by_s: FloatArray) -> FloatArray:
        """Covariance (m, m) of quantities that depend on U and S through these matrices (m, n)."""
        u, s = by_u * self.u, by_s * self.s
        shared = self.correlation * (u @ s.T)
        covariance = u @ u.T + s @ s.T + shared + shared.T
        # Where U and S cancel, rounding may leave a negative variance.
        covariance[np.diag_indices(len(covariance))] = np.maximum(np.diag(covariance), 0.0)
        return np.asarray(covariance)
