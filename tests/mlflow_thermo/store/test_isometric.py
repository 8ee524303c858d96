"""Inner products that lose nothing."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.spatial.distance import pdist

from mlflow_thermo.store import isometric as isometric_module, isometric_factor
from tests.mlflow_thermo.store.samples import D, N, pieces, relative, walk


class TestIsometricFactor:
    @pytest.mark.parametrize("offset", [0.0, 100.0])
    @pytest.mark.parametrize("make", [walk, lambda rng: rng.normal(size=(N, D)) * np.geomspace(1, 1e-6, D)])
    def test_keeps_distances_norms_and_angles(self, rng, make, offset):
        X = make(rng).astype(np.float64) + offset
        lower = isometric_factor(pieces(X))
        assert lower.shape == (N, N)
        assert not np.triu(lower, 1).any()
        assert relative(pdist(lower), pdist(X)) < 1e-7
        np.testing.assert_allclose(lower @ lower.T, X @ X.T, rtol=1e-10, atol=1e-12 * np.abs(X @ X.T).max())

    def test_rows_too_close_for_a_gram_matrix_are_orthogonalised(self, rng, monkeypatch):
        X = rng.normal(size=(N, D))
        X[-1] = X[0] + 1e-9 * rng.normal(size=D)
        used = []
        slow = isometric_module.orthogonalised
        monkeypatch.setattr(isometric_module, "orthogonalised", lambda blocks: used.append(1) or slow(blocks))
        assert relative(pdist(isometric_factor(pieces(X))), pdist(X)) < 1e-6
        assert used

    def test_nothing_to_factor(self):
        with pytest.raises(ValueError, match="at least one block"):
            isometric_factor(lambda: iter(()))


@given(n=st.integers(2, 12), d=st.integers(12, 40), seed=st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_any_shape(n, d, seed):
    X = np.random.default_rng(seed).normal(size=(n, d))
    lower = isometric_factor(pieces(X, 7))
    assert relative(pdist(lower), pdist(X)) < 1e-10
