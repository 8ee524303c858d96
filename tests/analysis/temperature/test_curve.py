"""What all methods of a temperature curve have in common."""

import math

import numpy as np
import pytest

from analysis.results import NO_INTERVAL, OK, UNIDENTIFIED, ZERO_TEMPERATURE
from analysis.temperature import temperature_curve

from .exact import LR, power_family


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

    def test_interval_covers(self, method):
        rng = np.random.default_rng(0)
        loss, entropy, exact = power_family(LR)
        du, ds = np.full(11, 0.002), np.ones(11)
        hits = []
        for _ in range(40):
            u, s = loss + du * rng.normal(size=11), entropy + ds * rng.normal(size=11)
            curve = temperature_curve(LR, u, s, du, ds, method=method)
            hits.append((curve.lower <= exact) & (exact <= curve.upper))
        # Forty correlated rows; the benchmark has two hundred.
        assert 0.86 <= np.mean(hits) <= 1.0

    def test_reproducible_and_in_the_order_given(self, method):
        rng = np.random.default_rng(1)
        loss, entropy, _ = power_family(LR)
        u, s = loss + 0.002 * rng.normal(size=11), entropy + rng.normal(size=11)
        du, ds = np.full(11, 0.002), np.ones(11)
        first = temperature_curve(LR, u, s, du, ds, method)
        again = temperature_curve(LR, u, s, du, ds, method)
        np.testing.assert_array_equal(first.lower, again.lower)
        turned = temperature_curve(LR[::-1], u[::-1], s[::-1], du, ds, method)
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


@pytest.mark.parametrize("method", ["local-quadratic", "convex", "power-law"])
class TestErrors:
    """Standard errors that are missing, all of them or one."""

    def test_without_any_there_are_temperatures_and_no_interval(self, method):
        loss, entropy, exact = power_family(LR)
        curve = temperature_curve(LR, loss, entropy, method=method)
        np.testing.assert_allclose(curve.temperature[1:-1], exact[1:-1], rtol=0.1 if method == "convex" else 0.02)
        assert set(curve.status) == {NO_INTERVAL}
        for nothing in (curve.lower, curve.upper, curve.stderr):
            assert np.isnan(nothing).all()
        assert curve.covariance is None
        assert math.isnan(curve.level)
        assert curve.notes == ("no interval: the standard errors of the loss and the entropy are not known",)

    def test_those_of_the_loss_alone_make_none_either(self, method):
        loss, entropy, _ = power_family(LR)
        curve = temperature_curve(LR, loss, entropy, np.full(11, 1e-3), np.zeros(11), method)
        assert set(curve.status) == {NO_INTERVAL}
        assert curve.notes == ("no interval: the standard errors of the entropy are not known",)

    @pytest.mark.parametrize("missing", [0.0, np.nan])
    def test_one_that_is_missing_leaves_the_others_their_word(self, method, missing):
        rng = np.random.default_rng(11)
        loss, entropy, exact = power_family(LR)
        du, ds = np.full(11, 1e-4), np.full(11, 0.1)
        u, s = loss + du * rng.normal(size=11), entropy + ds * rng.normal(size=11)
        whole = temperature_curve(LR, u, s, du, ds, method)
        holed = ds.copy()
        holed[4] = missing
        curve = temperature_curve(LR, u, s, du, holed, method)
        # Neighbours with the same error make it good exactly.
        np.testing.assert_allclose(curve.upper, whole.upper)
        np.testing.assert_allclose(curve.temperature, whole.temperature)
        assert whole.notes == ()
        assert curve.notes == (
            "1 of 11 states have no standard error of the entropy: each is given the largest of its neighbours'",
        )
        assert np.median(np.abs(curve.temperature / exact - 1)) < 0.1
