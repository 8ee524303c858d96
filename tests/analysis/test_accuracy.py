"""Temperatures against exact ones, to the accuracy that careful implementations reach at 1000 snapshots."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import testsystems as ts
from analysis.calibration import calibrate, measure, sample_entropy, table_row
from analysis.entropy import GaussianEntropy, KNNGraphEntropy
from analysis.entropy.select import make_estimator
from analysis.temperature import temperature_curve

N = 1000


def samples_of(system: ts.System, controls, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [system.sample(float(control), N, rng) for control in controls]


@pytest.mark.parametrize(("d", "tolerance"), [(2, 0.06), (10, 0.02), (100, 0.01), (1000, 0.005)])
@pytest.mark.parametrize("estimator", ["knn-graph", "kl", "oas", "ppca"])
def test_shape_preserving_gaussians_at_every_dimension(d, tolerance, estimator):
    controls = np.geomspace(0.1, 1, 9)
    for system in (ts.GibbsQuadratic(np.ones(d)), ts.GibbsQuadratic(np.geomspace(1, 10, d))):
        row = measure(system, controls, samples_of(system, controls, 0), estimator)
        assert row.median_error <= tolerance, table_row(row)


def test_rotated_von_mises_whose_shape_changes_with_temperature():
    controls = np.geomspace(0.1, 1, 9)
    system = ts.VonMisesProduct(np.geomspace(0.2, 20, 100), ts.random_rotation(100, np.random.default_rng(0)))
    row = measure(system, controls, samples_of(system, controls, 0), "gaussian-ml")
    assert row.median_error <= 0.04, table_row(row)
    assert row.worst_error <= 0.10, table_row(row)


def test_von_mises_fisher_in_a_thousand_dimensions():
    system = ts.VonMisesFisher(1000)
    controls = np.geomspace(0.1, 1, 9) / 1000
    row = measure(system, controls, samples_of(system, controls, 0), "oas")
    assert row.worst_error <= 0.01, table_row(row)


def test_bias_of_the_exact_maximum_likelihood():
    system = ts.GibbsQuadratic(np.geomspace(1, 10, 100))
    rng = np.random.default_rng(0)
    estimator = make_estimator("gaussian-ml", dim=100, jackknife_blocks=0)
    error = [
        sample_entropy(system, system.sample(0.3, N, rng), estimator) - float(system.entropy(0.3)[0]) for _ in range(10)
    ]
    assert abs(np.mean(error)) / 100 < 0.003


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_spaced_iterates_of_sgd_give_temperature_and_exponent(momentum):
    d = 20
    system = ts.QuadraticSGD(np.geomspace(0.3, 1, d), noise=np.geomspace(0.3, 1, d), momentum=momentum)
    lr = np.geomspace(0.02, 0.2, 9) * (1 - momentum)
    rng = np.random.default_rng(3)
    loss, entropy = [], []
    for eta in lr:
        spacing = int(np.ceil(3 * system.tau(eta).max()))
        weights = system.simulate(eta, N, rng, spacing=spacing)[0]
        loss.append(system.potential(weights).mean())
        entropy.append(GaussianEntropy("ml", jackknife_blocks=0).fit(weights).entropy_)
    curve = temperature_curve(lr, loss, entropy)
    exact = system.temperature(lr)
    # The inner learning rates have neighbours on both sides.
    assert np.abs(curve.temperature / exact - 1)[1:-1].max() <= 0.05
    exponent = np.polyfit(np.log(lr), np.log(curve.temperature), 1)[0]
    assert abs(exponent - np.polyfit(np.log(lr), np.log(exact), 1)[0]) <= 0.03


def test_consecutive_iterates_give_half_the_temperature():
    d = 100
    system = ts.QuadraticSGD(np.ones(d), noise=1.0)
    lr = np.geomspace(0.02, 0.2, 9)
    weights = system.simulate(lr, N, np.random.default_rng(0))
    entropy = [KNNGraphEntropy(k=50, jackknife_blocks=0).fit(w).entropy_ for w in weights]
    # The loss of the stationary state is exact: what is halved is the entropy's part.
    ratio = temperature_curve(lr, system.loss(lr), entropy).temperature / system.temperature(lr)
    assert 0.4 < np.median(ratio) < 0.65


def test_calibrate_gives_a_row_for_each_estimator_and_system():
    rows = list(calibrate([2], 200, np.random.default_rng(0), n_controls=5, estimators=["oas", "kl"]))
    assert len(rows) == 10
    assert {row.estimator for row in rows} == {"oas", "kl"}
    assert all(len(table_row(row)) == 10 for row in rows)
    assert all(0.5 < row.median_ratio < 1.5 for row in rows)


def test_calibrate_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="unknown estimator 'oracle'"):
        list(calibrate([2], 100, np.random.default_rng(0), estimators=["oracle"]))
    with pytest.raises(ValueError, match="d >= 2"):
        list(calibrate([1], 100, np.random.default_rng(0)))
