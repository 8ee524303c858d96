"""Regimes of loss curves whose regime is known."""

import numpy as np
import pytest

from analysis.stationarity.regime import classify

STEPS = np.arange(6000, 12_000, 6)
RNG = np.random.default_rng(0)


def noise(size, scale=0.05):
    return 1 + scale * RNG.normal(size=size)


def test_stationary():
    found = classify(STEPS, 1.2 * noise(1000), 4.7, 0.3)
    assert found.name == "stationary"
    assert found.loss == pytest.approx(1.2, rel=0.01)
    assert abs(found.slope) < 0.05


def test_false_alarms_are_rare():
    names = [classify(STEPS, 1.2 * noise(1000), 4.7, 0.3).name for _ in range(200)]
    assert names.count("stationary") >= 198


@pytest.mark.parametrize("power", [-1.0, -0.5, -0.2])
def test_converging(power):
    found = classify(STEPS, 1e-3 * (STEPS / 6000) ** power * noise(1000), 4.7, 0.3)
    assert found.name == "converging"
    assert found.slope == pytest.approx(power, abs=0.05)


def test_a_rising_loss_does_not_converge():
    assert classify(STEPS, (STEPS / 6000) ** 0.5 * noise(1000), 9.0, 0.3).name == "stationary"


def test_uniform_needs_the_baseline():
    loss = 4.6 * noise(1000)
    assert classify(STEPS, loss, 4.7, 0.1).name == "uniform"
    assert classify(STEPS, loss).name == "stationary"
    assert classify(STEPS, 3.0 * noise(1000), 4.7, 0.1).name == "stationary"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_diverged(bad):
    loss = noise(1000)
    loss[-1] = bad
    assert classify(STEPS, loss, 4.7, 0.1).name == "diverged"


def test_missing_losses_are_skipped():
    loss = noise(1000)
    loss[::2] = np.nan
    assert classify(STEPS, np.append(loss[:-1], 1.0)).name == "stationary"


def test_a_loss_of_zero_has_converged():
    assert classify(STEPS, np.zeros(1000)).name == "converging"


@pytest.mark.parametrize("offset", [-1.0, -1.2, -10.0])
def test_a_plateau_below_zero_is_one(offset):
    """The negative logarithm of a density may be negative: that is no optimum."""
    names = [classify(STEPS, offset + 1.2 * noise(1000), 4.7, 0.3).name for _ in range(200)]
    assert names.count("stationary") >= 198


def test_a_loss_that_falls_below_zero_converges():
    falling = 50 * (STEPS / 6000) ** -1.0 * noise(1000, 0.01)
    assert classify(STEPS, falling - 40).name == classify(STEPS, falling).name == "converging"
    assert classify(STEPS, 1 - falling).name == "stationary"


def test_too_few():
    with pytest.raises(ValueError, match="loss has 9 values: at least 10"):
        classify(STEPS[:9], np.ones(9))


def test_a_run_that_leaves_its_plateau_for_the_uniform_state_hops():
    rng = np.random.default_rng(0)
    steps = np.arange(500, 1000)
    for _ in range(200):
        loss = np.where(steps < 760, 1.0, 5.0) + 0.1 * rng.standard_normal(500)
        found = classify(steps, loss, 5.0, 0.2)
        assert found.hops
        assert found.uniform_share == pytest.approx(0.5, abs=0.11)
    assert classify(steps, loss).uniform_share == 0.0


def test_runs_on_one_branch_do_not_hop():
    rng = np.random.default_rng(1)
    steps = np.arange(500, 1000)
    hopped = 0
    for _ in range(200):
        plateau = classify(steps, 1.0 + 0.3 * rng.standard_normal(500), 5.0, 0.2)
        uniform = classify(steps, 5.0 + 0.2 * rng.standard_normal(500), 5.0, 0.2)
        hopped += plateau.hops + uniform.hops
        assert (plateau.uniform_share, uniform.name) == (0.0, "uniform")
    assert hopped <= 4
    assert not classify(steps, np.full(500, 5.0)).hops


def test_a_small_network_is_not_uniform_where_random_weights_merely_reach():
    """Its loss spreads over random weights: a state two spreads below their mean is a state of its own, and no hop."""
    loss = 11.5 + 2.0 * RNG.normal(size=1000)
    found = classify(STEPS, loss, 20.0, 4.5)
    assert (found.name, found.uniform_share, found.hops) == ("stationary", 0.0, False)
    # Blocks on either side of three spreads are no hop either.
    halves = np.where(np.arange(1000) < 500, 6.3, 6.7) + 0.1 * RNG.normal(size=1000)
    found = classify(STEPS, halves, 20.0, 4.5)
    assert (found.name, found.hops) == ("stationary", False)
    assert classify(STEPS, 19.0 + 4.5 * RNG.normal(size=1000), 20.0, 4.5).name == "uniform"
