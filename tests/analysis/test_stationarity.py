"""Correlation times of processes whose correlation time is known."""

import numpy as np
import pytest
from scipy.signal import lfilter

from analysis.stationarity import correlation_time, integrated_time, mean_and_stderr, slow_observables


def ar1(n, phi, rng, d=1):
    """Stationary AR(1) of unit variance, shape (n, d); its integrated time is (1 + φ)/(1 − φ)."""
    noise = rng.normal(size=(n, d)) * np.sqrt(1 - phi**2)
    noise[0] /= np.sqrt(1 - phi**2)
    return lfilter([1], [1, -phi], noise, axis=0)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.97])
def test_ar1(phi):
    rng = np.random.default_rng(0)
    exact = (1 + phi) / (1 - phi)
    found = [integrated_time(ar1(20_000, phi, rng)[:, 0]) for _ in range(10)]
    assert np.mean(found) == pytest.approx(exact, rel=0.1)


def test_never_below_one():
    assert integrated_time(ar1(5000, -0.8, np.random.default_rng(0))[:, 0]) == 1.0
    assert integrated_time(np.full(100, 3.7)) == 1.0


def test_a_drift_is_as_long_as_the_window():
    assert integrated_time(np.arange(1000.0)) > 100


@pytest.mark.parametrize("bad", [[1, 2, 3], [[1, 2], [3, 4]], [1, 2, np.nan, 4, 5]])
def test_bad_series(bad):
    with pytest.raises(ValueError, match="finite series of at least 4"):
        integrated_time(bad)


def test_the_slowest_direction_decides():
    """One slow direction hides among many fast ones: the loss alone would not show it."""
    rng = np.random.default_rng(1)
    fast, slow = ar1(4000, 0.0, rng, 40), 2 * ar1(4000, 0.95, rng)
    assert correlation_time(np.hstack([fast, slow])) == pytest.approx(39, rel=0.35)
    assert correlation_time(fast) < 2


def test_slow_observables_are_the_leading_components_and_the_distance():
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(50, 8)) * np.arange(1, 9)
    found = slow_observables(weights)
    u, s, _ = np.linalg.svd(weights - weights.mean(axis=0), full_matrices=False)
    for row, expected in zip(found[:3], (u * s).T[:3], strict=True):
        assert abs(row @ expected) == pytest.approx(expected @ expected, rel=1e-8)
    np.testing.assert_allclose(found[3], ((weights - weights[0]) ** 2).sum(axis=1), atol=1e-8)


def test_stderr_of_a_correlated_mean():
    rng = np.random.default_rng(3)
    means, errors = zip(*(mean_and_stderr(ar1(2000, 0.8, rng)[:, 0]) for _ in range(300)), strict=True)
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.15)
