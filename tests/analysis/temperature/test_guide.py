"""Guides: what they follow exactly, and how they answer to a change of the data."""

import numpy as np
import pytest

from analysis.temperature import temperature_curve
from analysis.temperature.guide import heat_capacity_guide, no_guide, power_law_guide
from analysis.temperature.linear import local_polynomial
from analysis.temperature.selection import GuidedFit, Scaled
from analysis.testsystems import QuadraticSGD

from .exact import LR, X, law


class TestGuide:
    @pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.8, 2.0])
    def test_follows_a_power_law_exactly(self, exponent):
        u, s, t = law(exponent)
        guide = power_law_guide(X, u, s, np.ones(11), np.ones(11))
        np.testing.assert_allclose(guide.u, u, atol=1e-5 * np.ptp(u))
        np.testing.assert_allclose(guide.s, s, atol=1e-9)
        np.testing.assert_allclose(guide.u_slope / guide.s_slope, t, rtol=1e-4)

    @pytest.mark.parametrize("capacity", [-20.0, 20.0, 80.0])
    def test_follows_a_constant_heat_capacity_exactly(self, capacity):
        _, s, _ = law(1.0)
        t = np.exp(s / capacity)
        u = capacity * t
        guide = heat_capacity_guide(X, u / np.ptp(u), s / np.ptp(s), np.ones(11), np.ones(11))
        np.testing.assert_allclose(guide.u, u / np.ptp(u), atol=1e-5)
        np.testing.assert_allclose(guide.u_slope / guide.s_slope * np.ptp(u) / np.ptp(s), t, rtol=1e-4)

    def test_heat_capacity_of_an_entropy_that_does_not_change(self):
        guide = heat_capacity_guide(X, np.exp(X), np.zeros(11), np.ones(11), np.ones(11))
        assert np.isfinite(guide.u).all()
        assert np.isfinite(guide.of_u.level).all()

    def test_sgd_up_to_the_edge_of_stability(self):
        """T = lr·c/(2 − lr·h) is no power of the learning rate there: a power-law guide alone is 10 % off."""
        system = QuadraticSGD(np.ones(3), noise=0.25)
        lr = np.geomspace(0.01, 1.0, 9)
        curve = temperature_curve(lr, system.loss(lr), system.entropy(lr), 0.03 * system.loss(lr), np.full(9, 0.05))
        np.testing.assert_allclose(curve.temperature, system.temperature(lr), rtol=0.05)

    @pytest.mark.parametrize("exponent", [0.5, 1.5])
    def test_temperature_of_a_power_law_is_exact_to_the_ends(self, exponent):
        u, s, t = law(exponent)
        curve = temperature_curve(LR, u, s, np.full(11, 1e-9), np.full(11, 1e-6))
        np.testing.assert_allclose(curve.temperature, t, rtol=1e-3)

    @pytest.mark.parametrize("guided", [power_law_guide, heat_capacity_guide, None])
    def test_answers_to_a_change_of_the_data_as_it_says(self, guided):
        """The matrices behind the delta method against changed data, on points that no law fits exactly."""
        rng = np.random.default_rng(1)
        u, s, _ = law(0.8)
        u, s = u + 0.01 * np.ptp(u) * rng.normal(size=11), s + 0.01 * np.ptp(s) * rng.normal(size=11)
        local = local_polynomial(X, np.ones((11, 11)), 1.5, 3)
        errors = np.ones(11)

        def fit(u, s):
            guide = guided(X, u, s, errors, errors) if guided else no_guide(11)
            return GuidedFit.of(Scaled(X, u, s, errors, errors, None, 1.0), guide, local)

        here = fit(u, s)
        by_s = here.guide.u_of_s.slope - local.slope @ here.guide.u_of_s.level
        for change in np.eye(11):
            du, ds = 1e-3 * np.ptp(u) * change, 1e-3 * np.ptp(s) * change
            moved_u, moved_s = (fit(u + sign * du, s) for sign in (1, -1)), (fit(u, s + sign * ds) for sign in (1, -1))
            (a, b), (c, d) = [f.slopes() for f in moved_u], [f.slopes() for f in moved_s]
            small = 0.02 * np.abs(a[0] - b[0]).max() / 2
            np.testing.assert_allclose((a[0] - b[0]) / 2, here.u_fit.slope @ du, atol=small)
            np.testing.assert_allclose((c[1] - d[1]) / 2, here.s_fit.slope @ ds, atol=1e-9)
            np.testing.assert_allclose((c[0] - d[0]) / 2, by_s @ ds, atol=small)
