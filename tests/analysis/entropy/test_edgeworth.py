"""The entropy with the sample's skewness: against exact densities, its bias for Gaussians, and what it cannot see."""

import numpy as np
import pytest
from scipy import stats
from scipy.stats import ortho_group

from analysis.entropy import EdgeworthEntropy, GaussianEntropy, choose_estimator
from analysis.entropy.base import jackknife_stderr
from analysis.entropy.edgeworth import LEFT_OUT
from analysis.entropy.skewness import _gaussian_bias, _skewness_between, _whitened
from analysis.results import OK, SKEWED, TOO_FEW


def gamma_product(shape, d, n, rng):
    """Independent gamma variables in rotated and stretched coordinates, and their entropy in nats."""
    # SciPy before 1.16 knows no rotation of a line.
    rotation = ortho_group.rvs(d, random_state=0) if d > 1 else np.eye(1)
    stretch = rotation @ np.diag(np.geomspace(0.1, 3.0, d))
    truth = d * stats.gamma(shape).entropy() + np.linalg.slogdet(stretch)[1]
    return rng.gamma(shape, size=(n, d)) @ stretch.T, truth


@pytest.mark.parametrize(("shape", "d"), [(5, 1), (20, 8), (50, 20)])
def test_skewed_densities(shape, d):
    """What is left of the Gaussian's error is the next order of the expansion: 1/(12 k²) of a gamma of shape k."""
    X, truth = gamma_product(shape, d, 20_000, np.random.default_rng(0))
    fitted = EdgeworthEntropy().fit(X)
    # Apart from the share of the correction that stands for the terms that are left out.
    error = jackknife_stderr(fitted.entropy_jackknife_)
    assert fitted.entropy_stderr_ == pytest.approx(np.hypot(error, LEFT_OUT * fitted.negentropy_))
    assert fitted.negentropy_ == pytest.approx(d / (3 * shape), abs=4 * error)
    assert fitted.entropy_ == pytest.approx(truth, abs=4 * error + d / (6 * shape**2))
    assert GaussianEntropy().fit(X).entropy_ > truth + 4 * error + d / (6 * shape**2)


@pytest.mark.parametrize(("n", "d"), [(25, 5), (50, 10), (200, 40)])
def test_no_bias_for_gaussians_even_at_five_snapshots_for_each_dimension(n, d):
    rng = np.random.default_rng(n)
    found = [EdgeworthEntropy().fit(rng.normal(size=(n, d))).negentropy_ for _ in range(300)]
    assert np.mean(found) == pytest.approx(0.0, abs=4 * np.std(found) / np.sqrt(300))
    # Without what the sample's own mean and covariance do to it, it would not be.
    assert _gaussian_bias(n, d) / 12 > 4 * np.std(found) / np.sqrt(300)


def test_scatter_for_gaussians_is_that_of_mardia():
    rng = np.random.default_rng(1)
    fits = [EdgeworthEntropy().fit(rng.normal(size=(800, 20))) for _ in range(100)]
    scatter = np.std([fit.negentropy_ for fit in fits])
    # 100 repetitions know the scatter to 7 %; pairs within a block, one in ten, are left out.
    assert scatter == pytest.approx(np.sqrt(20 * 21 * 22 / 12) / 800, rel=0.3)


def test_the_kernel_is_the_sum_over_third_hermite_polynomials():
    points = np.random.default_rng(2).normal(size=(40, 3))
    x = _whitened(points, 3)
    assert np.allclose(x.mean(axis=0), 0)
    assert np.allclose(np.cov(x.T), np.eye(3))
    eye = np.eye(3)

    def hermite(one):
        cube = np.einsum("i,j,k->ijk", one, one, one)
        mixed = np.einsum("ij,k->ijk", eye, one) + np.einsum("ik,j->ijk", eye, one) + np.einsum("jk,i->ijk", eye, one)
        return cube - mixed

    halves = [np.arange(20), np.arange(20, 40)]
    first, second = (np.mean([hermite(one) for one in x[half]], axis=0) for half in halves)
    found = _skewness_between(x, halves, ~np.eye(2, dtype=bool))
    assert found[0, 1] == found[1, 0] == pytest.approx(400 * (np.sum(first * second) - _gaussian_bias(40, 3)))


def test_correlated_snapshots_within_a_block_are_no_skewness():
    rng = np.random.default_rng(3)
    found = [
        EdgeworthEntropy().fit(np.repeat(rng.normal(size=(200, 6)), 5, axis=0) + rng.normal(0, 1e-2, (1000, 6)))
        for _ in range(60)
    ]
    negentropy = [fit.negentropy_ for fit in found]
    assert np.mean(negentropy) == pytest.approx(0.0, abs=4 * np.std(negentropy) / np.sqrt(60) + 0.02)


def test_a_symmetric_density_is_taken_for_a_gaussian():
    """Its limit, and the negative control: no skewness, no correction."""
    X = np.random.default_rng(4).uniform(-1, 1, size=(5000, 2))
    fitted, gaussian = EdgeworthEntropy().fit(X), GaussianEntropy().fit(X)
    assert fitted.entropy_ == pytest.approx(gaussian.entropy_, abs=0.01)
    assert fitted.entropy_ > 2 * np.log(2) + 0.3


@pytest.mark.parametrize(
    ("n", "d", "name"),
    [(99, 20, "oas"), (100, 20, "gaussian-ml"), (299, 20, "gaussian-ml"), (300, 20, "edgeworth"), (400, 5, "kl")],
)
def test_auto_corrects_for_skewness_where_there_are_enough_snapshots(n, d, name):
    choice = choose_estimator(n, d, on_sphere=False)
    assert choice.name == name
    assert str(n) in choice.reason


@pytest.mark.parametrize("estimator", [EdgeworthEntropy(), GaussianEntropy()], ids=repr)
def test_states_far_from_any_gaussian_are_not_ok(estimator):
    rng = np.random.default_rng(5)
    gaussian = rng.normal(size=(1000, 6))
    assert estimator.fit(gaussian).status_ == OK
    # Every direction in another basin for a fifth of the time, and gammas of a skewness below and above the limit.
    hopped = gaussian + 6 * (rng.random((1000, 6)) < 0.2)
    assert estimator.fit(hopped).status_ == SKEWED
    for shape, status in ((16, OK), (4, SKEWED)):
        assert estimator.fit(rng.gamma(shape, size=(5000, 6))).status_ == status
    # Where there are too few snapshots that is what is said.
    assert estimator.fit(hopped[::40]).status_ == TOO_FEW


@pytest.mark.parametrize("estimator", [EdgeworthEntropy(), GaussianEntropy()], ids=repr)
@pytest.mark.parametrize(("n", "d"), [(12, 1), (12, 2), (30, 5)])
def test_a_few_gaussian_snapshots_are_not_called_skewed(estimator, n, d):
    rng = np.random.default_rng(6)
    found = [estimator.fit(rng.normal(size=(n, d))).status_ for _ in range(200)]
    assert found.count(SKEWED) <= 4


def test_more_columns_than_snapshots():
    """As in weights that move in few directions; the columns are not what it costs."""
    rng = np.random.default_rng(7)
    inside = rng.normal(size=(200, 5))
    wide = inside @ np.linalg.qr(rng.normal(size=(3000, 5)))[0].T
    assert EdgeworthEntropy(dim=5).fit(wide).entropy_ == pytest.approx(EdgeworthEntropy().fit(inside).entropy_)
