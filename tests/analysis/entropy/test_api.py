"""scikit-learn's API, statuses and bad input of the entropy estimators."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from analysis.entropy import (
    EdgeworthEntropy,
    GaussianEntropy,
    GaussianMixtureEntropy,
    KernelDensityEntropy,
    KNNGraphEntropy,
    KozachenkoLeonenkoEntropy,
    ProbabilisticPCAEntropy,
)
from analysis.entropy.base import correlation_with_mean, count_duplicates, delete_block_jackknife
from analysis.results import CONSTANT, DUPLICATES, OK, TOO_FEW, UNIDENTIFIED

SMALL = [
    KNNGraphEntropy(k=2),
    KozachenkoLeonenkoEntropy(k=2),
    KozachenkoLeonenkoEntropy(k=2, theiler=1, whiten=True),
    GaussianEntropy(),
    EdgeworthEntropy(),
    GaussianEntropy("ledoit-wolf"),
    GaussianEntropy("oas"),
    GaussianEntropy("nonlinear"),
    ProbabilisticPCAEntropy(n_splits=2),
    GaussianMixtureEntropy(1, n_splits=2),
    KernelDensityEntropy(n_splits=2),
]
IDS = [repr(estimator) for estimator in SMALL]


@parametrize_with_checks(SMALL)
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", SMALL, ids=IDS)
class TestEveryEstimator:
    @pytest.mark.parametrize("frozen", [lambda X: np.full(len(X), 0.3), lambda X: X[:, 0] + X[:, 1]])
    def test_a_direction_in_which_nothing_moves(self, estimator, frozen):
        """Its entropy is minus infinity, whatever number distances or a regulariser give."""
        X = np.random.default_rng(0).normal(size=(60, 3))
        X[:, 2] = frozen(X)
        assert clone(estimator).fit(X).status_ == UNIDENTIFIED

    def test_fitted_attributes(self, estimator):
        X = np.random.default_rng(0).normal(size=(200, 3))
        fitted = clone(estimator)
        assert fitted.fit(X) is fitted
        assert np.isfinite(fitted.entropy_)
        assert fitted.entropy_stderr_ > 0
        assert (fitted.status_, fitted.n_features_in_, fitted.dim_, fitted.n_duplicates_) == (OK, 3, 3, 0)

    def test_one_dimension(self, estimator):
        X = np.random.default_rng(1).normal(size=(400, 1))
        fitted = clone(estimator).fit(X)
        if not isinstance(estimator, KNNGraphEntropy):  # its constant is left out
            assert fitted.entropy_ == pytest.approx(norm.entropy(), abs=0.15)
        assert fitted.status_ == OK

    def test_constant_data_has_a_status(self, estimator):
        fitted = clone(estimator).fit(np.full((40, 3), 0.25))
        assert (fitted.entropy_, fitted.status_) == (-np.inf, CONSTANT)

    def test_duplicates_are_counted(self, estimator):
        X = np.random.default_rng(2).normal(size=(100, 3))
        X[51] = X[50]
        X[3] = X[50]
        fitted = clone(estimator).fit(X)
        assert (fitted.n_duplicates_, fitted.status_) == (2, DUPLICATES)
        assert not np.isnan(fitted.entropy_)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
    def test_non_finite_and_overflowing_weights(self, estimator, bad):
        X = np.random.default_rng(3).normal(size=(40, 3))
        X[7, 1] = bad
        with pytest.raises(ValueError, match="NaN|infinity|rescale"):
            clone(estimator).fit(X)

    def test_jackknife_off_and_impossible(self, estimator):
        X = np.random.default_rng(4).normal(size=(60, 2))
        off = clone(estimator).set_params(jackknife_blocks=0).fit(X)
        assert off.status_ == OK
        assert np.isnan(off.entropy_stderr_)
        impossible = clone(estimator).set_params(jackknife_blocks=61).fit(X)
        assert impossible.status_ == TOO_FEW
        assert impossible.entropy_ == off.entropy_
        with pytest.raises(ValueError, match="jackknife_blocks"):
            clone(estimator).set_params(jackknife_blocks=1).fit(X)

    def test_dim_must_be_a_positive_integer(self, estimator):
        X = np.random.default_rng(5).normal(size=(60, 2))
        for bad in (0, 1.5, "3"):
            with pytest.raises(ValueError, match="dim"):
                clone(estimator).set_params(dim=bad).fit(X)

    def test_too_few_snapshots(self, estimator):
        X = np.random.default_rng(6).normal(size=(2, 3))
        with pytest.raises(ValueError, match=r"at least .* snapshots, got n_samples=2: record more snapshots"):
            clone(estimator).fit(X)


@pytest.mark.parametrize(
    ("estimator", "match"),
    [
        (KNNGraphEntropy(k=50), r"k=50 needs at least 51 snapshots, got n_samples=40"),
        (KNNGraphEntropy(k=0), "k must be"),
        (KNNGraphEntropy(k=3, gamma=0.0), "gamma"),
        (KozachenkoLeonenkoEntropy(k=40), r"k=40 and theiler=0 needs at least .* = 41 snapshots"),
        (KozachenkoLeonenkoEntropy(k=4, theiler=18), r"theiler=18 needs .* = 41 snapshots"),
        (KozachenkoLeonenkoEntropy(theiler=-1), "theiler must be"),
        (GaussianEntropy(dim=40), r"D=40 dimensions needs at least 41 snapshots, got n_samples=40.*'oas'"),
        (EdgeworthEntropy(dim=40), r"D=40 dimensions needs at least 41 snapshots, got n_samples=40.*'oas'"),
        (GaussianEntropy("shrunk"), "covariance must be one of ml, ledoit-wolf, oas, nonlinear"),
        (GaussianEntropy("oas", dim=2), "dim=2 is smaller than the number of dimensions that X spans"),
        (ProbabilisticPCAEntropy(3), r"n_components=3 must be smaller than the dimension D=3"),
        (ProbabilisticPCAEntropy("all"), "n_components"),
        (GaussianMixtureEntropy(dim=7), "shared subspace"),
        (GaussianMixtureEntropy(covariance_type="round"), "covariance_type"),
        (GaussianMixtureEntropy(30), "n_components=30 .* needs at least 60"),
        (GaussianMixtureEntropy(reg_covar=-1.0), "reg_covar"),
        (KernelDensityEntropy("scott"), "bandwidth"),
        (KernelDensityEntropy(0.0), "bandwidth"),
        (KernelDensityEntropy(n_splits=1), "n_splits"),
    ],
)
def test_bad_parameters_are_named(estimator, match):
    X = np.random.default_rng(7).normal(size=(40, 3))
    with pytest.raises(ValueError, match=match):
        estimator.fit(X)


def test_statuses_of_small_samples():
    X = np.random.default_rng(8).normal(size=(60, 20))
    assert GaussianEntropy("ml").fit(X).status_ == TOO_FEW
    for covariance in ("ledoit-wolf", "oas", "nonlinear"):
        assert GaussianEntropy(covariance).fit(X).status_ == UNIDENTIFIED
    assert ProbabilisticPCAEntropy().fit(X).status_ == UNIDENTIFIED
    assert KozachenkoLeonenkoEntropy(k=1).fit(X[:9]).status_ == TOO_FEW


def test_a_frozen_direction_is_not_a_silent_minus_infinity():
    X = np.random.default_rng(9).normal(size=(100, 4))
    X[:, 2] = 1.0
    fitted = GaussianEntropy("ml").fit(X)
    assert (fitted.entropy_, fitted.status_) == (-np.inf, UNIDENTIFIED)
    assert ProbabilisticPCAEntropy(3).fit(X).status_ == UNIDENTIFIED
    assert np.isfinite(GaussianEntropy("oas").fit(X).entropy_)


def test_more_than_k_copies_make_minus_infinity_with_a_status():
    X = np.random.default_rng(10).normal(size=(100, 2))
    X[20:60:10] = X[9]
    assert np.isfinite(KozachenkoLeonenkoEntropy(k=5).fit(X).entropy_)
    fitted = KozachenkoLeonenkoEntropy(k=4).fit(X)
    assert (fitted.entropy_, fitted.n_duplicates_, fitted.status_) == (-np.inf, 4, DUPLICATES)


def test_repeats_of_the_row_before_are_no_new_points():
    """What a sampler leaves behind that rejects moves: the entropy is that of the rows that moved."""
    X = np.random.default_rng(11).normal(size=(200, 2))
    repeated = np.repeat(X, np.where(np.arange(200) % 7 == 0, 3, 1), axis=0)
    for estimator in (KozachenkoLeonenkoEntropy(k=4), GaussianEntropy()):
        moved, held = estimator.fit(X), type(estimator)(**estimator.get_params()).fit(repeated)
        assert held.entropy_ == pytest.approx(moved.entropy_, abs=1e-12)
        assert (held.status_, held.n_duplicates_) == (moved.status_, len(repeated) - 200)


def test_duplicates_in_wide_rows_are_compared_in_full():
    X = np.zeros((5, 1000))
    X[:, 501] = [1.0, 2.0, 1.0, 3.0, 0.0]  # between the columns that settle it for most rows
    assert count_duplicates(X) == 1
    X[2, 0] = -0.0
    assert count_duplicates(X) == 1


def test_jackknife_of_a_mean_is_its_standard_error():
    x = np.random.default_rng(11).normal(size=300)
    jackknife = delete_block_jackknife(lambda keep: float(x[keep].mean()), 300, 300)
    assert jackknife == pytest.approx(x.std(ddof=1) / np.sqrt(300), rel=1e-9)


@pytest.mark.parametrize(
    "estimator",
    [GaussianEntropy("ml"), KozachenkoLeonenkoEntropy(k=4), KNNGraphEntropy(k=10), KernelDensityEntropy(0.4)],
    ids=repr,
)
def test_stderr_matches_the_scatter_of_independent_repetitions(estimator):
    rng = np.random.default_rng(12)
    fits = [clone(estimator).fit(rng.normal(size=(400, 2))) for _ in range(40)]
    scatter = np.std([fit.entropy_ for fit in fits], ddof=1)
    claimed = np.sqrt(np.mean([fit.entropy_stderr_**2 for fit in fits]))
    # 40 repetitions know the scatter to 11 %, 40 × 9 degrees of freedom the jackknife to 4 %.
    assert claimed == pytest.approx(scatter, rel=0.4)


def test_blocks_see_correlation_that_single_deletions_miss():
    rng = np.random.default_rng(13)
    x = np.repeat(rng.normal(size=(40, 1)), 10, axis=0) + 1e-3 * rng.normal(size=(400, 1))
    blocked = GaussianEntropy(jackknife_blocks=10).fit(x).entropy_stderr_
    single = GaussianEntropy(jackknife_blocks=400).fit(x).entropy_stderr_
    assert blocked > 2 * single


class TestCorrelationWithTheMean:
    def test_energy_and_entropy_of_a_gaussian_go_together(self):
        """S = ½ ln det Σ and U = tr(kΣ)/2: to first order δS = δU/T, so their errors are one."""
        rng = np.random.default_rng(0)
        found = []
        for _ in range(20):
            x = rng.normal(size=(1000, 5))
            estimator = GaussianEntropy("ml").fit(x)
            found.append(correlation_with_mean(estimator.entropy_jackknife_, (x**2).sum(axis=1) / 2))
        assert np.median(found) > 0.98

    def test_a_series_of_its_own_does_not(self):
        rng = np.random.default_rng(1)
        found = []
        for _ in range(100):
            estimator = GaussianEntropy("ml").fit(rng.normal(size=(200, 2)))
            found.append(correlation_with_mean(estimator.entropy_jackknife_, rng.normal(size=150)))
        assert abs(np.mean(found)) < 0.1

    def test_a_constant_has_none(self):
        estimator = GaussianEntropy("ml").fit(np.random.default_rng(2).normal(size=(100, 2)))
        assert np.isnan(correlation_with_mean(estimator.entropy_jackknife_, np.ones(100)))
        off = GaussianEntropy("ml", jackknife_blocks=0).fit(np.random.default_rng(2).normal(size=(100, 2)))
        assert off.entropy_jackknife_.shape == (0,)
