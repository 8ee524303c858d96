"""Fits that are linear in their data."""

import numpy as np
import pytest

from analysis.temperature.linear import Linear, local_polynomial, polynomial

from .exact import X


class TestLinear:
    def test_local_polynomial_is_weighted_least_squares_about_each_point(self):
        rng = np.random.default_rng(0)
        y, weight = rng.normal(size=11), rng.uniform(0.5, 2, size=(11, 11))
        fit = local_polynomial(X, weight, 0.7, 2)
        for i in range(11):
            w = np.sqrt(weight[i] * np.exp(-0.5 * ((X - X[i]) / 0.7) ** 2))
            c = np.polynomial.polynomial.polyfit(X - X[i], y, 2, w=w)
            assert fit.level[i] @ y == pytest.approx(c[0], abs=1e-10)
            assert fit.slope[i] @ y == pytest.approx(c[1], abs=1e-10)

    def test_polynomial(self):
        y = 1 + 2 * X - X**2
        fit = polynomial(X, 2, np.ones(11))
        np.testing.assert_allclose(fit.level @ y, y, atol=1e-12)
        np.testing.assert_allclose(fit.slope @ y, 2 - 2 * X, atol=1e-12)
        assert fit.degrees_of_freedom() == pytest.approx(8)

    def test_then_fits_what_is_left(self):
        y = np.exp(X)
        first, second = polynomial(X, 1, np.ones(11)), local_polynomial(X, np.ones((11, 11)), 1.0, 2)
        both = first.then(second)
        rest = y - first.level @ y
        np.testing.assert_allclose(both.level @ y, first.level @ y + second.level @ rest)
        np.testing.assert_allclose(both.slope @ y, first.slope @ y + second.slope @ rest)
        assert Linear.nothing(11).degrees_of_freedom() == 11
