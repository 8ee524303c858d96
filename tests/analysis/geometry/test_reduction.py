"""Embeddings, tangent spaces and shared subspaces."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from analysis.geometry import fit_shared_basis, isometric_embedding, tangent_space


def on_sphere(n, d, spread, rng, radius=1.0):
    points = np.eye(d)[0] + spread * rng.normal(size=(n, d))
    return radius * points / np.linalg.norm(points, axis=1, keepdims=True)


def test_isometric_embedding_keeps_distances():
    X = np.random.default_rng(0).normal(size=(30, 500))
    Y = isometric_embedding(X)
    assert Y.shape[1] <= 30
    np.testing.assert_allclose(pdist(Y), pdist(X), rtol=1e-9)


class TestTangentSpace:
    def test_radial_distances_are_geodesic(self):
        rng = np.random.default_rng(1)
        X = on_sphere(200, 6, 0.2, rng, radius=3.0)
        tangent = tangent_space(X)
        angle = np.arccos(np.clip(X @ tangent.mean_direction / 3.0, -1, 1))
        assert tangent.coordinates.shape == (200, 5)
        assert tangent.dim == 5
        np.testing.assert_allclose(np.linalg.norm(tangent.coordinates, axis=1), 3.0 * angle, rtol=1e-9)
        assert not tangent.covers_hemisphere

    def test_small_clouds_keep_their_distances(self):
        X = on_sphere(50, 20, 1e-4, np.random.default_rng(2))
        np.testing.assert_allclose(pdist(tangent_space(X).coordinates), pdist(X), rtol=1e-6)

    def test_volume_correction_by_quadrature(self):
        """S on the sphere is S in the tangent plane plus (d − 2)·E ln(sin θ/θ): known for a uniform polar cap."""
        rng = np.random.default_rng(3)
        d, cap, n = 3, 1.2, 40_000
        cos = 1 - rng.uniform(size=n) * (1 - np.cos(cap))
        angle = rng.uniform(0, 2 * np.pi, n)
        sin = np.sqrt(1 - cos**2)
        X = np.stack([cos, sin * np.cos(angle), sin * np.sin(angle)], axis=1)
        tangent = tangent_space(X)
        theta = np.linspace(1e-9, cap, 20_001)
        density = np.sin(theta) / np.trapezoid(np.sin(theta), theta)
        expected = (d - 2) * np.trapezoid(density * np.log(np.sin(theta) / theta), theta)
        assert tangent.log_volume_correction == pytest.approx(expected, rel=0.02)

    def test_embedded_snapshots_give_the_same(self):
        X = on_sphere(40, 300, 0.05, np.random.default_rng(4))
        plain = tangent_space(X)
        small = tangent_space(isometric_embedding(X, centre=False), n_weights=300)
        assert small.dim == plain.dim == 299
        assert small.log_volume_correction == pytest.approx(plain.log_volume_correction, rel=1e-9)
        np.testing.assert_allclose(pdist(small.coordinates), pdist(plain.coordinates), rtol=1e-8)

    def test_float32_stays_float32(self):
        X = on_sphere(40, 30, 0.05, np.random.default_rng(5)).astype(np.float32)
        assert tangent_space(X).coordinates.dtype == np.float32

    def test_the_whole_sphere_is_noticed(self):
        X = np.random.default_rng(6).normal(size=(500, 4))
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        tangent = tangent_space(X)
        assert tangent.covers_hemisphere
        assert tangent.beyond_hemisphere == pytest.approx(0.5, abs=0.1)

    def test_bad_input(self):
        with pytest.raises(ValueError, match="one sphere"):
            tangent_space(np.random.default_rng(7).normal(size=(10, 3)))
        with pytest.raises(ValueError, match="no mean direction"):
            tangent_space(np.array([[1.0, 0.0], [-1.0, 0.0]]))
        with pytest.raises(ValueError, match="at least 2 dimensions"):
            tangent_space(np.ones((3, 1)))


class TestSharedSubspace:
    def test_finds_the_common_directions(self):
        rng = np.random.default_rng(8)
        axes = np.linalg.qr(rng.normal(size=(50, 3)))[0].T
        runs = [s * (rng.normal(size=(80, 3)) @ axes) + 1e-3 * s * rng.normal(size=(80, 50)) for s in (0.01, 1.0)]
        basis = fit_shared_basis(runs, 3)
        overlap = np.linalg.svd(basis.components @ axes.T, compute_uv=False)
        np.testing.assert_allclose(overlap, 1, atol=1e-3)
        assert basis.explained.sum() == pytest.approx(1, abs=0.01)
        for run in runs:
            projected = basis.project(run)
            assert projected.shape == (80, 3)
            assert projected.var(axis=0).sum() == pytest.approx(run.var(axis=0).sum(), rel=0.01)

    def test_every_run_has_one_vote(self):
        """A large run does not choose the basis alone."""
        rng = np.random.default_rng(9)
        small, large = np.zeros((60, 10)), np.zeros((60, 10))
        small[:, 0], large[:, 1] = 1e-3 * rng.normal(size=60), 1e3 * rng.normal(size=60)
        basis = fit_shared_basis([small, large], 2)
        np.testing.assert_allclose(np.abs(basis.components[:, :2]).sum(axis=0), 1, atol=0.05)

    def test_bad_input(self):
        X = np.random.default_rng(10).normal(size=(5, 3))
        with pytest.raises(ValueError, match="same number of weights"):
            fit_shared_basis([X, X[:, :2]], 1)
        with pytest.raises(ValueError, match="q=9 shared directions must be between 1 and"):
            fit_shared_basis([X], 9)
        with pytest.raises(ValueError, match="at least one run"):
            fit_shared_basis([], 1)
        with pytest.raises(ValueError, match="do not vary"):
            fit_shared_basis([np.ones((5, 3))], 1)
