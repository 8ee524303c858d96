"""Temperatures against exact ones, to the accuracy that careful implementations reach at 1000 snapshots."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from analysis import testsystems as ts
from analysis.entropy import GaussianEntropy, KNNGraphEntropy
from analysis.entropy.select import make_estimator
from analysis.temperature import temperature_curve
from analysis.testsystems.accuracy import CalibrationRow, calibrate, measure, median_row, sample_entropy, table_row

N = 1000


@cache
def samples_of(name: str, d: int, seed: int):
    """The system of the accuracy table, its controls and independent snapshots at each."""
    rng = np.random.default_rng(seed)
    case = next(c for c in ts.calibration_systems(d, rng) if c.system.name == name)
    return case.system, case.controls, [case.system.sample(float(control), N, rng) for control in case.controls]


def row_of(name: str, d: int, estimator: str, studies: int = 5) -> CalibrationRow:
    """The row of the accuracy table: medians over studies, since one study's error is a matter of luck."""
    return median_row([measure(*samples_of(name, d, seed), estimator) for seed in range(studies)])


@pytest.mark.parametrize(("d", "tolerance"), [(2, 0.06), (10, 0.02), (100, 0.01)])
@pytest.mark.parametrize("estimator", ["knn-graph", "kl", "oas", "ppca"])
@pytest.mark.parametrize("name", ["isotropic quadratic", "quadratic"])
def test_shape_preserving_gaussians(name, d, tolerance, estimator):
    row = row_of(name, d, estimator)
    assert row.median_error <= tolerance, table_row(row)


@pytest.mark.parametrize("estimator", ["knn-graph", "kl", "oas", pytest.param("ppca", marks=pytest.mark.slow)])
def test_shape_preserving_gaussians_in_a_thousand_dimensions(estimator):
    # Probabilistic PCA there takes seconds for each temperature.
    for name in ("isotropic quadratic", "quadratic"):
        row = row_of(name, 1000, estimator, studies=1)
        assert row.median_error <= 0.005, table_row(row)


def test_rotated_von_mises_whose_shape_changes_with_temperature():
    row = row_of("rotated von Mises product", 100, "gaussian-ml")
    assert row.median_error <= 0.04, table_row(row)
    assert row.worst_error <= 0.10, table_row(row)


def test_whitened_neighbours_keep_their_worst_error():
    # Their median is 4.2 % whatever k is: the shape's change with temperature leaves a bias that whitening cannot see.
    row = row_of("rotated von Mises product", 100, "kl, whitened")
    assert row.worst_error <= 0.10, table_row(row)


@pytest.mark.slow
def test_von_mises_fisher_in_a_thousand_dimensions():
    for seed in range(3):
        row = measure(*samples_of("von Mises-Fisher", 1000, seed), "oas")
        assert row.worst_error <= 0.01, table_row(row)


def test_bias_of_the_exact_maximum_likelihood():
    system = ts.GibbsQuadratic(np.geomspace(1, 10, 100))
    rng = np.random.default_rng(0)
    estimator = make_estimator("gaussian-ml", dim=100, jackknife_blocks=0)
    error = [
        sample_entropy(system, system.sample(0.3, N, rng), estimator) - float(system.entropy(0.3)[0]) for _ in range(10)
    ]
    assert abs(np.mean(error)) / 100 < 0.003


@pytest.mark.slow
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
    assert np.abs(curve.temperature / exact - 1).max() <= 0.05
    exponent = np.polyfit(np.log(lr), np.log(curve.temperature), 1)[0]
    assert abs(exponent - np.polyfit(np.log(lr), np.log(exact), 1)[0]) <= 0.03


@pytest.mark.parametrize("d", [100, 2000])
def test_consecutive_iterates_give_half_the_temperature(d):
    system = ts.QuadraticSGD(np.ones(d), noise=1.0)
    # The slowest of these has 1000 iterates in 20 correlation times.
    lr = np.geomspace(0.002, 0.02, 9)
    weights = system.simulate(lr, N, np.random.default_rng(0))
    entropy = [KNNGraphEntropy(k=50, jackknife_blocks=0).fit(w).entropy_ for w in weights]
    # The loss of the stationary state is exact: what is halved is the entropy's part.
    ratio = temperature_curve(lr, system.loss(lr), entropy).temperature / system.temperature(lr)
    assert 0.48 < np.median(ratio) < 0.55


def test_calibrate_gives_a_row_for_each_estimator_and_system():
    rows = list(calibrate([2], 200, np.random.default_rng(0), studies=2, n_controls=5, estimators=["oas", "kl"]))
    assert len(rows) == 10
    assert {row.estimator for row in rows} == {"oas", "kl"}
    assert {row.studies for row in rows} == {2}
    assert all(len(table_row(row)) == 11 for row in rows)
    assert all(0.5 < row.median_ratio < 1.5 for row in rows)


def test_a_row_of_several_studies_is_their_median():
    one = measure(*samples_of("quadratic", 2, 0), "oas")
    two, three = (measure(*samples_of("quadratic", 2, seed), "oas") for seed in (1, 2))
    row = median_row([one, two, three])
    assert row.studies == 3
    assert row.worst_error == sorted(r.worst_error for r in (one, two, three))[1]
    assert row.system == "quadratic"


def test_calibrate_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="unknown estimator 'oracle'"):
        list(calibrate([2], 100, np.random.default_rng(0), estimators=["oracle"]))
    with pytest.raises(ValueError, match="d >= 2"):
        list(calibrate([1], 100, np.random.default_rng(0)))
