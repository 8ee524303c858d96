"""Held-out densities: the double well, the upper bound, and the traps of splits and leaf sizes."""

import numpy as np
import pytest
from scipy.integrate import quad
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold
from sklearn.neighbors import KernelDensity

from analysis.entropy import GaussianEntropy, GaussianMixtureEntropy, KernelDensityEntropy, KozachenkoLeonenkoEntropy
from analysis.entropy.held_out import time_block_splits

TEMPERATURES = (0.15, 0.3, 0.6)


def double_well(x):
    return (x**2 - 1) ** 2


def exact_entropy(temperature):
    z = quad(lambda x: np.exp(-double_well(x) / temperature), -5, 5)[0]
    u = quad(lambda x: double_well(x) * np.exp(-double_well(x) / temperature) / z, -5, 5)[0]
    return np.log(z) + u / temperature


def sample_double_well(temperature, n, rng):
    """Independent draws by inversion of the cumulative distribution."""
    x = np.linspace(-3, 3, 60_001)
    weights = np.exp(-double_well(x) / temperature)
    cumulative = np.concatenate([[0.0], np.cumsum((weights[1:] + weights[:-1]) / 2)])
    return np.interp(rng.random(n), cumulative / cumulative[-1], x)[:, None]


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_double_well_within_two_per_cent(temperature):
    X = sample_double_well(temperature, 20_000, np.random.default_rng(0))
    truth = exact_entropy(temperature)
    mixture = GaussianMixtureEntropy("cv", jackknife_blocks=0).fit(X)
    kl = KozachenkoLeonenkoEntropy(jackknife_blocks=0).fit(X)
    # Two per cent of the volume exp(S): S itself passes through zero with the unit of length, and where it is near
    # zero two per cent of it are less than the sampling noise of any estimator (0.005 nats for these snapshots).
    assert kl.entropy_ == pytest.approx(truth, abs=0.02)
    assert mixture.entropy_ == pytest.approx(truth, abs=0.02)
    if truth > 0.5:
        assert kl.entropy_ == pytest.approx(truth, rel=0.02)
        assert mixture.entropy_ == pytest.approx(truth, rel=0.02)
    assert mixture.n_components_ >= 2
    # Negative control: one Gaussian over both wells.
    assert abs(GaussianEntropy(jackknife_blocks=0).fit(X).entropy_ - truth) > 0.03 * abs(truth)


def test_double_well_kernel_density():
    X = sample_double_well(0.3, 3000, np.random.default_rng(1))
    fitted = KernelDensityEntropy().fit(X)
    assert fitted.entropy_ == pytest.approx(exact_entropy(0.3), abs=4 * fitted.entropy_stderr_ + 0.02)


@pytest.mark.parametrize("estimator", [GaussianMixtureEntropy(3), KernelDensityEntropy()], ids=repr)
def test_the_held_out_score_is_an_upper_bound_and_the_training_score_is_not(estimator):
    rng = np.random.default_rng(2)
    truth = 2.5 * np.log(2 * np.pi * np.e)
    estimates, training = [], []
    for _ in range(10):
        X = rng.normal(size=(100, 5))
        estimates.append(estimator.set_params(jackknife_blocks=0).fit(X).entropy_)
        if isinstance(estimator, GaussianMixtureEntropy):
            training.append(-GaussianMixture(3, random_state=0).fit(X).score(X))
        else:
            training.append(-KernelDensity(bandwidth=estimator.bandwidth_).fit(X).score(X) / 100)
    assert np.mean(estimates) > truth
    assert np.mean(training) < truth


def test_splits_are_contiguous_and_random_splits_would_fool_the_bound():
    for _, test in time_block_splits(23, 5):
        assert np.all(np.diff(test) == 1)
    rng = np.random.default_rng(3)
    centres = np.repeat(rng.normal(size=(30, 2)), 20, axis=0)
    X = centres + 0.01 * rng.normal(size=centres.shape)  # snapshots that barely move between changes
    truth = np.log(2 * np.pi * np.e)  # of the slow process that a longer run would show
    assert KernelDensityEntropy().fit(X).entropy_ > truth - 0.2
    shuffled = X[rng.permutation(len(X))]
    assert KernelDensityEntropy().fit(shuffled).entropy_ < truth - 1.0


@pytest.mark.parametrize("d", [50, 200])
def test_the_default_leaf_size_is_wrong_in_many_dimensions(d):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(300, d))
    bandwidth = 0.6
    exact = np.empty(300)
    trap = np.empty(300)
    for train, test in KFold(5).split(X):
        sq = ((X[test][:, None, :] - X[train][None]) ** 2).sum(axis=2)
        log_kernel = -sq / (2 * bandwidth**2) - d / 2 * np.log(2 * np.pi * bandwidth**2)
        top = log_kernel.max(axis=1)
        exact[test] = top + np.log(np.exp(log_kernel - top[:, None]).mean(axis=1))
        trap[test] = KernelDensity(bandwidth=bandwidth).fit(X[train]).score_samples(X[test])
    ours = KernelDensityEntropy(bandwidth, jackknife_blocks=0).fit(X)
    assert ours.entropy_ == pytest.approx(-exact.mean(), rel=1e-9)
    assert ours.bandwidth_ == pytest.approx(bandwidth)
    assert abs(trap.mean() - exact.mean()) > 1.0


def test_cross_validated_bandwidth_is_near_the_best_on_a_grid():
    X = np.random.default_rng(5).normal(size=(300, 2))
    best = min(KernelDensityEntropy(h).fit(X).entropy_ for h in np.geomspace(0.05, 2.0, 40))
    assert KernelDensityEntropy("cv").fit(X).entropy_ <= best + 1e-4


def test_mixture_is_reproducible_and_small_weights_are_not_floored():
    X = np.random.default_rng(6).normal(size=(400, 2)) * 1e-6
    one = GaussianMixtureEntropy(2).fit(X).entropy_
    assert one == GaussianMixtureEntropy(2).fit(X).entropy_
    truth = np.log(2 * np.pi * np.e) + 2 * np.log(1e-6)
    assert one == pytest.approx(truth, abs=0.2)
