"""Choice of the guide and the bandwidth of a local fit by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import FloatArray, IntArray
from analysis.temperature.guide import FEWEST, Guide, heat_capacity_guide, no_guide, power_law_guide
from analysis.temperature.linear import Linear, local_polynomial
from analysis.temperature.states import States

#: Bandwidths that are tried, in units of the median spacing of ln lr; the last is a global fit.
BANDWIDTHS = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, np.inf)
#: A fit without a guide must have a squared prediction error this many times smaller than one with a guide: with the
#: few points of a study, chance would often decide between the two.
PREFERENCE = 3.0
#: Fewest learning rates for a local cubic.
POINTS_FOR_CUBIC = 5
#: Iterations of the weights, which depend on the fitted temperatures.
_ROUNDS = 3
#: Share of a change of a state that must stay in its residual: a state that is fitted exactly says nothing about
#: prediction. A state with a much smaller error than its neighbours is fitted almost exactly at every useful bandwidth,
#: so that a larger share would leave only the stiff fits.
_LEAST_FREEDOM = 0.01
#: Degrees of freedom that differ by less are the same.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Scaled:
    """The states of a study in units in which their numbers are of order one.

    Attributes
    ----------
    x : (n,) ln lr, centred.
    u, s : (n,) centred, divided by their ranges.
    du, ds : (n,) standard errors; all 1 (equal weights) where they are not known.
    correlation : of the errors of U and S, None where it is not known.
    unit : of temperature.
    has_errors : whether they are known.
    """

    x: FloatArray
    u: FloatArray
    s: FloatArray
    du: FloatArray
    ds: FloatArray
    correlation: float | None
    unit: float
    has_errors: bool = True

    @classmethod
    def of(cls, states: States) -> Scaled:
        """The same states in these units."""
        # Without the shift an entropy of 1e6 nats would lose digits.
        x = states.x - float(states.x.mean())
        u_scale, s_scale = (float(np.ptp(y)) or 1.0 for y in (states.loss, states.entropy))
        u, s = (states.loss - states.loss.mean()) / u_scale, (states.entropy - states.entropy.mean()) / s_scale
        if states.loss_stderr is None or states.entropy_stderr is None:
            return cls(x, u, s, np.ones_like(x), np.ones_like(x), states.correlation, u_scale / s_scale, False)
        # Rounding is noise too: exact data would get infinite weights.
        du, ds = np.maximum(states.loss_stderr / u_scale, 1e-12), np.maximum(states.entropy_stderr / s_scale, 1e-12)
        return cls(x, u, s, du, ds, states.correlation, u_scale / s_scale)

    def grid(self) -> FloatArray:
        """The different x, rising."""
        return np.unique(self.x)

    def spacing(self) -> float:
        """Median distance of neighbours on the grid."""
        return float(np.median(np.diff(self.grid())))

    def inner_states(self) -> list[IntArray]:
        """Indices of the points at each learning rate but the ends.

        An end that is left out has to be extrapolated, which favours stiff fits whatever the curve.
        """
        return [np.nonzero(self.x == value)[0] for value in self.grid()[1:-1]]


@dataclass(frozen=True)
class GuidedFit:
    """Local polynomials fitted to the residuals of a guide.

    Attributes
    ----------
    data, guide, local : what it is made of.
    u_fit, s_fit : guide and local polynomial together, as fits to U and S.
    """

    data: Scaled
    guide: Guide
    local: Linear
    u_fit: Linear
    s_fit: Linear

    @classmethod
    def of(cls, data: Scaled, guide: Guide, local: Linear) -> GuidedFit:
        """`local` fitted to the residuals of `guide`."""
        return cls(data, guide, local, guide.of_u.then(local), guide.of_s.then(local))

    def towards(self, other: GuidedFit, share: float) -> GuidedFit:
        """This fit with a `share` of another one of the same data and guide."""
        mixed = Linear(
            (1 - share) * self.local.level + share * other.local.level,
            (1 - share) * self.local.slope + share * other.local.slope,
        )
        return GuidedFit.of(self.data, self.guide, mixed)

    def slopes(self) -> tuple[FloatArray, FloatArray]:
        """dU/d ln lr and dS/d ln lr, (n,) each."""
        guide, data = self.guide, self.data
        return (
            guide.u_slope + self.local.slope @ (data.u - guide.u),
            guide.s_slope + self.local.slope @ (data.s - guide.s),
        )

    def u_slope_of_s(self) -> FloatArray:
        """How dU/d ln lr responds to the entropies, through the guide, (n, n)."""
        through = self.guide.u_of_s
        return np.asarray(through.slope - self.local.slope @ through.level)

    def temperature(self) -> FloatArray:
        """Ratio of the two slopes, (n,); 0 where S does not change."""
        u, s = self.slopes()
        return np.asarray(np.divide(u, s, out=np.zeros_like(u), where=s != 0))

    def temperature_scale(self) -> FloatArray:
        """The temperatures (n,) made positive: where noise has flipped the sign, a small part of the largest."""
        temperature = self.temperature()
        return np.asarray(np.maximum(temperature, 1e-3 * np.abs(temperature).max()))

    def residuals(self) -> tuple[FloatArray, FloatArray]:
        """Of U and S, (n,) each."""
        u, s = self.data.u - self.guide.u, self.data.s - self.guide.s
        return u - self.local.level @ u, s - self.local.level @ s

    def residual_responses(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """How the residuals respond to the data: those of U to U, those of U to S, those of S to S; (n, n) each."""
        one = np.eye(len(self.data.x))
        through = (one - self.local.level) @ self.guide.u_of_s.level
        return one - self.u_fit.level, -through, one - self.s_fit.level

    def can_be_judged(self) -> bool:
        """Whether cross-validation can judge the fit: it passes through no inner state, and is not too flexible."""
        spare = min(self.u_fit.degrees_of_freedom(), self.s_fit.degrees_of_freedom())
        # Without errors, five states would be joined by a curve through all of them, noise included. A global fit may
        # leave exactly one degree of freedom: how a processor rounds must not decide.
        if not self.data.has_errors and spare < 1.0 - _ROUNDING:
            return False
        return all(
            _least_freedom(fit.level, one) > _LEAST_FREEDOM
            for fit in (self.u_fit, self.s_fit)
            for one in self.data.inner_states()
        )

    def prediction_error(self, size: FloatArray, weight: FloatArray) -> float:
        """Mean squared error of the free energies U − T·S predicted for the inner states when these are left out.

        Repeats of a learning rate are left out together: the others would predict one whatever the curve.

        Parameters
        ----------
        size : (n,) temperatures T.
        weight : (n, n) of each point (column) at each temperature (row).
        """
        u, s = self.residuals()
        errors = []
        for one in self.data.inner_states():
            missed_u, missed_s = _left_out(self.u_fit.level, u, one), _left_out(self.s_fit.level, s, one)
            errors.append((missed_u - size[:, None] * missed_s) ** 2 * weight[:, one])
        return float(np.mean(np.concatenate(errors, axis=1))) if errors else 0.0


def _least_freedom(level: FloatArray, one: IntArray) -> float:
    """Smallest share of a change of the points `one` that stays in their residuals; 0 if the fit passes through."""
    if len(one) == 1:
        return float(1 - level[one[0], one[0]])
    return float(np.linalg.svd(np.eye(len(one)) - level[np.ix_(one, one)], compute_uv=False)[-1])


def _left_out(level: FloatArray, residual: FloatArray, one: IntArray) -> FloatArray:
    """Residuals of the points `one` from a fit to the others."""
    if len(one) == 1:
        return np.asarray(residual[one] / max(1 - level[one[0], one[0]], _LEAST_FREEDOM))
    return np.asarray(np.linalg.lstsq(np.eye(len(one)) - level[np.ix_(one, one)], residual[one])[0])


def choose_fits(data: Scaled) -> tuple[GuidedFit, GuidedFit]:
    """The local quadratic with the guide that predicts best, and the same with cubics if there are enough points."""
    n, spacing = len(data.x), data.spacing()
    fit = GuidedFit.of(data, no_guide(n), local_polynomial(data.x, np.ones((n, n)), 2 * spacing, degree=2))
    for _ in range(_ROUNDS):
        size = fit.temperature_scale()
        weight = 1 / (data.du**2 + (size[:, None] * data.ds) ** 2)
        guides = [no_guide(n)]
        if len(data.grid()) >= FEWEST:
            errors = np.hypot(data.du, size * data.ds)
            for guided in (power_law_guide, heat_capacity_guide):
                guides.append(guided(data.x, data.u, data.s, errors, data.ds))
        best = np.inf
        for bandwidth in BANDWIDTHS:
            local = local_polynomial(data.x, weight, bandwidth * spacing, degree=2)
            for guide in guides:
                candidate = GuidedFit.of(data, guide, local)
                # The global fit without a guide is the fallback.
                plain = guide is guides[0]
                if not candidate.can_be_judged() and not (plain and np.isinf(bandwidth)):
                    continue
                error = candidate.prediction_error(size, weight)
                error *= PREFERENCE if plain and len(guides) > 1 else 1.0
                if error < best:
                    best, fit, width = error, candidate, bandwidth
    if len(data.grid()) < POINTS_FOR_CUBIC:
        return fit, fit
    return fit, GuidedFit.of(data, fit.guide, local_polynomial(data.x, weight, width * spacing, degree=3))
