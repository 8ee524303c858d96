"""Correlation times of processes whose correlation time is known, and the diagnostics behind `diagnose`."""

import numpy as np
import pytest
from scipy.signal import lfilter

from analysis import testsystems as ts
from analysis.geometry import centred_gram
from analysis.geometry.distances import squared_distances
from analysis.stationarity import (
    correlation_time,
    cross_fitted_scores,
    drift_test,
    edge_lag,
    evenly_spaced,
    independent_snapshots,
    integrated_time,
    kpss_statistic,
    mean_and_stderr,
    msd_slope,
    mser_truncation,
    split_rhat,
    spread_p_value,
    trend_p_value,
)
from analysis.stationarity.correlation import leading_scores


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
    assert integrated_time(np.full(100, 3.7)) == integrated_time(np.zeros(100)) == 1.0


@pytest.mark.parametrize("unit", [1e-100, 1e-15, 1e15, 1e100])
def test_integrated_time_has_no_units(unit):
    series = ar1(2000, 0.9, np.random.default_rng(3))[:, 0]
    assert integrated_time(unit * series) == pytest.approx(integrated_time(series), rel=1e-9)
    assert integrated_time(unit * np.full(100, 3.7)) == 1.0


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


def test_leading_scores_are_those_of_the_principal_components():
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(50, 8)) * np.arange(1, 9)
    found = leading_scores(centred_gram(weights))
    u, s, _ = np.linalg.svd(weights - weights.mean(axis=0), full_matrices=False)
    for row, expected in zip(found, (u * s).T[:3], strict=True):
        assert abs(row @ expected) == pytest.approx(expected @ expected, rel=1e-8)


def test_stderr_of_a_correlated_mean():
    rng = np.random.default_rng(3)
    means, errors = zip(*(mean_and_stderr(ar1(2000, 0.8, rng)[:, 0]) for _ in range(300)), strict=True)
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.15)


def test_half_cosines_of_many_equal_directions_do_not_look_slow():
    """The leading component of 200 independent AR(1) weights seems twice as slow as each of them is."""
    process = ts.AutoregressiveProcess(200, 0.9)
    own, crossed = [], []
    for seed in range(8):
        x = process.simulate(1000, np.random.default_rng(seed))
        own.append(integrated_time(leading_scores(centred_gram(x))[0]))
        crossed += [(integrated_time(a) + integrated_time(b)) / 2 for a, b in cross_fitted_scores(x)]
    assert np.mean(own) > 1.5 * process.tau
    assert np.mean(crossed) == pytest.approx(process.tau, rel=0.2)
    # By the Gram matrix and by the covariance alike.
    gram = x - x.mean(axis=0)
    assert correlation_time(x, gram @ gram.T) == pytest.approx(correlation_time(x), rel=1e-9)


def test_correlation_time_needs_snapshots():
    with pytest.raises(ValueError, match="at least 10 snapshots, got 9"):
        correlation_time(np.ones((9, 2)))


class TestBurnIn:
    def test_a_transient_is_dropped(self):
        rng = np.random.default_rng(5)
        x = rng.normal(size=2000) + 10 * np.exp(-np.arange(2000) / 50)
        assert 100 <= mser_truncation(x) <= 400

    @pytest.mark.parametrize("phi", [0.0, 0.9])
    def test_a_stationary_series_is_left_whole(self, phi):
        rng = np.random.default_rng(6)
        assert sum(mser_truncation(ar1(1000, phi, rng)[:, 0]) > 0 for _ in range(50)) <= 1

    def test_the_worst_observable_decides(self):
        rng = np.random.default_rng(7)
        fine = rng.normal(size=1000)
        bad = fine + np.where(np.arange(1000) < 100, 20.0, 0.0)
        assert mser_truncation(np.stack([fine, bad])) == mser_truncation(bad) >= 96

    def test_short_series(self):
        assert mser_truncation([5.0, 1.0, 1.0]) == 0


class TestChains:
    def test_split_rhat_by_hand(self):
        chains = np.array([[1.0, 2, 3, 4], [2.0, 3, 5, 6]])
        halves = np.array([[1, 2], [3, 4], [2, 3], [5, 6]], dtype=float)
        within = halves.var(axis=1, ddof=1).mean()
        between = 2 * halves.mean(axis=1).var(ddof=1)
        assert split_rhat(chains) == pytest.approx(np.sqrt((0.5 * within + between / 2) / within))

    def test_seeds_that_agree_and_seeds_that_do_not(self):
        rng = np.random.default_rng(8)
        chains = rng.normal(size=(5, 1000))
        assert split_rhat(chains) < 1.01
        assert split_rhat(chains + np.arange(5)[:, None]) > 1.5
        assert split_rhat(chains[:1]) < 1.01
        assert split_rhat(chains[:1] + np.linspace(0, 3, 1000)) > 1.2

    def test_constant_chains(self):
        assert split_rhat(np.ones((2, 10))) == 1.0
        assert split_rhat(np.repeat([[1.0], [2.0]], 10, axis=1)) == np.inf

    @pytest.mark.parametrize("bad", [np.ones((2, 3)), np.full((2, 8), np.nan)])
    def test_bad_chains(self, bad):
        with pytest.raises(ValueError, match="at least 4 finite samples"):
            split_rhat(bad)

    def test_kpss(self):
        rng = np.random.default_rng(9)
        quiet = [kpss_statistic(ar1(2000, phi, rng)[:, 0]) for phi in (0.0, 0.9) for _ in range(40)]
        # 0.739 is exceeded once in a hundred times, 1.168 once in a thousand.
        assert np.mean(np.array(quiet) > 0.739) <= 0.05
        assert np.sum(np.array(quiet) > 1.168) <= 1
        assert kpss_statistic(rng.normal(size=500) + np.linspace(0, 2, 500)) > 1.168
        assert np.isnan(kpss_statistic(np.ones(100)))
        assert np.isnan(kpss_statistic(rng.normal(size=9)))


class TestEdgeLag:
    def lag(self, x, k=10):
        return edge_lag(squared_distances(x), k)

    @pytest.mark.parametrize("d", [2, 100])
    def test_independent_snapshots(self, d):
        """The expected value is exact: every other snapshot is equally likely to be a neighbour."""
        rng = np.random.default_rng(10)
        found = [self.lag(rng.normal(size=(400, d))) for _ in range(20)]
        assert np.mean([f.fraction for f in found]) == pytest.approx(found[0].expected, rel=0.05)
        assert not any(f.flagged for f in found)

    def test_brute_force(self):
        x = np.random.default_rng(11).normal(size=(60, 3)).cumsum(axis=0)
        k, count = 3, 0
        for i in range(60):
            order = np.argsort(np.sum((x - x[i]) ** 2, axis=1))[1 : k + 1]
            count += sum(abs(j - i) <= k for j in order)
        found = self.lag(x, k)
        assert found.fraction == pytest.approx(count / (60 * k))
        near = sum(abs(i - j) <= k for i in range(60) for j in range(60) if i != j)
        assert found.expected == pytest.approx(near / (60 * 59))

    def test_consecutive_iterates_are_their_own_neighbours(self):
        system = ts.QuadraticSGD(np.geomspace(0.1, 1, 50))
        found = self.lag(system.simulate([0.05], 500, np.random.default_rng(12))[0])
        assert found.fraction > 0.95
        assert found.flagged


class TestDrift:
    def slope(self, x):
        return msd_slope(squared_distances(x))

    def test_mean_squared_displacement(self):
        rng = np.random.default_rng(13)
        assert abs(self.slope(rng.normal(size=(500, 50)))) < 0.05
        assert self.slope(rng.normal(size=(500, 400)).cumsum(axis=0)) == pytest.approx(1.0, abs=0.15)
        # Ballistic motion: displacement grows with the lag itself.
        assert self.slope(np.outer(np.arange(500.0), np.ones(3))) == pytest.approx(2.0)
        assert self.slope(np.ones((50, 2))) == 0.0

    @pytest.mark.parametrize(("d", "phi"), [(1, 0.0), (20, 0.0), (20, 0.9), (200, 0.9)])
    def test_levels_of_the_tests(self, d, phi):
        """Stationary processes are called drifting no more often than the level says."""
        rng = np.random.default_rng(14)
        p = []
        for _ in range(60):
            x = ar1(600, phi, rng, d)
            x = x - x.mean(axis=0)
            gram = x @ x.T
            test = drift_test(gram)
            p.append((test.p_value, trend_p_value(gram, test.dims), spread_p_value(gram)))
        # Six in sixty would be called at the ten per cent level; binomial noise allows twelve.
        assert np.all(np.mean(np.array(p) < 0.1, axis=0) <= 0.2)
        assert np.min(p) > 1e-4

    def test_power(self):
        rng = np.random.default_rng(15)
        x = rng.normal(size=(600, 20)) + np.linspace(0, 1.5, 600)[:, None]
        x -= x.mean(axis=0)
        test = drift_test(x @ x.T)
        assert test.p_value < 1e-3
        assert trend_p_value(x @ x.T, test.dims) < 1e-6
        # The mean holds, the spread doubles.
        y = rng.normal(size=(600, 20)) * np.where(np.arange(600) < 300, 1, 2)[:, None]
        y -= y.mean(axis=0)
        assert spread_p_value(y @ y.T) < 1e-6
        assert spread_p_value(np.zeros((20, 20))) == 1.0

    @pytest.mark.parametrize("phi", [0.0, 0.5])
    @pytest.mark.parametrize("heavy", [False, True])
    def test_a_spread_that_changes_slowly(self, phi, heavy):
        """In directions of very different width, of which the widest alone would say little; with heavy tails too."""
        rng = np.random.default_rng(16)
        still, widening = [], []
        for _ in range(30):
            x = ar1(400, phi, rng, 10) * np.geomspace(1, 0.02, 10)
            if heavy:
                x = x / np.sqrt(rng.chisquare(4, size=(400, 1)) / 4)
            for found, y in ((still, x), (widening, x * np.linspace(0.6, 1.4, 400)[:, None])):
                y = y - y.mean(axis=0)
                found.append(spread_p_value(y @ y.T))
        assert np.min(still) > 1e-4
        assert np.mean(np.array(still) < 0.1) <= 0.25
        assert np.mean(np.array(widening) < 1e-3) >= 0.9


class TestThinning:
    def test_even_and_to_the_end(self):
        index = evenly_spaced(1000, 100)
        assert len(index) == 100
        assert index[-1] == 999
        assert set(np.diff(index)) == {10}
        np.testing.assert_array_equal(evenly_spaced(10, 10), np.arange(10))
        late = evenly_spaced(100, 7, start=50)
        assert late[0] >= 50
        assert len(set(late)) == 7

    def test_bad_count(self):
        with pytest.raises(ValueError, match="count=11 snapshots cannot be chosen from 10"):
            evenly_spaced(20, 11, start=10)

    def test_independent_snapshots(self):
        assert independent_snapshots(1000, 1.2, burn_in=100) == 900
        assert independent_snapshots(1000, 10.0, burn_in=100) == 30


def test_kpss_is_the_library_s_statistic():
    import warnings

    from statsmodels.tsa.stattools import kpss

    x = np.random.default_rng(5).normal(size=200) + np.linspace(0, 0.5, 200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = float(kpss(x, regression="c", nlags=0)[0])
    assert kpss_statistic(x) == pytest.approx(expected, rel=1e-12)
