"""The local fit: exact curves, the shape and the coverage of its interval, invariances."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import norm

from analysis.results import UNIDENTIFIED, ZERO_TEMPERATURE
from analysis.temperature import temperature_curve
from benchmarks.coverage import NOISE, coverage, noisy
from benchmarks.families import families

from .exact import LR, power_family


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


def test_rounding_does_not_choose_the_fit():
    """Six states without errors leave a guided fit exactly one degree of freedom, or one less a last digit."""
    lr, worst = np.geomspace(3e-3, 0.03, 6), []
    for seed in range(40):
        noise = np.random.default_rng(seed)
        loss = 0.04 + lr * (1 + 0.003 * noise.standard_normal(6))
        curve = temperature_curve(lr, loss, np.log(lr) + 0.01 * noise.standard_normal(6))
        worst.append(np.abs(curve.temperature / lr - 1).max())
    # The quadratic without a guide is a third off at the lowest learning rate.
    assert max(worst) < 0.15
