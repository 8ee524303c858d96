"""The guide of a local fit: dU = T dS with a power law T = a·lr^b."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from analysis._typing import FloatArray
from analysis.temperature.linear import Linear, least_squares, polynomial

#: Exponents b that are tried; the best of them is refined.
EXPONENTS = np.linspace(-3.0, 5.0, 81)
#: Degree of the polynomial in ln lr that guides the entropy.
DEGREE = 3
#: Different learning rates that the guide needs: with fewer it would pass through all the points.
FEWEST = 5
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(6)


@dataclass(frozen=True)
class Guide:
    """Guide curves of U and S at the points and how they answer to a change of the data.

    Attributes
    ----------
    u, s : (n,) U_0 + ∫ a·lr^b dS and S, a polynomial in ln lr.
    u_slope, s_slope : (n,) their derivatives in ln lr; the ratio is a·lr^b.
    of_u : the guide of U as a fit to the losses, linearised in b.
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
    """Weighted least squares: a polynomial to S first, then U_0, a and b to U.

    A temperature that is a power of the learning rate is followed exactly, whatever the entropy does, and the noise
    of the entropy's guide drops out of the ratio of the slopes.

    Parameters
    ----------
    x : (n,) ln lr, centred.
    u, s : (n,)
    du, ds : (n,) positive errors, of which only the ratios within each matter.
    """
    powers = np.arange(DEGREE + 1)
    of_s = polynomial(x, DEGREE, (ds.mean() / ds) ** 2)
    s_slope = of_s.slope @ s
    integrals = _Integrals(x)
    # Derivative of the entropy's guide at the nodes, as a matrix that acts on the entropies.
    at = integrals.nodes.ravel()
    derivative = (powers * at[:, None] ** np.maximum(powers - 1, 0)) @ np.linalg.pinv(x[:, None] ** powers)
    derivative = derivative @ of_s.level
    entropy_slope = (derivative @ s).reshape(integrals.nodes.shape)
    weight = (du.mean() / du) ** 2
    share = weight / weight.sum()
    centred = u - u @ share

    def misfit(b: float | FloatArray) -> FloatArray:
        """Of the best U_0 and a at each b, relative to that of a constant; a is left free to be negative."""
        column = integrals.of(np.atleast_1d(b), entropy_slope)
        column = column - (column @ share)[:, None]
        square, product = column**2 @ share, column @ (centred * share)
        return np.asarray(centred**2 @ share - product**2 / np.where(square > 0, square, np.inf))

    k, step = int(np.argmin(misfit(EXPONENTS))), float(EXPONENTS[1] - EXPONENTS[0])
    bounds = (EXPONENTS[k] - step, EXPONENTS[k] + step)
    b = float(minimize_scalar(lambda b: float(misfit(b)[0]), bounds=bounds, method="bounded").x)
    growth = np.exp(b * x)
    column = integrals.of(np.array([b]), entropy_slope)[0]
    rise = column - column @ share
    a = float(rise @ (centred * share) / max(float(rise**2 @ share), 1e-300))
    # The third column lets b answer to a change of the losses.
    tilt = integrals.of(np.array([b]), integrals.nodes * entropy_slope)[0]
    of_u = least_squares(
        np.column_stack([np.ones_like(x), column, tilt]),
        np.column_stack([np.zeros_like(x), growth * s_slope, x * growth * s_slope]),
        weight,
    )
    # A change of the entropies moves the column of a; what the other parameters can make good of it, they do.
    responses = derivative.T.reshape(len(x), *integrals.nodes.shape)
    moved = np.column_stack([integrals.of(np.array([b]), response)[0] for response in responses])
    u_of_s = Linear(a * (moved - of_u.level @ moved), a * (growth[:, None] * of_s.slope - of_u.slope @ moved))
    level = u @ share + a * rise
    return Guide(level, of_s.level @ s, a * growth * s_slope, s_slope, of_u, of_s, u_of_s)


class _Integrals:
    """∫ e^(b·x)·f(x) dx from the first point to each, by Gauss–Legendre between neighbours."""

    def __init__(self, x: FloatArray) -> None:
        self._order = np.argsort(x, kind="stable")
        ends = x[self._order]
        self._half = np.diff(ends)[:, None] / 2
        #: (n - 1, k) where f is wanted.
        self.nodes = (ends[1:] + ends[:-1])[:, None] / 2 + self._half * _NODES

    def of(self, b: FloatArray, f: FloatArray) -> FloatArray:
        """(m, n) for exponents (m,) and values (n - 1, k) of f at the nodes."""
        steps = np.sum(np.exp(b[:, None, None] * self.nodes) * (f * _NODE_WEIGHTS * self._half), axis=2)
        out = np.zeros((len(b), len(self._order)))
        out[:, self._order[1:]] = np.cumsum(steps, axis=1)
        return out
