"""Gaussian estimators: scikit-learn's covariances, exact bias, non-linear shrinkage, both forms of the spectrum."""

import numpy as np
import pytest
from sklearn.covariance import OAS, LedoitWolf

from analysis.entropy import GaussianEntropy, ProbabilisticPCAEntropy
from analysis.entropy.gaussian import LINEAR
from analysis.entropy.shrinkage import SampleSpectrum, linear, nonlinear
from analysis.entropy.spectrum import SpectrumFinder


def explicit_entropy(covariance):
    sign, log_det = np.linalg.slogdet(2 * np.pi * np.e * covariance)
    assert sign == 1
    return 0.5 * log_det


@pytest.mark.parametrize(("n", "d"), [(200, 1), (200, 2), (200, 30), (31, 30), (30, 30), (29, 30), (40, 300)])
@pytest.mark.parametrize(("name", "reference"), [("ledoit-wolf", LedoitWolf), ("oas", OAS)])
def test_shrinkage_equals_scikit_learn(n, d, name, reference):
    rng = np.random.default_rng(n + d)
    X = rng.normal(size=(n, d)) * np.linspace(0.5, 2.0, d) + 3.0
    theirs = reference().fit(X)
    ours = GaussianEntropy(name).fit(X)
    assert ours.entropy_ == pytest.approx(explicit_entropy(theirs.covariance_), rel=1e-8)
    assert ours.shrinkage_ == pytest.approx(theirs.shrinkage_, rel=1e-8)


def test_jackknife_refits_the_shrinkage_of_each_part():
    X = np.random.default_rng(0).normal(size=(40, 100))
    fits = [OAS().fit(np.delete(X, block, axis=0)) for block in np.array_split(np.arange(40), 5)]
    values = np.array([explicit_entropy(fit.covariance_) for fit in fits])
    expected = np.sqrt(4 / 5 * np.sum((values - values.mean()) ** 2))
    assert GaussianEntropy("oas", jackknife_blocks=5).fit(X).entropy_stderr_ == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("d", [2, 10, 100])
def test_exact_bias_maximum_likelihood(d):
    rng = np.random.default_rng(d)
    truth = 0.5 * d * np.log(2 * np.pi * np.e)
    estimates = [GaussianEntropy(jackknife_blocks=0).fit(rng.normal(size=(1000, d))).entropy_ for _ in range(20)]
    assert abs(np.mean(estimates) - truth) / d < 0.003
    # The plug-in without the correction is off by far more at d = 100.
    if d == 100:
        X = rng.normal(size=(1000, d))
        assert abs(explicit_entropy(np.cov(X.T, bias=True)) - truth) / d > 0.02


def test_exact_bias_holds_close_to_the_limit():
    rng = np.random.default_rng(1)
    truth = 10 * np.log(2 * np.pi * np.e)
    estimates = [GaussianEntropy(jackknife_blocks=0).fit(rng.normal(size=(23, 20))).entropy_ for _ in range(400)]
    assert np.mean(estimates) == pytest.approx(truth, abs=4 * np.std(estimates) / 20)


def loops_nonlinear(eigenvalues, n, p):
    """The estimator of Ledoit & Wolf 2020 pair by pair, at moderate arguments; ascending or descending alike."""
    h = n ** (-1 / 3)
    out = []
    for a in eigenvalues:
        f = g = 0.0
        for b in eigenvalues:
            x = (a - b) / (h * b)
            f += 3 / (4 * np.sqrt(5)) * max(1 - x**2 / 5, 0) / (h * b) / len(eigenvalues)
            g += (
                (
                    -3 / (10 * np.pi) * x
                    + 3 / (4 * np.sqrt(5) * np.pi) * (1 - x**2 / 5) * np.log(abs((np.sqrt(5) - x) / (np.sqrt(5) + x)))
                )
                / (h * b)
                / len(eigenvalues)
            )
        if p <= n:
            c = p / n
            out.append(a / ((np.pi * c * a * f) ** 2 + (1 - c - np.pi * c * a * g) ** 2))
        else:
            out.append(a / (np.pi**2 * a**2 * (f**2 + g**2)))
    return np.array(out)


@pytest.mark.parametrize(("n", "d"), [(101, 40), (60, 150)])
def test_nonlinear_against_the_formula_pair_by_pair(n, d):
    X = np.random.default_rng(n).normal(size=(n, d)) * np.linspace(1, 3, d)
    sample = SpectrumFinder(X, d).spectrum(np.arange(n))
    expected = loops_nonlinear(sample.scatter / (n - 1), n - 1, d)
    np.testing.assert_allclose(nonlinear(sample).spanned, expected, rtol=1e-8)


@pytest.mark.parametrize("d", [100, 500, 999, 1000, 1001, 3000])
def test_nonlinear_recovers_an_isotropic_population(d):
    # Around d = N some eigenvalues are nearly zero and the kernel's closed form would lose all digits.
    X = np.random.default_rng(d).normal(size=(1000, d))
    finder = SpectrumFinder(X, d)
    estimate = nonlinear(finder.spectrum(np.arange(1000)))
    assert abs(estimate.log_det()) / d < 0.03
    total = float(estimate.spanned.sum()) + estimate.rest * (d - len(estimate.spanned))
    assert total / d == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("n", [250, 1000])
def test_nonlinear_beats_linear_shrinkage_on_a_spread_population(n):
    # One eigenvalue in five is 1, two are 3, two are 10 (Ledoit & Wolf's own example), d = 500.
    d = 500
    population = np.repeat([1.0, 3.0, 10.0], [100, 200, 200])
    X = np.random.default_rng(2).normal(size=(n, d)) * np.sqrt(population)
    truth = 0.5 * (d * np.log(2 * np.pi * np.e) + np.sum(np.log(population)))
    error = {
        name: abs(GaussianEntropy(name, jackknife_blocks=0).fit(X).entropy_ - truth) for name in ("nonlinear", "oas")
    }
    assert error["nonlinear"] < error["oas"]


def test_both_forms_of_the_spectrum_agree():
    X = np.random.default_rng(3).normal(size=(50, 80))
    keep = np.arange(50)
    wide = SpectrumFinder(X, 80).spectrum(keep)
    Xc = X - X.mean(axis=0)
    primal = np.linalg.eigvalsh(Xc.T @ Xc)[::-1]
    np.testing.assert_allclose(wide.scatter, primal[:49], rtol=1e-9)
    assert wide.n == 50
    assert isinstance(wide, SampleSpectrum)


def test_ppca_noise_variance_counts_the_dimensions_outside_of_the_embedding():
    # Isotropic: sigma² is 1 only if the average runs over D and not over the N − 1 dimensions of the sample.
    X = np.random.default_rng(4).normal(size=(50, 2000))
    fitted = ProbabilisticPCAEntropy(0).fit(X)
    assert fitted.noise_variance_ == pytest.approx(1.0, abs=0.02)
    assert fitted.entropy_ == pytest.approx(1000 * np.log(2 * np.pi * np.e), rel=0.005)


@pytest.mark.parametrize(("n", "d"), [(500, 30), (200, 400)])
def test_ppca_finds_the_number_of_components(n, d):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, d))
    X[:, :4] *= [9.0, 8.0, 7.0, 6.0]
    fitted = ProbabilisticPCAEntropy().fit(X)
    assert fitted.n_components_ == 4
    truth = 0.5 * d * np.log(2 * np.pi * np.e) + np.log(9 * 8 * 7 * 6)
    assert fitted.entropy_ == pytest.approx(truth, abs=0.02 * d)
    assert ProbabilisticPCAEntropy().fit(rng.normal(size=(n, d))).n_components_ == 0


def test_ppca_entropy_is_that_of_its_own_covariance():
    X = np.random.default_rng(6).normal(size=(300, 8)) * np.arange(1, 9)
    fitted = ProbabilisticPCAEntropy(3).fit(X)
    values, vectors = np.linalg.eigh(np.cov(X.T))
    values[:5] = values[:5].mean()
    assert fitted.entropy_ == pytest.approx(explicit_entropy(vectors * values @ vectors.T), rel=1e-10)


class TestLogDeterminantWithoutASpectrum:
    """The Cholesky factor of the jackknife against the eigenvalues of the estimate."""

    @pytest.mark.parametrize("name", ["ledoit-wolf", "oas"])
    @pytest.mark.parametrize(
        ("n", "d", "dim"), [(60, 400, 400), (60, 59, 2000), (60, 20, 20), (60, 21, 20), (20, 21, 21)]
    )
    def test_is_the_spectrum_s(self, name, n, d, dim):
        rng = np.random.default_rng(d)
        X = rng.normal(size=(n, d)) * np.geomspace(1, 1e-2, d)
        if d > dim:
            # A cloud in fewer dimensions than it has columns, as tangent vectors of a sphere are.
            X -= np.outer(X @ np.ones(d), np.ones(d)) / d
        finder, keep = SpectrumFinder(X, dim), np.arange(5, n)
        expected = linear(finder.spectrum(keep), LINEAR[name]).log_det()
        assert finder.scatter(keep).shrunk_log_det(LINEAR[name]) == pytest.approx(expected, rel=1e-12)

    def test_a_weight_next_to_nothing_is_left_to_the_eigenvalues(self):
        X = np.random.default_rng(0).normal(size=(30, 100))
        finder, keep = SpectrumFinder(X, 100), np.arange(30)
        for weight in (0.0, 1e-12):
            expected = linear(finder.spectrum(keep), lambda _, w=weight: w).log_det()
            assert finder.scatter(keep).shrunk_log_det(lambda _, w=weight: w) == expected
        assert finder.scatter(keep).shrunk_log_det(lambda _: 0.0) == -np.inf

    def test_only_the_identity(self):
        X = np.random.default_rng(0).normal(size=(30, 100))
        finder, keep = SpectrumFinder(X, 100), np.arange(30)
        total = finder.scatter(keep).trace / 30
        assert finder.scatter(keep).shrunk_log_det(lambda _: 1.0) == pytest.approx(100 * np.log(total / 100))
