"""The convex fit."""

import numpy as np
import pytest

from analysis.results import UNIDENTIFIED
from analysis.temperature import temperature_curve
from analysis.temperature.convex import convex_fit

from .exact import LR


def test_a_flat_entropy_has_no_convex_slope():
    rng = np.random.default_rng(4)
    curve = temperature_curve(LR, LR, rng.normal(size=11), np.full(11, 1e-4), np.full(11, 1.0), "convex")
    assert set(curve.status) == {UNIDENTIFIED}


def test_the_convex_fit_is_the_constrained_optimum():
    """Against a general-purpose solver with the constraints written out."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(5)
    s = np.sort(rng.uniform(0, 10, 8))
    u = 0.05 * s**2 + 0.3 * rng.normal(size=8)
    du = rng.uniform(0.2, 0.5, 8)
    fit = convex_fit(s, u, du, np.zeros(8))
    rises = {"type": "ineq", "fun": lambda f: np.diff(f)}
    bends = {"type": "ineq", "fun": lambda f: np.diff(np.diff(f) / np.diff(s))}
    best = minimize(lambda f: np.sum(((u - f) / du) ** 2), np.linspace(0, 5, 8), constraints=[rises, bends], tol=1e-12)
    np.testing.assert_allclose(fit.u, best.x, atol=1e-4)
    assert fit.chi_square == pytest.approx(best.fun, rel=1e-5)
