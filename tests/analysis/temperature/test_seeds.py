"""Errors that runs know nothing of."""

import numpy as np
import pytest

from analysis import testsystems as ts
from analysis.free_energy import convexity_test
from analysis.temperature import States, temperature_curve, with_seed_scatter


class TestSeedScatter:
    """Errors that runs know nothing of: each seed may sit in a valley of its own."""

    lr = np.repeat(np.geomspace(1e-3, 1e-1, 8), 3)

    def states(self, rng, between, within=0.01):
        u = 1 + 10 * self.lr + between * rng.standard_normal(24) + within * rng.standard_normal(24)
        s = 50 * np.log(self.lr) + 5 * between * rng.standard_normal(24) + within * rng.standard_normal(24)
        return u, s, np.full(24, within), np.full(24, within)

    def test_recovers_the_variance_between_seeds(self):
        rng = np.random.default_rng(0)
        found = [with_seed_scatter(States.of(self.lr, *self.states(rng, 0.1))) for _ in range(300)]
        assert np.mean([f.loss_stderr[0] ** 2 for f in found]) == pytest.approx(0.1**2 + 0.01**2, rel=0.1)
        assert np.mean([f.entropy_stderr[0] ** 2 for f in found]) == pytest.approx(0.5**2 + 0.01**2, rel=0.1)

    def test_adds_little_where_seeds_agree(self):
        rng = np.random.default_rng(1)
        found = [with_seed_scatter(States.of(self.lr, *self.states(rng, 0.0), correlation=0.5)) for _ in range(50)]
        assert np.mean([f.loss_stderr[0] for f in found]) < 1.2 * 0.01

    @pytest.mark.parametrize("factor", [1.0, 3.0])
    def test_the_scatter_of_hot_states_does_not_swamp_cold_ones(self, factor):
        """Errors that grow with the temperature, as they do: told rightly, or all too small by one factor."""
        rng = np.random.default_rng(4)
        told, none = 0.1 * self.lr, np.full(24, 1e-3)
        found = [
            with_seed_scatter(
                States.of(self.lr, factor * told * rng.standard_normal(24), none * rng.standard_normal(24), told, none)
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
        found = with_seed_scatter(States.of(self.lr, 0.1 * rng.standard_normal(24), np.zeros(24), told, np.zeros(24)))
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
        loss_and_entropy = system.loss(lr), system.entropy(lr)
        exact, rng, inside = system.temperature(lr), np.random.default_rng(6), []
        for _ in range(40):
            u, s = (
                value + np.hypot(told, more) * rng.standard_normal(27)
                for value, told, more in zip(loss_and_entropy, (told_u, told_s), scatter, strict=True)
            )
            states = with_seed_scatter(States.of(lr, u, s, told_u, told_s))
            curve = temperature_curve(*states.numbers, correlation=states.correlation)
            inside.append((curve.lower <= exact) & (exact <= curve.upper))
        assert 0.88 <= np.mean(inside) <= 0.99

    def test_finds_how_far_the_scatter_of_loss_and_entropy_go_together(self):
        rng = np.random.default_rng(2)
        shared = rng.standard_normal(24)
        found = with_seed_scatter(
            States.of(self.lr, 1 + 0.1 * shared, 2 + 0.3 * shared, np.full(24, 1e-3), np.full(24, 1e-3), 0.0)
        )
        assert found.correlation == 0.95  # capped: a correlation of one would make the errors cancel

    def test_one_seed_says_nothing(self):
        lr = np.geomspace(1e-3, 1e-1, 8)
        err = np.full(8, 0.1)
        found = with_seed_scatter(States.of(lr, lr, lr, err, err, 0.3))
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
            scatter = with_seed_scatter(States.of(self.lr, u, s, err, np.full(24, 1e-6)))
            rejected["told"] += convexity_test(self.lr, u, s, err, np.full(24, 1e-6)).p_value < 0.05
            rejected["with scatter"] += (
                convexity_test(self.lr, u, s, scatter.loss_stderr, scatter.entropy_stderr).p_value < 0.05
            )
        assert rejected["told"] > 30
        assert rejected["with scatter"] <= 5

    def test_runs_that_know_no_errors_get_them_from_their_seeds(self):
        rng = np.random.default_rng(7)
        u, s, _, _ = self.states(rng, 0.1)
        found = with_seed_scatter(States.of(self.lr, u, s))
        assert found.loss_stderr[0] == pytest.approx(0.1, rel=0.4)
        assert found.entropy_stderr[0] == pytest.approx(0.5, rel=0.4)
