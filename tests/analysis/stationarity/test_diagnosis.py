"""The verdict on the snapshots of a run: exact systems, negative controls, rates of false alarms, bad input."""

from collections import Counter

import numpy as np
import pytest

from analysis import testsystems as ts
from analysis.results import (
    AUTOCORRELATED,
    CONSTANT,
    DIVERGED,
    DUPLICATES,
    NOT_STATIONARY,
    OK,
    TOO_FEW,
    UNIDENTIFIED,
)
from analysis.stationarity import diagnose
from analysis.trajectory import Trajectory

QUADRATIC = ts.QuadraticSGD(np.geomspace(0.2, 1.0, 100))


def statuses(make, seeds):
    return Counter(diagnose(make(np.random.default_rng(seed))).status for seed in range(seeds))


class TestIndependentData:
    @pytest.mark.parametrize("n", [100, 500])
    @pytest.mark.parametrize("d", [1, 3, 50, 400])
    def test_at_most_five_per_cent_false_flags(self, n, d):
        seeds = 60
        found = statuses(lambda rng: rng.normal(size=(n, d)), seeds)
        assert seeds - found[OK] <= 0.05 * seeds, found

    def test_shapes_other_than_gaussian(self):
        well = ts.DoubleWell()
        assert statuses(lambda rng: well.sample(0.2, 500, rng), 20)[OK] >= 19
        product = ts.VonMisesProduct(np.geomspace(0.1, 10, 20))
        assert statuses(lambda rng: product.sample(1.0, 500, rng), 20)[OK] >= 19

    @pytest.mark.parametrize("d", [2, 10, 100])
    @pytest.mark.parametrize(
        "draw",
        [
            lambda rng, n, d: rng.exponential(size=(n, d)),
            lambda rng, n, d: rng.standard_t(3, size=(n, d)),
            # One scale for all weights of a snapshot: what noise that is multiplied by a random factor gives.
            lambda rng, n, d: rng.normal(size=(n, d)) / np.sqrt(rng.chisquare(3, size=(n, 1)) / 3),
            lambda rng, n, d: rng.normal(size=(n, d)) * np.where(rng.random((n, 1)) < 0.05, 3, 1),
        ],
    )
    def test_heavy_tails(self, draw, d):
        """Gradient noise has them; the F-test alone called up to 90 % of such samples drifting."""
        found = statuses(lambda rng: draw(rng, 200, d), 40)
        assert found[NOT_STATIONARY] + found[AUTOCORRELATED] <= 4

    def test_minibatch_regression(self):
        found = statuses(lambda rng: ts.RegressionSGD(np.ones(5), 1.0, 2).sample(0.4, 300, rng), 40)
        assert found[NOT_STATIONARY] + found[AUTOCORRELATED] <= 4

    def test_what_it_reports(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(1000, 10))
        found = diagnose(x, loss=(x**2).sum(axis=1))
        assert found.status == OK
        assert found.remedy == found.reason == ""
        assert found.burn_in == 0
        assert 1 <= found.tau < 1.5
        assert found.n_eff == pytest.approx(1000 / found.tau)
        assert found.evidence.edge_lag_fraction == pytest.approx(0.02, abs=0.005)
        assert abs(found.evidence.msd_slope) < 0.1
        assert found.evidence.split_rhat < 1.02


class TestConsecutiveIterates:
    def test_flagged_for_every_seed(self):
        for lr in (0.02, 0.1):
            found = statuses(lambda rng, lr=lr: QUADRATIC.simulate([lr], 500, rng)[0], 20)
            assert found[OK] == 0
            assert set(found) <= {AUTOCORRELATED, NOT_STATIONARY}

    def test_spaced_by_three_correlation_times_they_are_fine(self):
        lr = 0.1
        spacing = int(np.ceil(3 * QUADRATIC.tau(lr).max()))
        found = statuses(lambda rng: QUADRATIC.simulate([lr], 150, rng, spacing=spacing)[0], 5)
        assert found[OK] == 5, found


class TestNegativeControls:
    @pytest.mark.parametrize("phi", [0.7, 0.9, 0.97])
    @pytest.mark.parametrize("d", [1, 10, 200])
    def test_autoregression(self, d, phi):
        process = ts.AutoregressiveProcess(d, phi)
        assert statuses(lambda rng: process.simulate(1000, rng), 4) == {AUTOCORRELATED: 4}

    @pytest.mark.slow
    def test_the_correlation_time_is_the_exact_one(self):
        process = ts.AutoregressiveProcess(50, 0.9)
        found = [diagnose(process.simulate(2000, np.random.default_rng(s))).tau for s in range(6)]
        # The largest of four noisy estimates errs to the safe side by 10 to 25 %.
        assert 0.9 * process.tau < np.mean(found) < 1.4 * process.tau

    @pytest.mark.parametrize("phi", [0.0, 0.9])
    @pytest.mark.parametrize(("d", "floor"), [(400, 1e-3), (2000, 1e-2), (1000, 0.0)])
    def test_frozen_floor(self, d, floor, phi):
        system = ts.FrozenFloor(d, floor=floor, phi=phi)
        found = diagnose(system.simulate(1.0, 600, np.random.default_rng(1)))
        assert found.status == UNIDENTIFIED
        assert "10" in found.reason

    def test_a_floor_that_the_data_resolve_is_identified(self):
        assert diagnose(ts.FrozenFloor(40).simulate(1.0, 1000, np.random.default_rng(2))).status == OK

    @pytest.mark.parametrize("d", [1, 10, 200])
    def test_drift(self, d):
        assert statuses(lambda rng: ts.DriftingWalk(d, 3.0).simulate(600, rng), 4) == {NOT_STATIONARY: 4}

    @pytest.mark.parametrize(
        ("d", "reach", "n"), [(1, 3, 400), (2, 1.5, 400), (5, 2, 200), (30, 1, 400), (300, 0.3, 400)]
    )
    def test_half_of_a_drift_is_no_burn_in(self, d, reach, n):
        """Each half of a line looks more stationary than the whole, and may be too short to show its own slope."""
        found = statuses(lambda rng: rng.normal(size=(n, d)) + reach * np.linspace(0, 1, n)[:, None], 20)
        assert found[NOT_STATIONARY] >= 19

    def test_one_drifting_direction_among_many(self):
        def make(rng):
            x = rng.normal(size=(400, 100))
            x[:, 7] += np.linspace(0, 3, 400)
            return x

        assert statuses(make, 10) == {NOT_STATIONARY: 10}

    def test_a_run_that_still_relaxes(self):
        """Steep drift leaves few independent snapshots, which must not excuse it."""
        h = np.geomspace(0.01, 1, 50)
        rng = np.random.default_rng(0)
        x, path = np.full(50, 5.0), []
        for _ in range(3000):
            x = x - 0.02 * (h * x + rng.normal(size=50))
            path.append(x)
        x = np.array(path[::10])
        assert diagnose(x).status == NOT_STATIONARY
        assert diagnose(x, 0.5 * (h * x**2).sum(axis=1)).status == NOT_STATIONARY

    @pytest.mark.parametrize(("d", "active", "n"), [(1000, 10, 15), (1000, 150, 200), (400, 60, 100), (100, 60, 110)])
    def test_a_floor_under_most_of_the_spectrum(self, d, active, n):
        system = ts.FrozenFloor(d, active=active)
        assert statuses(lambda rng: system.simulate(1.0, n, rng), 5) == {UNIDENTIFIED: 5}

    @pytest.mark.parametrize("n", [90, 100, 101, 110])
    def test_as_many_snapshots_as_weights_have_no_floor(self, n):
        assert statuses(lambda rng: rng.normal(size=(n, 100)), 20)[UNIDENTIFIED] == 0

    def test_diffusion_and_decay(self):
        rng = np.random.default_rng(3)
        assert diagnose(rng.normal(size=(600, 100)).cumsum(axis=0)).status == NOT_STATIONARY
        assert diagnose(rng.normal(size=10) * np.exp(-np.arange(600) / 60)[:, None]).status == NOT_STATIONARY

    def test_a_loss_that_falls_under_weights_that_do_not_show_it(self):
        rng = np.random.default_rng(4)
        x = rng.normal(size=(600, 5))
        found = diagnose(x, loss=1 + rng.normal(size=600) - np.linspace(0, 2, 600))
        assert found.status == NOT_STATIONARY
        assert "loss" in found.reason
        assert diagnose(x).status == OK


def test_a_transient_is_burnt_in_and_the_rest_is_fine():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1000, 10)) + 8 * np.exp(-np.arange(1000) / 30)[:, None]
    found = diagnose(x)
    assert found.status == OK
    assert 60 <= found.burn_in <= 300
    assert found.n_eff == pytest.approx((1000 - found.burn_in) / found.tau)


def test_long_series_and_many_weights_are_sampled():
    rng = np.random.default_rng(6)
    process = ts.AutoregressiveProcess(30, 0.9)
    long = diagnose(process.simulate(6000, rng))
    assert long.status == AUTOCORRELATED
    assert long.tau == pytest.approx(19, rel=0.3)
    wide = diagnose(rng.normal(size=(2100, 2200)).astype(np.float32))
    assert wide.status == OK


def test_a_trajectory_brings_its_loss_and_its_dimension():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(200, 50))
    loss = 1 + rng.normal(size=200) - np.linspace(0, 4, 200)
    trajectory = Trajectory(np.arange(200), x, loss, n_weights=5000)
    found = diagnose(trajectory)
    assert found.status == NOT_STATIONARY
    assert found.evidence.dim == 5000
    assert diagnose(trajectory, loss=np.full(200, np.nan)).status == OK


class TestBadInput:
    def test_constant(self):
        found = diagnose(np.ones((50, 3)))
        assert found.status == CONSTANT
        assert found.remedy

    def test_duplicates(self):
        x = np.random.default_rng(8).normal(size=(100, 3))
        x[50] = x[7]
        found = diagnose(x)
        assert found.status == DUPLICATES
        assert found.reason == "1 of the snapshots repeat an earlier one"

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_not_finite(self, bad):
        x = np.ones((50, 3))
        x[4, 1] = bad
        assert diagnose(x).status == DIVERGED
        assert diagnose(np.random.default_rng(9).normal(size=(50, 3)), loss=np.full(50, np.inf)).status == DIVERGED

    def test_few(self):
        found = diagnose(np.random.default_rng(10).normal(size=(5, 3)))
        assert found.status == TOO_FEW
        assert "at least 10" in found.reason

    def test_few_independent_ones_name_their_cause(self):
        found = diagnose(ts.AutoregressiveProcess(20, 0.995).simulate(400, np.random.default_rng(11)))
        assert found.n_eff < 10
        assert found.status in (AUTOCORRELATED, NOT_STATIONARY)

    def test_one_weight(self):
        assert diagnose(np.random.default_rng(12).normal(size=(200, 1))).status == OK

    def test_shapes(self):
        with pytest.raises(ValueError, match="weights must have shape"):
            diagnose(np.ones(5))
        with pytest.raises(ValueError, match=r"one value for each snapshot, got \(3,\)"):
            diagnose(np.ones((20, 2)), loss=[1, 2, 3])
