"""Nearest-neighbour estimators: parity with the paper's formula, distances, Theiler window."""

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.spatial.distance import cdist
from scipy.special import digamma

from analysis.entropy import KNNGraphEntropy, KozachenkoLeonenkoEntropy, knn_graph_entropies
from analysis.entropy.kozachenko_leonenko import log_unit_ball_volume
from analysis.geometry.distances import squared_distances
from analysis.geometry.gram import centred_gram, recentred


def explicit_distances(X):
    """(n, n) by plain differences, row by row."""
    X = X.astype(np.float64)
    return np.array([[np.sqrt(np.sum((a - b) ** 2)) for b in X] for a in X])


def paper_entropy(X, k, gamma, dim):
    """The formula written out: sum of the k shortest edges of each point, sorted."""
    edges = np.sort(explicit_distances(X), axis=1)[:, 1 : k + 1]
    length = np.sum(edges**gamma)
    n = len(X)
    return dim / gamma * (np.log(length) - (dim - gamma) / dim * np.log(n))


@pytest.mark.parametrize("d", [1, 2, 10, 65, 500])
@pytest.mark.parametrize(("k", "gamma"), [(1, 1.0), (5, 1.0), (50, 1.0), (5, 0.5), (5, 2.5)])
def test_parity_with_the_paper(d, k, gamma):
    X = np.random.default_rng(d).normal(size=(80, d))
    for dim in (d, max(1, d - 1)):
        fitted = KNNGraphEntropy(k=k, gamma=gamma, dim=dim, jackknife_blocks=0).fit(X)
        assert fitted.entropy_ == pytest.approx(paper_entropy(X, k, gamma, dim), rel=1e-9)


def test_parity_on_consecutive_iterates_in_float32():
    # A slow walk far from the origin, the paper's own situation: neighbours are much closer than the origin.
    rng = np.random.default_rng(0)
    X = (1.0 + np.cumsum(1e-4 * rng.normal(size=(150, 2000)), axis=0)).astype(np.float32)
    fitted = KNNGraphEntropy(k=10, dim=1999, jackknife_blocks=0).fit(X)
    assert fitted.entropy_ == pytest.approx(paper_entropy(X, 10, 1.0, 1999), rel=1e-9)


def test_near_cancelling_pairs_are_recomputed():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20, 300))
    X[1] = X[0] + 1e-7 * rng.normal(size=300)
    X[3] = X[2]
    exact = explicit_distances(X)
    ours = np.sqrt(squared_distances(X))
    assert ours[0, 1] == pytest.approx(exact[0, 1], rel=1e-12)
    assert ours[2, 3] == 0.0
    np.testing.assert_allclose(ours, exact, rtol=1e-10, atol=0)
    # Negative control: the Gram form alone gets this pair wrong by more than a per cent.
    gram = centred_gram(X)
    assert abs(gram[0, 0] + gram[1, 1] - 2 * gram[0, 1] - exact[0, 1] ** 2) > 1e-2 * exact[0, 1] ** 2


def test_gram_of_a_part_is_centred_on_the_part():
    X = np.random.default_rng(2).normal(size=(30, 90)) + 3.0
    keep = np.r_[0:10, 20:30]
    part = X[keep] - X[keep].mean(axis=0)
    np.testing.assert_allclose(recentred(centred_gram(X), keep), part @ part.T, atol=1e-11)


@pytest.mark.parametrize("d", [2, 80])
@pytest.mark.parametrize("theiler", [0, 3])
def test_kozachenko_leonenko_against_the_sum_written_out(d, theiler):
    n, k = 90, 4
    X = np.random.default_rng(d).normal(size=(n, d))
    r = explicit_distances(X)
    terms = []
    for i in range(n):
        others = [j for j in range(n) if abs(i - j) > theiler]
        terms.append(d * np.log(sorted(r[i, others])[k - 1]) + digamma(len(others) + 1) - digamma(k))
    expected = np.mean(terms) + log_unit_ball_volume(d)
    fitted = KozachenkoLeonenkoEntropy(k=k, theiler=theiler, jackknife_blocks=0).fit(X)
    assert fitted.entropy_ == pytest.approx(expected, rel=1e-9)


def test_unit_ball_volumes():
    assert log_unit_ball_volume(1) == pytest.approx(np.log(2))
    assert log_unit_ball_volume(3) == pytest.approx(np.log(4 * np.pi / 3))
    assert np.isfinite(log_unit_ball_volume(10**6))


def test_theiler_window_removes_the_bias_of_consecutive_snapshots():
    """A correlated Gaussian series of known entropy, averaged over series: one alone is noisier than the bias."""
    n, d, tau = 3000, 3, 50
    rho = np.exp(-1 / tau)
    truth = 1.5 * np.log(2 * np.pi * np.e)
    errors = []
    for seed in range(10):
        noise = np.random.default_rng(seed).normal(size=(n, d)) * np.sqrt(1 - rho**2)
        noise[0] /= np.sqrt(1 - rho**2)
        X = lfilter([1], [1, -rho], noise, axis=0)
        errors.append(
            [
                KozachenkoLeonenkoEntropy(theiler=theiler, jackknife_blocks=0).fit(X).entropy_ - truth
                for theiler in (0, 3 * tau)
            ]
        )
    without, with_window = np.mean(errors, axis=0)
    assert without < -0.4
    assert abs(with_window) < abs(without) / 2


def test_theiler_zero_and_one_agree_on_independent_snapshots():
    X = np.random.default_rng(5).normal(size=(2000, 2))
    a = KozachenkoLeonenkoEntropy(jackknife_blocks=0).fit(X).entropy_
    b = KozachenkoLeonenkoEntropy(theiler=50, jackknife_blocks=0).fit(X).entropy_
    assert a == pytest.approx(b, abs=0.01)


def test_large_gamma_does_not_overflow():
    X = 1e3 * np.random.default_rng(6).normal(size=(60, 3))
    assert np.isfinite(KNNGraphEntropy(k=3, gamma=200.0).fit(X).entropy_)


class TestManyNeighbours:
    KS = (1, 2, 5, 50)

    @pytest.mark.parametrize("d", [3, 300])
    @pytest.mark.parametrize("gamma", [1.0, 2.5])
    def test_each_k_is_the_estimator_s(self, d, gamma):
        X = np.random.default_rng(d).normal(size=(80, d))
        expected = [paper_entropy(X, k, gamma, d - 1) for k in self.KS]
        np.testing.assert_allclose(knn_graph_entropies(X, self.KS, gamma, dim=d - 1), expected, rtol=1e-9)

    @pytest.mark.parametrize("spread", [1.0, 1e-3])
    def test_single_precision(self, spread):
        """Far from the origin and close to each other, where float32 products cancel."""
        rng = np.random.default_rng(0)
        X = (1 + spread * np.cumsum(rng.normal(size=(200, 3000)), axis=0)).astype(np.float32)
        exact = knn_graph_entropies(X, self.KS)
        single = knn_graph_entropies(X, self.KS, precision=np.float32)
        np.testing.assert_allclose(single, exact, rtol=1e-5)
        assert not np.array_equal(single, exact)

    def test_coinciding_neighbours(self):
        assert knn_graph_entropies(np.ones((10, 100)), (1, 2)).tolist() == [-np.inf, -np.inf]
        X = np.repeat(np.random.default_rng(1).normal(size=(5, 100)), 2, axis=0)
        found = knn_graph_entropies(X, (1, 2))
        assert found[0] == -np.inf
        assert np.isfinite(found[1])

    @pytest.mark.parametrize(
        ("ks", "gamma", "match"),
        [
            ((), 1.0, "ks is empty"),
            ((0,), 1.0, "k must be an integer of at least 1"),
            ((5, 10), 1.0, "k=10 needs at least 11 snapshots, got 10"),
            ((1,), -1.0, "gamma must be"),
        ],
    )
    def test_bad_input(self, ks, gamma, match):
        with pytest.raises(ValueError, match=match):
            knn_graph_entropies(np.eye(10), ks, gamma)


class TestDistancesThatCancel:
    """Far from the origin and close to each other in time: products alone would lose the short distances."""

    @pytest.mark.parametrize(("precision", "rtol"), [(np.float64, 1e-9), (np.float32, 3e-4)])
    @pytest.mark.parametrize("n", [12, 200])
    def test_against_differences(self, precision, rtol, n):
        # With 12 rows the few close pairs are recomputed one by one, with 200 by a product of their own.
        X = 1e3 + np.cumsum(1e-2 * np.random.default_rng(n).normal(size=(n, 3000)), axis=0)
        X[5:] += 30.0
        found = squared_distances(X, precision=precision)
        np.testing.assert_allclose(found, cdist(X, X, "sqeuclidean"), rtol=rtol)

    def test_repeats_among_close_rows_are_at_distance_zero(self):
        X = 1e3 + np.cumsum(1e-2 * np.random.default_rng(0).normal(size=(100, 500)), axis=0)
        X[50] = X[49]
        for precision in (np.float64, np.float32):
            sq = squared_distances(X, precision=precision)
            assert sq[49, 50] == sq[50, 49] == 0.0
            assert np.count_nonzero(sq == 0) == len(X) + 2
