"""Free-energy curves on a family whose minimum is known."""

import numpy as np
import pytest

from analysis.free_energy import convexity_test, free_energy_curves, leave_one_out


def test_minimum_is_at_the_curve_s_own_learning_rate():
    lr = np.geomspace(1e-3, 1e-1, 15)
    temperature = 2e-3 * lr**0.8
    entropy = 40 * np.log(lr)
    loss = 40 * temperature / 0.8
    curves = free_energy_curves(loss, entropy, temperature)
    assert curves.argmin(axis=1).tolist() == list(range(15))
    assert curves[3, 7] == pytest.approx(loss[7] - temperature[3] * entropy[7])


def test_unknown_temperature():
    curves = free_energy_curves([1, 2], [3, 4], [np.nan, 1.0])
    assert np.isnan(curves[0]).all()
    assert curves[1].tolist() == [-2.0, -2.0]


def test_lengths():
    with pytest.raises(ValueError, match="make them equal"):
        free_energy_curves([1, 2], [1, 2], [1])


LR = np.geomspace(1e-3, 1e-1, 11)
ENTROPY = 40 * np.log(LR)
#: T = 2e-3·lr^0.8, so that U = ∫ T dS is convex in S.
LOSS = 1 + 40 * 2e-3 * LR**0.8 / 0.8
DU, DS = np.full(11, 1e-3), np.full(11, 0.3)


class TestConvexity:
    def p_values(self, loss, count=40, seed=0):
        rng = np.random.default_rng(seed)
        return np.array([
            convexity_test(LR, loss + DU * rng.normal(size=11), ENTROPY + DS * rng.normal(size=11), DU, DS).p_value
            for _ in range(count)
        ])  # fmt: skip

    def test_size(self):
        """A straight line is where a test of convexity errs most; 5 % of 40 is 2, and 6 is three sigma above."""
        line = 1 + 1e-2 * (ENTROPY - ENTROPY[0])
        assert np.sum(self.p_values(line) <= 0.05) <= 6
        assert np.sum(self.p_values(LOSS) <= 0.05) <= 6

    # Twenty and ten standard errors of a loss.
    @pytest.mark.parametrize("height", [0.02, 0.01])
    def test_power_on_a_bump_of_two_steps(self, height):
        bump = LOSS.copy()
        bump[5:7] += height
        assert np.mean(self.p_values(bump) <= 0.05) > 0.9

    def test_constant_losses_are_convex(self):
        assert convexity_test(LR, np.ones(11), ENTROPY, DU, DS).p_value == 1.0

    def test_a_falling_loss_is_rejected(self):
        assert convexity_test(LR, 2 - LOSS, ENTROPY, DU, DS).p_value < 0.01

    def test_what_it_returns(self):
        found = convexity_test(LR, LOSS, ENTROPY, DU, DS)
        assert found.p_value > 0.5
        assert found.chi_square < 1
        np.testing.assert_allclose(found.fitted, LOSS, atol=1e-3)
        again = convexity_test(LR[::-1], LOSS[::-1], ENTROPY[::-1], DU, DS)
        assert again.chi_square == pytest.approx(found.chi_square, rel=1e-6, abs=1e-9)

    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            ((LR[:3], LOSS[:3], ENTROPY[:3]), "3 different learning rates: convexity needs at least 4"),
            ((LR, LOSS, ENTROPY[:5]), "entropy has shape"),
            ((LR, LOSS * np.nan, ENTROPY), "must be finite"),
            ((LR, LOSS, np.full(11, -np.inf)), "leave collapsed runs out"),
            ((LR, LOSS, ENTROPY, DU[:3]), "loss_stderr has shape"),
            ((LR, LOSS, ENTROPY), "a test of convexity needs standard errors: give loss_stderr and entropy_stderr"),
        ],
    )
    def test_bad_input(self, arguments, match):
        with pytest.raises(ValueError, match=match):
            convexity_test(*arguments)


class TestLeaveOneOut:
    def test_a_minimised_free_energy(self):
        found = leave_one_out(LR, LOSS, ENTROPY, DU / 100, DS / 100)
        assert len(found.lr) == 9
        assert np.abs(found.steps).max() <= 1
        # Interpolated over two steps of a law, 0.92 in ln lr, a temperature is off by some per cent.
        np.testing.assert_allclose(found.temperature[2:-2], 2e-3 * found.lr[2:-2] ** 0.8, rtol=0.15)

    def test_a_bump_is_not_a_minimum(self):
        bump = LOSS.copy()
        bump[5] += 0.02
        found = leave_one_out(LR, bump, ENTROPY, DU, DS)
        assert found.excess[4] > 5 * found.excess_stderr[4] > 0
        assert found.steps[4] != 0

    def test_bad_input(self):
        with pytest.raises(ValueError, match="4 different learning rates: leaving one out needs at least 5"):
            leave_one_out(LR[:4], LOSS[:4], ENTROPY[:4])
        with pytest.raises(ValueError, match="leave collapsed runs out"):
            leave_one_out(LR, LOSS, np.full(11, -np.inf))
        with pytest.raises(ValueError, match="entropy does not change"):
            leave_one_out(LR, LOSS, np.ones(11), DU, DS)
        with pytest.raises(ValueError, match="leaving one out needs standard errors"):
            leave_one_out(LR, LOSS, ENTROPY)

    def test_states_that_no_rounding_tells_apart(self):
        assert (leave_one_out(LR, np.ones(11), ENTROPY, DU, DS).steps == 0).all()
