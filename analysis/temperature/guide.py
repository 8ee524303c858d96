"""The guide of a local fit: dU = T dS with a power law T = a·lr^b, or with a constant heat capacity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from analysis.results import FloatArray
from analysis.temperature.linear import Linear, least_squares, polynomial

#: Exponents b that are tried; the best of them is refined.
EXPONENTS = np.linspace(-3.0, 5.0, 81)
#: Degree of the polynomial in ln lr that guides the entropy, where the points leave it two degrees of freedom.
DEGREE = 4
#: Fewest learning rates for a guide: with fewer it would pass through all the points.
FEWEST = 5
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(6)


@dataclass(frozen=True)
class Guide:
    """Guide curves of U and S at the points, and how they respond to a change of the data.

    Attributes
    ----------
    u, s : (n,) U_0 + ∫ T dS and S, a polynomial in ln lr.
    u_slope, s_slope : (n,) their derivatives in ln lr; the ratio is T.
    of_u : the guide of U as a fit to the losses, linearised in its parameters.
    of_s : the guide of S as a fit to the entropies.
    u_of_s : the guide of U as a function of the entropies, linearised.
    """

    u: FloatArray
    s: FloatArray
    u_slope: FloatArray
    s_slope: FloatArray
    of_u: Linear
    of_s: Linear
    u_of_s: Linear


def no_guide(n: int) -> Guide:
    """Zero, whatever the data."""
    zero, nothing = np.zeros(n), Linear.nothing(n)
    return Guide(zero, zero, zero, zero, nothing, nothing, nothing)


def power_law_guide(x: FloatArray, u: FloatArray, s: FloatArray, du: FloatArray, ds: FloatArray) -> Guide:
    """T = a·lr^b: follows such a temperature exactly, whatever the entropy does.

    Parameters
    ----------
    x : (n,) ln lr, centred.
    u, s : (n,) losses and entropies.
    du, ds : (n,) positive standard errors; only the ratios within each array matter.
    """
    return _guide(x, u, s, du, ds, through_entropy=False)


def heat_capacity_guide(x: FloatArray, u: FloatArray, s: FloatArray, du: FloatArray, ds: FloatArray) -> Guide:
    """T = a·e^(S/C): a constant heat capacity C = dU/dT, as of a quadratic loss (equipartition: C = d/2).

    How the states depend on the learning rate then does not matter. SGD's own law, T ∝ lr/(2 − lr·h), departs from any
    power of the learning rate near the edge of stability, but its heat capacity stays constant. Parameters as for
    `power_law_guide`.
    """
    return _guide(x, u, s, du, ds, through_entropy=True)


def _guide(
    x: FloatArray, u: FloatArray, s: FloatArray, du: FloatArray, ds: FloatArray, *, through_entropy: bool
) -> Guide:
    """Weighted least squares: a polynomial to S first, then U_0, a and b of T = a·e^(b·z) to U.

    z is ln lr or the polynomial itself; either way the noise of the latter drops out of the ratio of the slopes.
    """
    entropy = _EntropyCurve.of(x, ds)
    integrals, shape = entropy.integrals, entropy.integrals.nodes.shape
    s_guide, s_slope = entropy.fit.level @ s, entropy.fit.slope @ s
    s_nodes, slope_nodes = ((matrix @ s).reshape(shape) for matrix in (entropy.at_nodes, entropy.slope_at_nodes))
    z, z_nodes, per_entropy = x, integrals.nodes, 0.0
    if through_entropy:
        # Scaled to the range of ln lr, so that the same exponents apply.
        per_entropy = float(np.ptp(x)) / (float(np.ptp(s_guide)) or 1.0)
        z, z_nodes = (per_entropy * (level - float(s_guide.mean())) for level in (s_guide, s_nodes))
    weight = (du.mean() / du) ** 2
    share = weight / weight.sum()
    centred = u - u @ share

    def misfit(b: float | FloatArray) -> FloatArray:
        """Mean squared misfit with the best U_0 and a at each b; a may be negative."""
        column = integrals.of(np.exp(np.atleast_1d(b)[:, None, None] * z_nodes) * slope_nodes)
        column = column - (column @ share)[:, None]
        square, product = column**2 @ share, column @ (centred * share)
        return np.asarray(centred**2 @ share - product**2 / np.where(square > 0, square, np.inf))

    k, step = int(np.argmin(misfit(EXPONENTS))), float(EXPONENTS[1] - EXPONENTS[0])
    bounds = (EXPONENTS[k] - step, EXPONENTS[k] + step)
    b = float(minimize_scalar(lambda b: float(misfit(b)[0]), bounds=bounds, method="bounded").x)
    growth, growth_nodes = np.exp(b * z), np.exp(b * z_nodes)
    # The third column lets b respond to a change of the losses.
    column, tilt = integrals.of(np.stack([growth_nodes * slope_nodes, z_nodes * growth_nodes * slope_nodes]))
    rise = column - column @ share
    a = float(rise @ (centred * share) / max(float(rise**2 @ share), 1e-300))
    of_u = least_squares(
        np.column_stack([np.ones_like(x), column, tilt]),
        np.column_stack([np.zeros_like(x), growth * s_slope, z * growth * s_slope]),
        weight,
    )
    # A change of the entropies moves the column of a; refitting the parameters makes up for a part of it.
    change = entropy.slope_at_nodes + b * per_entropy * slope_nodes.ravel()[:, None] * entropy.at_nodes
    moved = integrals.of(growth_nodes * change.T.reshape(len(x), *shape)).T
    moved_slope = growth[:, None] * (entropy.fit.slope + b * per_entropy * s_slope[:, None] * entropy.fit.level)
    u_of_s = Linear(a * (moved - of_u.level @ moved), a * (moved_slope - of_u.slope @ moved))
    return Guide(u @ share + a * rise, s_guide, a * growth * s_slope, s_slope, of_u, entropy.fit, u_of_s)


@dataclass(frozen=True)
class _EntropyCurve:
    """A polynomial in ln lr through the entropies, as matrices that act on them.

    Attributes
    ----------
    fit : at the points.
    integrals : between them.
    at_nodes, slope_at_nodes : (m, n) at the m nodes of the integrals.
    """

    fit: Linear
    integrals: _Integrals
    at_nodes: FloatArray
    slope_at_nodes: FloatArray

    @classmethod
    def of(cls, x: FloatArray, ds: FloatArray) -> _EntropyCurve:
        degree = min(DEGREE, len(np.unique(x)) - 2)
        fit = polynomial(x, degree, (ds.mean() / ds) ** 2)
        integrals, powers = _Integrals(x), np.arange(degree + 1)
        nodes = integrals.nodes.ravel()[:, None]
        coefficients = np.linalg.pinv(x[:, None] ** powers) @ fit.level
        slopes = powers * nodes ** np.maximum(powers - 1, 0)
        return cls(fit, integrals, nodes**powers @ coefficients, slopes @ coefficients)


class _Integrals:
    """∫ f(x) dx from the first point to each, by Gauss–Legendre between neighbours."""

    def __init__(self, x: FloatArray) -> None:
        self._order = np.argsort(x, kind="stable")
        ends = x[self._order]
        self._half = np.diff(ends)[:, None] / 2
        #: (n - 1, k) points at which f is needed.
        self.nodes = (ends[1:] + ends[:-1])[:, None] / 2 + self._half * _NODES

    def of(self, f: FloatArray) -> FloatArray:
        """(m, n) for the values (m, n - 1, k) of m functions at the nodes."""
        steps = np.sum(f * (_NODE_WEIGHTS * self._half), axis=2)
        out = np.zeros((len(f), len(self._order)))
        out[:, self._order[1:]] = np.cumsum(steps, axis=1)
        return out
