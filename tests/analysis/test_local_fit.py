"""The guided local fit: what it follows exactly, how it answers to noise, what cancels."""

import numpy as np
import pytest

from analysis.temperature import temperature_curve
from analysis.temperature._points import Points
from analysis.temperature.guide import no_guide, power_law_guide
from analysis.temperature.linear import Linear, local_polynomial, polynomial
from analysis.temperature.selection import GuidedFit, Scaled

LR = np.geomspace(1e-3, 1e-1, 11)
X = np.log(LR) - np.log(LR).mean()


def law(exponent):
    """S a cubic in ln lr and T = lr^b about the middle; U = ∫ T dS by a fine Simpson rule."""
    fine = np.linspace(X[0], X[-1], 20001)
    slope = np.polynomial.Polynomial([40.0, -5.0, 0.8])
    steps = np.exp(exponent * fine) * slope(fine)
    from scipy.integrate import cumulative_simpson

    u = np.interp(X, fine, cumulative_simpson(steps, x=fine, initial=0))
    return u, slope.integ()(X), np.exp(exponent * X)


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


class TestGuide:
    @pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.8, 2.0])
    def test_follows_a_power_law_exactly(self, exponent):
        u, s, t = law(exponent)
        guide = power_law_guide(X, u, s, np.ones(11), np.ones(11))
        np.testing.assert_allclose(guide.u, u, atol=1e-5 * np.ptp(u))
        np.testing.assert_allclose(guide.s, s, atol=1e-9)
        np.testing.assert_allclose(guide.u_slope / guide.s_slope, t, rtol=1e-4)

    @pytest.mark.parametrize("exponent", [0.5, 1.5])
    def test_temperature_of_a_power_law_is_exact_to_the_ends(self, exponent):
        u, s, t = law(exponent)
        curve = temperature_curve(LR, u, s, np.full(11, 1e-9), np.full(11, 1e-6))
        np.testing.assert_allclose(curve.temperature, t, rtol=1e-3)

    @pytest.mark.parametrize("guided", [True, False])
    def test_answers_to_a_change_of_the_data_as_it_says(self, guided):
        """The matrices behind the delta method against changed data, on points that no law fits exactly."""
        rng = np.random.default_rng(1)
        u, s, _ = law(0.8)
        u, s = u + 0.01 * np.ptp(u) * rng.normal(size=11), s + 0.01 * np.ptp(s) * rng.normal(size=11)
        local = local_polynomial(X, np.ones((11, 11)), 1.5, 3)
        errors = np.ones(11)

        def fit(u, s):
            guide = power_law_guide(X, u, s, errors, errors) if guided else no_guide(11)
            return GuidedFit.of(Scaled(X, u, s, errors, errors, False, False, None, 1.0), guide, local)

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


class TestNoise:
    def errors(self, shared, reps=60):
        """Median |T̂/T − 1| where every state is measured at a temperature that is 1 % off in U and S alike."""
        rng = np.random.default_rng(2)
        found = []
        for _ in range(reps):
            off = 0.01 * rng.normal(size=(2, 11))
            if shared:
                off[1] = off[0]
            u, s = 10 * np.exp(X + off[0]), 10 * (X + off[1])
            curve = temperature_curve(LR, u, s)
            found.append(np.abs(curve.temperature / np.exp(X) - 1))
        return float(np.median(found))

    def test_noise_that_u_and_s_share_drops_out(self):
        assert self.errors(shared=True) < 0.6 * self.errors(shared=False)

    def test_the_interval_knows_that_it_does(self):
        rng = np.random.default_rng(3)
        widths, hits = {}, []
        for shared in (True, False):
            width = []
            for _ in range(60):
                off = 0.01 * rng.normal(size=(2, 11))
                off[1] = off[0] if shared else off[1]
                u, s = 10 * np.exp(X + off[0]), 10 * (X + off[1])
                curve = temperature_curve(LR, u, s, 0.1 * np.exp(X), np.full(11, 0.1))
                width.append(np.median(curve.upper - curve.lower))
                if shared:
                    hits.append(np.mean((curve.lower <= np.exp(X)) & (np.exp(X) <= curve.upper)))
            widths[shared] = np.median(width)
        assert widths[True] < 0.8 * widths[False]
        assert np.mean(hits) > 0.9

    def test_a_correlation_that_is_told_counts(self):
        u, s, _ = law(1.0)
        errors = 0.01 * np.ptp(u) * np.exp(X) / np.exp(X[-1]), np.full(11, 0.01 * np.ptp(s))
        widths = [
            np.median(np.subtract(curve.upper, curve.lower))
            for curve in (temperature_curve(LR, u, s, *errors, correlation=c) for c in (-1.0, 0.0, 0.9, 1.0))
        ]
        assert widths == sorted(widths, reverse=True)
        assert widths[-1] < 0.85 * widths[1]
        with pytest.raises(ValueError, match="correlation must lie between -1 and 1, got 2"):
            temperature_curve(LR, u, s, correlation=2)

    @pytest.mark.parametrize("n", [3, 4, 5, 6, 7])
    def test_few_learning_rates_are_served(self, n):
        lr = np.geomspace(0.01, 0.1, n)
        curve = temperature_curve(lr, lr, np.log(lr), np.full(n, 1e-4), np.full(n, 1e-3))
        assert np.isfinite(curve.temperature).all()
        assert (curve.lower <= curve.temperature).all()
        assert (curve.temperature <= curve.upper).all()

    def test_scaled_states(self):
        points = Points(np.log(LR), np.full(11, 2.0), np.arange(11.0), None, None)
        data = Scaled.of(points)
        assert data.u.tolist() == [0.0] * 11
        assert np.ptp(data.s) == pytest.approx(1)
        assert data.unit == pytest.approx(1 / 10)
        assert [one.tolist() for one in data.inner_states()] == [[i] for i in range(1, 10)]
