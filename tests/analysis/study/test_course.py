"""Bursts of iterates: how they are told apart, and the curves that come of them."""

import numpy as np
import pytest

from analysis.entropy.of_trajectory import entropy_of, paper_estimator
from analysis.entropy.select import make_estimator
from analysis.results import InsufficientData
from analysis.study.course import follow, slopes, split_bursts
from analysis.trajectory import Trajectory
from mlflow_thermo.schedule import bursts


def series(steps, weights, loss):
    return Trajectory(
        steps=np.asarray(steps), weights=weights, loss=np.full(len(steps), np.nan), snapshot_loss=np.asarray(loss),
        series="bursts",
    )  # fmt: skip


def ours(burst):
    dim = burst.n_weights
    return entropy_of(burst, make_estimator("oas", dim=dim, jackknife_blocks=5))[:2]


def papers(burst):
    return entropy_of(burst, paper_estimator(burst.n_weights, len(burst)))[:2]


def test_bursts_are_the_runs_of_consecutive_steps():
    steps = bursts(5000, 8, 50).steps
    found = split_bursts(series(steps, np.zeros((len(steps), 3)), np.arange(len(steps), dtype=float)))
    assert all(len(b) == 50 for b in found)
    assert [int(b.steps[-1]) for b in found][-1] == 5000
    assert all(np.all(np.diff(b.steps) == 1) for b in found)
    # Losses are those at the snapshots' own weights, not the means since the snapshot before.
    assert found[1].losses[0] == 50


def test_a_burst_that_was_cut_off_is_left_out():
    steps = [1, 2, 3, 10, 11, 12, 20]
    assert [len(b) for b in split_bursts(series(steps, np.zeros((7, 2)), np.zeros(7)))] == [3, 3]


def cooling(alpha, d=40, size=60, n=8, seed=0):
    """Independent weights whose spread and loss fall as powers of the time: S = −alpha·d·ln t, U = 1/t."""
    rng = np.random.default_rng(seed)
    steps = np.array(bursts(20_000, n, size).steps)
    ends = np.repeat(steps[size - 1 :: size], size).astype(float)
    weights = rng.standard_normal((len(steps), d)) * ends[:, None] ** -alpha
    return series(steps, weights, 1 / ends)


def test_curves_of_a_state_that_cools():
    d, alpha = 40, 0.5
    found = follow(cooling(alpha, d), ours, papers)
    t = found.steps.astype(float)
    for entropy in (found.entropy, found.paper_entropy):
        slope = np.polyfit(np.log(t), entropy, 1)[0]
        assert slope == pytest.approx(-alpha * d, rel=0.03)
    # dU/dS = (−1/t)/(−alpha·d) between the neighbours, exactly as those have it.
    exact, _ = slopes(1 / t, -alpha * d * np.log(t))
    np.testing.assert_allclose(found.temperature, exact, rtol=0.15)
    assert np.mean((found.lower <= exact) & (exact <= found.upper)) >= 7 / 9
    assert found.temperature[0] / found.temperature[-1] > 50


def test_slopes_are_one_sided_at_the_ends_and_know_their_errors():
    loss, entropy = np.array([4.0, 2.0, 1.0]), np.array([3.0, 2.0, 0.0])
    found, stderr = slopes(loss, entropy, np.full(3, 0.1), np.zeros(3))
    np.testing.assert_allclose(found, [2.0, 1.0, 0.5])
    np.testing.assert_allclose(stderr, np.hypot(0.1, 0.1) / np.array([1.0, 3.0, 2.0]))


def test_an_entropy_that_may_not_have_changed_gives_no_temperature():
    found, _ = slopes(np.array([2.0, 1.0]), np.array([1.0, 0.9]), np.zeros(2), np.full(2, 0.1))
    assert np.isnan(found).all()
    found, _ = slopes(np.array([2.0, 1.0]), np.array([1.0, 1.0]))
    assert np.isnan(found).all()


def test_too_short_a_series():
    with pytest.raises(ValueError, match="1 bursts of 20"):
        follow(series(range(1, 21), np.zeros((20, 2)), np.zeros(20)), ours, papers)
    with pytest.raises(ValueError, match="bursts of 3"):
        follow(series([1, 2, 3, 10, 11, 12], np.zeros((6, 2)), np.zeros(6)), ours, papers)


def test_an_estimator_that_fails_leaves_a_hole():
    def never(burst):
        raise InsufficientData("no")

    found = follow(cooling(0.5), ours, never)
    assert np.isnan(found.paper_entropy).all()
    assert np.isnan(found.paper_temperature).all()
    assert np.isfinite(found.entropy).all()
