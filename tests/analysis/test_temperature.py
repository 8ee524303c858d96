"""Temperature curves: families with exact T, the paper's formula written out again, coverage, bad input."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from analysis import testsystems as ts
from analysis.free_energy import convexity_test
from analysis.results import EMPTY, OK, UNIDENTIFIED, ZERO_TEMPERATURE
from analysis.temperature import temperature_curve, with_seed_scatter
from analysis.temperature.convex import convex_fit
from benchmarks.coverage import coverage, noisy
from benchmarks.families import families

LR = np.geomspace(1e-3, 1e-1, 11)


def power_family(lr, exponent=0.8, prefactor=2e-3, s_slope=40.0):
    """S linear in ln lr and T = a·lr^b, so U = s_slope·a·lr^b/b in closed form."""
    entropy = -3000.0 + s_slope * np.log(lr)
    temperature = prefactor * lr**exponent
    return 1.0 + s_slope * temperature / exponent, entropy, temperature


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
        """Nominal 95 % over noise that the method is told, and over noise that it has to find out."""
        rng = np.random.default_rng(0)
        loss, entropy, exact = power_family(LR)
        du, ds = 0.002, 1.0
        for told in (True, False):
            hits = []
            for _ in range(150):
                u, s = loss + du * rng.normal(size=11), entropy + ds * rng.normal(size=11)
                errors = (np.full(11, du), np.full(11, ds)) if told else (None, None)
                curve = temperature_curve(LR, u, s, *errors)
                hits.append((curve.lower <= exact) & (exact <= curve.upper))
            # Three standard errors of a coverage from 150 correlated rows.
            assert 0.88 <= np.mean(hits) <= 0.995, told

    @pytest.mark.parametrize("shape", ["equal", "as T"])
    @pytest.mark.parametrize("told", [True, False])
    @pytest.mark.parametrize("name", ["kink", "wave"])
    def test_interval_covers_where_the_noise_is_far_below_the_curvature(self, name, told, shape):
        """benchmarks/coverage.md has the other sizes of noise, other curves and 200 studies each."""
        states = families()[name]
        relative = states.temperature / states.temperature.mean()
        du, ds = 1e-4 * (relative if shape == "as T" else np.ones(11)), np.full(11, 0.03)
        studies = noisy(states, du, ds, told, np.random.default_rng(9))
        assert 0.9 <= coverage(studies, "local-quadratic", 60)[0] <= 0.985

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


def paper_interval(lr, u, s, eps=0.0):
    """The estimate of arXiv 2505.23489, by loops over pairs."""
    x = [math.log(v) for v in lr]

    def smooth(y):
        out = list(y)
        for i in range(1, len(x) - 1):
            k = [max(0.3 - abs(a - x[i]), 0.0) for a in x]
            out[i] = sum(a * b for a, b in zip(k, y, strict=True)) / sum(k)
        return out

    u, s = smooth(u), smooth(s)
    out = []
    for i in range(len(x)):
        if i in (0, len(x) - 1):
            out.append((math.nan, math.nan, math.nan))
            continue
        high = min((u[i] - u[j] - eps) / (s[i] - s[j]) for j in range(i + 1, len(x)))
        low = max(0.0, max((u[i] - u[j] - eps) / (s[i] - s[j]) for j in range(i)))
        low = high if low == 0 else low  # a bound left unset takes the other's value
        out.append((math.sqrt(low * high), low, high))
    return np.array(out).T


class TestInterval:
    @pytest.mark.parametrize("eps", [0.0, 1e-3])
    @pytest.mark.parametrize("n", [5, 11, 40])
    def test_is_the_paper_s_formula(self, n, eps):
        lr = np.geomspace(1e-3, 1e-1, n)
        loss, entropy, exact = power_family(lr)
        t, low, high = paper_interval(lr, loss, entropy, eps)
        curve = temperature_curve(lr, loss, entropy, method="interval", epsilon=eps)
        np.testing.assert_allclose(curve.temperature, t, rtol=1e-9)
        np.testing.assert_allclose(curve.lower, low, rtol=1e-9)
        np.testing.assert_allclose(curve.upper, high, rtol=1e-9)
        assert set(curve.status[1:-1]) == {OK}
        assert set(curve.status[[0, -1]]) == {UNIDENTIFIED}
        if n == 40 and eps == 0:
            # The kernel reaches 2 points to each side; nearer the ends it averages one-sidedly.
            np.testing.assert_allclose(curve.temperature[4:-4], exact[4:-4], rtol=0.02)

    def test_contradicting_bounds_are_named(self):
        # A loss that is concave in the entropy has no temperature at which it is a minimum.
        curve = temperature_curve(LR, np.sqrt(np.arange(1.0, 12)), np.arange(11.0), method="interval")
        assert EMPTY in curve.status

    def test_end_points_get_none(self):
        loss, entropy, _ = power_family(LR)
        curve = temperature_curve(LR, loss, entropy, method="interval")
        assert np.isnan(curve.temperature[[0, -1]]).all()
        assert math.isnan(curve.level)


class TestBadInput:
    def test_fewer_than_three_learning_rates(self):
        with pytest.raises(ValueError, match="2 different learning rates: a temperature needs at least 3"):
            temperature_curve([0.1, 0.1, 0.2], [1, 1, 2], [1, 1, 2])

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_not_finite(self, bad):
        loss, entropy, _ = power_family(LR)
        loss[3] = bad
        with pytest.raises(ValueError, match="finite: leave diverged runs out"):
            temperature_curve(LR, loss, entropy)

    @pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
    def test_learning_rates(self, bad):
        with pytest.raises(ValueError, match="lr must hold finite positive numbers"):
            temperature_curve([bad, 0.1, 0.2, 0.3], [1, 2, 3, 4], [1, 2, 3, 4])

    def test_lengths(self):
        with pytest.raises(ValueError, match="entropy has shape"):
            temperature_curve([1, 2, 3], [1, 2, 3], [1, 2])
        with pytest.raises(ValueError, match="loss_stderr has shape"):
            temperature_curve([1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2])

    def test_negative_errors(self):
        with pytest.raises(ValueError, match="entropy_stderr must hold finite numbers that are not negative"):
            temperature_curve([1, 2, 3], [1, 2, 3], [1, 2, 3], None, [1, -1, 1])

    def test_unknown_method(self):
        with pytest.raises(ValueError, match="method 'magic' is unknown: choose one of local-quadratic"):
            temperature_curve([1, 2, 3], [1, 2, 3], [1, 2, 3], method="magic")

    def test_collapsed_states(self):
        curve = temperature_curve(LR, np.ones(11), np.full(11, -np.inf))
        assert set(curve.status) == {ZERO_TEMPERATURE}
        assert (curve.temperature == 0).all()

    def test_collapsed_states_beside_warm_ones(self):
        """The interpolating end of a study is at zero temperature; the rest is fitted as if it were alone."""
        loss, entropy, _ = power_family(LR)
        loss, entropy = loss - loss.min(), entropy.copy()
        loss[:4], entropy[:4] = 1e-30, -np.inf
        curve = temperature_curve(LR, loss, entropy)
        assert set(curve.status[:4]) == {ZERO_TEMPERATURE}
        assert (curve.temperature[:4] == 0).all()
        alone = temperature_curve(LR[4:], loss[4:], entropy[4:])
        np.testing.assert_allclose(curve.temperature[4:], alone.temperature)
        np.testing.assert_array_equal(curve.status[4:], alone.status)

    def test_a_state_that_is_stuck_above_the_optimum_has_no_temperature(self):
        curve = temperature_curve(LR, LR, np.full(11, -np.inf))
        assert curve.status[0] == ZERO_TEMPERATURE
        assert curve.status[-1] == UNIDENTIFIED
        assert np.isnan(curve.temperature[-1])


@pytest.mark.parametrize("method", ["convex", "power-law"])
class TestConvexAndPowerLaw:
    def test_the_family_without_noise(self, method):
        loss, entropy, exact = power_family(LR)
        curve = temperature_curve(LR, loss, entropy, np.full(11, 1e-6), np.full(11, 1e-3), method)
        # A piecewise linear curve knows its slope to second order in the spacing of ln lr, here 0.46.
        np.testing.assert_allclose(curve.temperature[1:-1], exact[1:-1], rtol=0.1 if method == "convex" else 0.01)
        assert set(curve.status[1:]) == {OK}

    @pytest.mark.parametrize("told", [True, False])
    def test_interval_covers(self, method, told):
        rng = np.random.default_rng(0)
        loss, entropy, exact = power_family(LR)
        du, ds = 0.002, 1.0
        hits = []
        for _ in range(40):
            u, s = loss + du * rng.normal(size=11), entropy + ds * rng.normal(size=11)
            errors = (np.full(11, du), np.full(11, ds)) if told else (None, None)
            curve = temperature_curve(LR, u, s, *errors, method=method)
            hits.append((curve.lower <= exact) & (exact <= curve.upper))
        # Forty correlated rows; the benchmark has two hundred.
        assert 0.86 <= np.mean(hits) <= 1.0

    def test_reproducible_and_in_the_order_given(self, method):
        rng = np.random.default_rng(1)
        loss, entropy, _ = power_family(LR)
        u, s = loss + 0.002 * rng.normal(size=11), entropy + rng.normal(size=11)
        first = temperature_curve(LR, u, s, method=method)
        again = temperature_curve(LR, u, s, method=method)
        np.testing.assert_array_equal(first.lower, again.lower)
        turned = temperature_curve(LR[::-1], u[::-1], s[::-1], method=method)
        np.testing.assert_allclose(turned.temperature, first.temperature[::-1], rtol=1e-6)
        assert first.method == method

    def test_seeds(self, method):
        loss, entropy, exact = power_family(LR)
        rng = np.random.default_rng(2)
        u = np.repeat(loss, 3) + 1e-3 * rng.normal(size=33)
        s = np.repeat(entropy, 3) + 0.1 * rng.normal(size=33)
        curve = temperature_curve(np.repeat(LR, 3), u, s, np.full(33, 1e-3), np.full(33, 0.1), method)
        assert np.median(np.abs(curve.temperature / np.repeat(exact, 3) - 1)) < 0.2

    def test_a_flat_loss_is_not_ok(self, method):
        rng = np.random.default_rng(3)
        loss = 1 + 1e-3 * rng.normal(size=11)
        curve = temperature_curve(LR, loss, 40 * np.log(LR), np.full(11, 1e-3), np.full(11, 0.1), method)
        assert set(curve.status) <= {ZERO_TEMPERATURE, UNIDENTIFIED}

    def test_a_falling_loss_is_not_ok(self, method):
        curve = temperature_curve(LR, 2 - 10 * LR, 40 * np.log(LR), np.full(11, 1e-4), np.full(11, 0.1), method)
        assert OK not in curve.status


@pytest.mark.parametrize("method", ["local-quadratic", "interval", "convex", "power-law"])
class TestDegenerate:
    """Each has an answer with a status, and no warning (they are errors here)."""

    def test_a_loss_that_falls_as_the_entropy_rises(self, method):
        curve = temperature_curve([0.01, 0.02, 0.04, 0.08, 0.16], [5, 4, 3, 2, 1], [1, 2, 3, 4, 5], method=method)
        assert OK not in curve.status
        assert not (curve.temperature > 0).any()

    def test_a_constant_loss(self, method):
        curve = temperature_curve(LR, np.ones(11), 40 * np.log(LR), method=method)
        assert set(curve.status) <= {ZERO_TEMPERATURE, UNIDENTIFIED}
        assert ZERO_TEMPERATURE in curve.status

    def test_nothing_changes(self, method):
        assert set(temperature_curve(LR, np.ones(11), np.ones(11), method=method).status) == {UNIDENTIFIED}

    @pytest.mark.parametrize("level", [0.0, 1.0, 1.5, np.nan])
    def test_level(self, method, level):
        with pytest.raises(ValueError, match="level must lie between 0 and 1"):
            temperature_curve(LR, LR, LR, method=method, level=level)

    def test_epsilon(self, method):
        with pytest.raises(ValueError, match="epsilon must be a finite loss"):
            temperature_curve(LR, LR, LR, method=method, epsilon=np.nan)


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


class TestSeedScatter:
    """Errors that runs know nothing of: each seed may sit in a valley of its own."""

    lr = np.repeat(np.geomspace(1e-3, 1e-1, 8), 3)

    def states(self, rng, between, within=0.01):
        u = 1 + 10 * self.lr + between * rng.standard_normal(24) + within * rng.standard_normal(24)
        s = 50 * np.log(self.lr) + 5 * between * rng.standard_normal(24) + within * rng.standard_normal(24)
        return u, s, np.full(24, within), np.full(24, within)

    def test_recovers_the_variance_between_seeds(self):
        rng = np.random.default_rng(0)
        found = [with_seed_scatter(self.lr, *self.states(rng, 0.1)) for _ in range(300)]
        assert np.mean([f.loss_stderr[0] ** 2 for f in found]) == pytest.approx(0.1**2 + 0.01**2, rel=0.1)
        assert np.mean([f.entropy_stderr[0] ** 2 for f in found]) == pytest.approx(0.5**2 + 0.01**2, rel=0.1)

    def test_adds_little_where_seeds_agree(self):
        rng = np.random.default_rng(1)
        found = [with_seed_scatter(self.lr, *self.states(rng, 0.0), correlation=0.5) for _ in range(50)]
        assert np.mean([f.loss_stderr[0] for f in found]) < 1.2 * 0.01

    @pytest.mark.parametrize("factor", [1.0, 3.0])
    def test_the_scatter_of_hot_states_does_not_swamp_cold_ones(self, factor):
        """Errors that grow with the temperature, as they do: told rightly, or all too small by one factor."""
        rng = np.random.default_rng(4)
        told, none = 0.1 * self.lr, np.full(24, 1e-3)
        found = [
            with_seed_scatter(
                self.lr, factor * told * rng.standard_normal(24), none * rng.standard_normal(24), told, none
            )
            for _ in range(300)
        ]
        ratio = np.median([f.loss_stderr / told for f in found], axis=0)
        np.testing.assert_allclose(ratio, factor, rtol=0.1)
        # The same for all: a variance of its own would be thousands of times that of the coldest.
        assert np.quantile([f.loss_stderr[0] / told[0] for f in found], 0.95) < 2 * factor

    @pytest.mark.parametrize("zero", [slice(0, 3), slice(None)])
    def test_runs_that_say_they_have_no_error(self, zero):
        told = 0.1 * self.lr
        told[zero] = 0.0
        rng = np.random.default_rng(5)
        found = with_seed_scatter(self.lr, 0.1 * rng.standard_normal(24), np.zeros(24), told, np.zeros(24))
        assert found.loss_stderr[0] == pytest.approx(0.1, rel=0.4)
        np.testing.assert_array_equal(found.entropy_stderr, np.zeros(24))

    @pytest.mark.parametrize("kind", ["none", "in proportion", "the same"])
    def test_intervals_cover_with_seeds(self, kind):
        """SGD on a quadratic, three seeds at nine learning rates, with a scatter that no run knows of."""
        system, lr = ts.QuadraticSGD(np.ones(3), 0.25), np.repeat(np.geomspace(0.01, 1, 9), 3)
        told_u = system.direction_temperatures(lr)[:, 0] * np.sqrt(1.5 / 600)
        told_s = np.full(27, np.sqrt(1.5 / 600))
        scatter = {
            "none": (0 * told_u, 0 * told_s), "in proportion": (3 * told_u, 3 * told_s),
            "the same": (np.full(27, np.median(told_u)), 2 * told_s),
        }[kind]  # fmt: skip
        states = system.loss(lr), system.entropy(lr)
        exact, rng, inside = system.temperature(lr), np.random.default_rng(6), []
        for _ in range(40):
            u, s = (
                value + np.hypot(told, more) * rng.standard_normal(27)
                for value, told, more in zip(states, (told_u, told_s), scatter, strict=True)
            )
            errors = with_seed_scatter(lr, u, s, told_u, told_s)
            curve = temperature_curve(
                lr, u, s, errors.loss_stderr, errors.entropy_stderr, correlation=errors.correlation
            )
            inside.append((curve.lower <= exact) & (exact <= curve.upper))
        assert 0.88 <= np.mean(inside) <= 0.99

    def test_finds_how_far_the_scatter_of_loss_and_entropy_go_together(self):
        rng = np.random.default_rng(2)
        shared = rng.standard_normal(24)
        found = with_seed_scatter(
            self.lr, 1 + 0.1 * shared, 2 + 0.3 * shared, np.full(24, 1e-3), np.full(24, 1e-3), 0.0
        )
        assert found.correlation == 0.95  # capped: a correlation of one would make the errors cancel

    def test_one_seed_says_nothing(self):
        lr = np.geomspace(1e-3, 1e-1, 8)
        err = np.full(8, 0.1)
        found = with_seed_scatter(lr, lr, lr, err, err, 0.3)
        np.testing.assert_array_equal(found.loss_stderr, err)
        assert found.correlation == 0.3

    def test_convexity_is_not_rejected_because_seeds_differ(self):
        """Convex states with a scatter of the seeds ten times what their runs know of."""
        rng = np.random.default_rng(3)
        rejected = {"told": 0, "with scatter": 0}
        for _ in range(40):
            s = np.repeat(np.linspace(0, 10, 8), 3) + 0.0
            u = 0.05 * s**2 + 0.1 * rng.standard_normal(24)
            err = np.full(24, 0.01)
            scatter = with_seed_scatter(self.lr, u, s, err, np.full(24, 1e-6))
            rejected["told"] += convexity_test(self.lr, u, s, err, np.full(24, 1e-6)).p_value < 0.05
            rejected["with scatter"] += (
                convexity_test(self.lr, u, s, scatter.loss_stderr, scatter.entropy_stderr).p_value < 0.05
            )
        assert rejected["told"] > 30
        assert rejected["with scatter"] <= 5
