"""Exact identities that hold for every estimator, whatever its accuracy."""

import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn.base import clone

from analysis.entropy import (
    EdgeworthEntropy,
    GaussianEntropy,
    GaussianMixtureEntropy,
    KernelDensityEntropy,
    KNNGraphEntropy,
    KozachenkoLeonenkoEntropy,
    ProbabilisticPCAEntropy,
)
from analysis.geometry import isometric_embedding

ANY_DIM = [
    KNNGraphEntropy(k=5),
    KNNGraphEntropy(k=3, gamma=0.5),
    KozachenkoLeonenkoEntropy(k=3),
    KozachenkoLeonenkoEntropy(k=3, theiler=2, whiten=True),
    GaussianEntropy("ledoit-wolf"),
    GaussianEntropy("oas"),
    GaussianEntropy("nonlinear"),
    ProbabilisticPCAEntropy(4),
    ProbabilisticPCAEntropy("cv"),
    KernelDensityEntropy("cv"),
]
FEW_DIM = [
    GaussianEntropy("ml"),
    EdgeworthEntropy(),
    GaussianMixtureEntropy(2),
    GaussianMixtureEntropy("cv", max_components=3),
]
TOLERANCE = 1e-8


def anisotropic(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * np.geomspace(0.3, 3.0, d) + rng.normal(size=d)


def fit(estimator, X, **params):
    return clone(estimator).set_params(**params).fit(X)


@pytest.mark.parametrize("estimator", [*ANY_DIM, *FEW_DIM], ids=repr)
@pytest.mark.parametrize(("n", "d"), [(120, 6), (60, 150)], ids=["tall", "wide"])
class TestIdentities:
    @pytest.fixture(autouse=True)
    def _skip_wide(self, estimator, n, d):
        if d >= n and estimator in FEW_DIM:
            pytest.skip("defined for more snapshots than columns only")

    def test_scaling(self, estimator, n, d):
        X = anisotropic(n, d)
        one = fit(estimator, X)
        for a in (1e-5, 37.0):
            scaled = fit(estimator, a * X)
            assert scaled.entropy_ == pytest.approx(one.entropy_ + d * np.log(a), rel=TOLERANCE)
            assert scaled.entropy_stderr_ == pytest.approx(one.entropy_stderr_, rel=1e-5)

    def test_translation_and_rotation(self, estimator, n, d):
        X = anisotropic(n, d)
        one = fit(estimator, X).entropy_
        assert fit(estimator, X + 5.0).entropy_ == pytest.approx(one, rel=TOLERANCE)
        Q = ortho_group.rvs(d, random_state=1)
        assert fit(estimator, X @ Q).entropy_ == pytest.approx(one, rel=TOLERANCE)

    def test_isometric_compression_with_the_original_dim(self, estimator, n, d):
        X = anisotropic(n, d)
        one = fit(estimator, X)
        small = isometric_embedding(X)
        assert small.shape == (n, min(n - 1, d))
        compressed = fit(estimator, small, dim=d)
        assert compressed.entropy_ == pytest.approx(one.entropy_, rel=TOLERANCE)
        assert compressed.entropy_stderr_ == pytest.approx(one.entropy_stderr_, rel=1e-5)


@pytest.mark.parametrize("estimator", ANY_DIM, ids=repr)
def test_forgetting_the_dim_after_compression_gives_another_number(estimator):
    X = anisotropic(60, 150)
    wrong = fit(estimator, isometric_embedding(X)).entropy_
    assert abs(wrong - fit(estimator, X).entropy_) > 1.0


@pytest.mark.parametrize("estimator", [*ANY_DIM, *FEW_DIM], ids=repr)
def test_float32_snapshots_far_from_the_origin(estimator):
    # A spread of 1e-2 around 1: a float32 Gram matrix about the origin would lose everything.
    d = 100 if estimator in ANY_DIM else 5
    X = (1.0 + 1e-2 * anisotropic(200, d)).astype(np.float32)
    assert fit(estimator, X).entropy_ == pytest.approx(fit(estimator, X.astype(np.float64)).entropy_, rel=1e-9)


def test_whitened_kozachenko_leonenko_is_affine_invariant_up_to_the_shrinkage():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(2000, 3))
    A = np.array([[2.0, 0.3, 0.0], [0.0, 1.0, 0.5], [0.1, 0.0, 0.7]])
    estimator = KozachenkoLeonenkoEntropy(whiten=True)
    change = fit(estimator, X @ A).entropy_ - fit(estimator, X).entropy_
    assert change == pytest.approx(np.log(abs(np.linalg.det(A))), abs=0.01)
