"""The guided local fit: what it follows exactly, how it answers to noise, what cancels, and its interval."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import norm

from analysis.results import UNIDENTIFIED, ZERO_TEMPERATURE
from analysis.temperature import States, temperature_curve
from analysis.temperature.guide import heat_capacity_guide, no_guide, power_law_guide
from analysis.temperature.linear import Linear, local_polynomial, polynomial
from analysis.temperature.noise import Noise
from analysis.temperature.selection import GuidedFit, Scaled
from analysis.testsystems import QuadraticSGD
from benchmarks.coverage import NOISE, coverage, noisy
from benchmarks.families import families

from .families import LR, power_family

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
            curve = temperature_curve(LR, u, s, 0.1 * np.exp(X), np.full(11, 0.1))
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

    def fitted(self, u, s, du, ds, bandwidth=1.5):
        """A guided fit of one bandwidth, whose answers to the data are linear as long as the noise is small."""
        data = Scaled.of(States(LR, u, s, du, ds))
        guide = power_law_guide(data.x, data.u, data.s, data.du, data.ds)
        return GuidedFit.of(data, guide, local_polynomial(data.x, np.ones((11, 11)), bandwidth, 2))

    @pytest.mark.parametrize("correlation", [0.0, 0.9])
    def test_moments_of_the_residuals_find_the_noise(self, correlation):
        """Although the residuals of U answer to the noise of S too, through the guide."""
        rng = np.random.default_rng(5)
        u, s, t = law(0.8)
        du, ds = 1e-4 * t * np.ptp(u), np.full(11, 1e-4 * np.ptp(u))
        found = []
        for _ in range(400):
            e = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size=11).T
            # The told errors are half the true ones: what is found widens them.
            noise = Noise.of(self.fitted(u + du * e[0], s + ds * e[1], du / 2, ds / 2))
            unit = np.ptp(u + du * e[0]), np.ptp(s + ds * e[1])
            found.append((np.mean(noise.u * unit[0] / du), np.mean(noise.s * unit[1] / ds), noise.correlation))
        u_scale, s_scale, shared = np.transpose(found)
        # Root mean squares: it is the variances that are without bias.
        assert np.sqrt(np.mean(u_scale**2)) == pytest.approx(1, abs=0.1)
        assert np.sqrt(np.mean(s_scale**2)) == pytest.approx(1, abs=0.05)
        assert np.median(shared) == pytest.approx(correlation, abs=0.05)

    def test_a_state_much_sharper_than_its_neighbours_does_not_forbid_short_bandwidths(self):
        """A temperature that levels off, with errors in proportion to it."""
        states = families()["plateau"]
        rng = np.random.default_rng(8)
        du, ds = 1e-4 * states.temperature / states.temperature.mean(), np.full(11, 0.03)
        hits = []
        for _ in range(30):
            u, s = states.loss + du * rng.normal(size=11), states.entropy + ds * rng.normal(size=11)
            curve = temperature_curve(LR, u, s, du, ds)
            hits.append((curve.lower <= states.temperature) & (states.temperature <= curve.upper))
        # Where the stiff fits are off, one interval in ten held the temperature.
        assert np.mean(hits, axis=0)[5:8].min() > 0.6

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
        # Three points of a wider range would have the parabola through them fall at its end.
        lr = np.geomspace(0.03, 0.1, n)
        curve = temperature_curve(lr, lr, np.log(lr), np.full(n, 1e-4), np.full(n, 1e-3))
        assert np.isfinite(curve.temperature).all()
        assert (curve.lower <= curve.temperature).all()
        assert (curve.temperature <= curve.upper).all()

    def test_scaled_states(self):
        data = Scaled.of(States.of(LR, np.full(11, 2.0), np.arange(11.0)))
        assert data.u.tolist() == [0.0] * 11
        assert np.ptp(data.s) == pytest.approx(1)
        assert data.unit == pytest.approx(1 / 10)
        assert [one.tolist() for one in data.inner_states()] == [[i] for i in range(1, 10)]


class TestLocalQuadratic:
    def test_quadratics_are_exact(self):
        x = np.log(LR)
        loss, entropy = 1 + 0.3 * x + 0.02 * x**2, 5 + 7 * x + 0.4 * x**2
        curve = temperature_curve(LR, loss, entropy)
        np.testing.assert_allclose(curve.temperature, (0.3 + 0.04 * x) / (7 + 0.8 * x), rtol=1e-8)

    def test_power_family(self):
        loss, entropy, exact = power_family(LR)
        curve = temperature_curve(LR, loss, entropy, np.full(11, 1e-6), np.full(11, 1e-3))
        np.testing.assert_allclose(curve.temperature[1:-1], exact[1:-1], rtol=0.05)

    def test_interval_covers(self):
        """Nominal 95 %."""
        rng = np.random.default_rng(0)
        loss, entropy, exact = power_family(LR)
        du, ds = np.full(11, 0.002), np.ones(11)
        hits = []
        for _ in range(150):
            curve = temperature_curve(LR, loss + du * rng.normal(size=11), entropy + ds * rng.normal(size=11), du, ds)
            hits.append((curve.lower <= exact) & (exact <= curve.upper))
        # Three standard errors of a coverage from 150 correlated rows.
        assert 0.88 <= np.mean(hits) <= 0.995

    @pytest.mark.parametrize("shape", ["equal", "as T"])
    @pytest.mark.parametrize("name", ["kink", "wave"])
    def test_interval_covers_where_the_noise_is_far_below_the_curvature(self, name, shape):
        """benchmarks/coverage.md has the other sizes of noise, other curves and 200 studies each."""
        states = families()[name]
        relative = states.temperature / states.temperature.mean()
        du, ds = 1e-4 * (relative if shape == "as T" else np.ones(11)), np.full(11, 0.03)
        row = coverage(noisy(states, du, ds, np.random.default_rng(9)), "local-quadratic", 60)
        assert 0.9 <= row[0] <= 0.985

    @pytest.mark.parametrize("noise", ["low", "middle", "high"])
    @pytest.mark.parametrize("name", ["power law", "plateau", "saturating entropy"])
    def test_the_temperature_stands_in_the_middle_of_its_interval(self, name, noise):
        du, ds = (np.full(11, size) for size in NOISE[noise])
        states, rng = families()[name], np.random.default_rng(10)
        for _ in range(10):
            u, s = states.loss + du * rng.normal(size=11), states.entropy + ds * rng.normal(size=11)
            curve = temperature_curve(LR, u, s, du, ds)
            rises, known = curve.lower > 0, np.isfinite(curve.temperature)
            np.testing.assert_allclose(
                (curve.temperature - curve.lower)[rises], (curve.upper - curve.temperature)[rises], rtol=1e-9
            )
            assert (curve.temperature[rises] > 0).all()
            # The others are limits, or fall.
            assert (curve.lower[known & ~rises] == 0).all()
            assert (curve.temperature[known] >= 0).all()
            assert (curve.temperature[known] < curve.upper[known]).all()
            assert set(curve.status[known & ~rises]) <= {ZERO_TEMPERATURE, UNIDENTIFIED}
            assert set(curve.status[~known]) <= {UNIDENTIFIED}

    def test_the_interval_and_the_covariance_say_the_same(self):
        loss, entropy, _ = power_family(LR)
        curve = temperature_curve(LR, loss, entropy, np.full(11, 1e-5), np.full(11, 0.1))
        np.testing.assert_allclose(np.sqrt(np.diag(curve.covariance)), curve.stderr)
        np.testing.assert_allclose(curve.upper - curve.lower, 2 * norm.isf(0.025) * curve.stderr)
        assert np.linalg.eigvalsh(curve.covariance).min() > -1e-12 * np.trace(curve.covariance)

    def test_flat_loss_is_zero_temperature(self):
        rng = np.random.default_rng(1)
        loss = 1 + 1e-3 * rng.normal(size=11)
        curve = temperature_curve(LR, loss, 40 * np.log(LR), np.full(11, 1e-3), np.full(11, 0.1))
        assert (curve.status == ZERO_TEMPERATURE).mean() > 0.7
        assert (curve.lower <= 0).mean() > 0.7

    def test_flat_entropy_is_unidentified(self):
        rng = np.random.default_rng(2)
        curve = temperature_curve(LR, 1 + LR, rng.normal(size=11), np.full(11, 1e-4), np.full(11, 1.0))
        assert (curve.status == UNIDENTIFIED).mean() > 0.7
        flat = temperature_curve(LR, 1 + LR, np.ones(11), np.full(11, 1e-4), np.full(11, 1.0))
        assert set(flat.status) == {UNIDENTIFIED}
        assert np.isnan(flat.temperature).all()

    def test_falling_loss_is_unidentified(self):
        curve = temperature_curve(LR, 2 - 10 * LR, 40 * np.log(LR), np.full(11, 1e-4), np.full(11, 0.1))
        assert curve.status[-1] == UNIDENTIFIED
        assert np.isnan(curve.temperature[-1])
        assert np.isnan(curve.stderr[-1])

    def test_seeds_repeat_a_learning_rate(self):
        loss, entropy, exact = power_family(LR)
        rng = np.random.default_rng(3)
        lr = np.repeat(LR, 3)
        u = np.repeat(loss, 3) + 1e-3 * rng.normal(size=33)
        s = np.repeat(entropy, 3) + 0.1 * rng.normal(size=33)
        curve = temperature_curve(lr, u, s, np.full(33, 1e-3), np.full(33, 0.1))
        np.testing.assert_allclose(curve.temperature[:3], curve.temperature[0])
        assert (np.abs(curve.temperature - np.repeat(exact, 3)) < 4 * curve.stderr).all()

    @given(
        order=st.permutations(range(11)),
        u_scale=st.floats(1e-3, 1e3),
        u_shift=st.floats(-10, 10),
        s_shift=st.floats(-1e6, 1e6),
    )
    @settings(max_examples=25, deadline=None)
    def test_invariances(self, order, u_scale, u_shift, s_shift):
        """T does not know the order of the runs, nor the zero of U or S, and scales with U."""
        rng = np.random.default_rng(4)
        loss, entropy, _ = power_family(LR)
        u, s = loss + 0.002 * rng.normal(size=11), entropy + rng.normal(size=11)
        plain = temperature_curve(LR, u, s, np.full(11, 0.002), np.ones(11))
        order = list(order)
        moved = temperature_curve(
            LR[order], u_scale * (u + u_shift)[order], (s + s_shift)[order], np.full(11, 0.002 * u_scale), np.ones(11)
        )
        np.testing.assert_allclose(moved.temperature, u_scale * plain.temperature[order], rtol=1e-5)
        np.testing.assert_allclose(moved.lower, u_scale * plain.lower[order], rtol=1e-4, atol=1e-9 * u_scale)
