"""The tangent space of a product of spheres: its entropy against exact ones."""

import numpy as np
import pytest
from scipy.special import ive

from analysis.entropy import make_estimator
from analysis.entropy.of_trajectory import entropy_of
from analysis.geometry import tangent_space
from analysis.trajectory import Trajectory


def fisher(rng, n, kappa, radius=1.0):
    """Points of the sphere in three dimensions with density ∝ exp(κ·z): z by its inverse distribution (Fisher 1953)."""
    z = 1 + np.log(rng.uniform(np.exp(-2 * kappa), 1, n)) / kappa
    angle = rng.uniform(0, 2 * np.pi, n)
    flat = np.sqrt(1 - z**2)
    return radius * np.column_stack([flat * np.cos(angle), flat * np.sin(angle), z])


def exact(kappa, radius):
    """S = ln(4π sinh κ/κ) − κ·(coth κ − 1/κ) + 2 ln r."""
    mean = 1 / np.tanh(kappa) - 1 / kappa
    return np.log(4 * np.pi * np.sinh(kappa) / kappa) - kappa * mean + 2 * np.log(radius)


def test_the_entropy_of_independent_units_is_the_sum_of_theirs():
    rng = np.random.default_rng(0)
    kappas, radius = (20.0, 50.0, 200.0), 0.5
    points = np.hstack([fisher(rng, 4000, kappa, radius) for kappa in kappas])
    run = Trajectory(np.arange(4000), points, np.zeros(4000), protocol="spheres", units=(3, 3, 3))
    assert (run.dim, run.on_sphere, run.spheres) == (6, True, (3, 3, 3))
    found, stderr, status = entropy_of(run, make_estimator("gaussian-ml", dim=run.dim))
    assert status == "ok"
    assert found == pytest.approx(sum(exact(kappa, radius) for kappa in kappas), abs=4 * stderr + 0.01)


def test_one_sphere_is_not_the_product():
    """The negative control: on one sphere of the same points the norms of the units would count as free."""
    rng = np.random.default_rng(1)
    points = np.hstack([fisher(rng, 500, 50.0) for _ in range(2)]) / np.sqrt(2)
    product = tangent_space(points, units=(3, 3))
    whole = tangent_space(points)
    assert (product.dim, whole.dim) == (4, 5)
    assert product.coordinates.shape == (500, 4)
    assert product.log_volume_correction != pytest.approx(whole.log_volume_correction)


def test_units_name_all_weights():
    with pytest.raises(ValueError, match="units"):
        Trajectory(np.arange(5), np.ones((5, 6)), np.zeros(5), protocol="spheres", units=(2, 3))
    with pytest.raises(ValueError, match="units"):
        Trajectory(np.arange(5), np.ones((5, 6)), np.zeros(5), protocol="spheres")


def test_mean_resultant_of_the_samples():
    """The sampler itself: E z = coth κ − 1/κ, the ratio of Bessel functions I_{3/2}/I_{1/2}."""
    kappa = 20.0
    z = fisher(np.random.default_rng(2), 100_000, kappa)[:, 2]
    assert z.mean() == pytest.approx(ive(1.5, kappa) / ive(0.5, kappa), abs=4 * z.std() / np.sqrt(len(z)))
