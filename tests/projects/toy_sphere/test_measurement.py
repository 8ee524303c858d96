"""The sphere toy: its constants, gradients, and what SGD does on it at low, critical and high learning rates."""

import warnings
from itertools import pairwise

import numpy as np
import pytest

from analysis.entropy import KozachenkoLeonenkoEntropy
from analysis.temperature import temperature_curve
from analysis.testsystems import SphereToy, ToyLines
from projects.toy_sphere.measurement import run_toy
from projects.toy_sphere.study import small_lr_slope

OP, UP = SphereToy.over_parameterised(), SphereToy.under_parameterised()


@pytest.fixture
def points():
    x = np.random.default_rng(0).normal(size=(50, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("toy", [OP, UP], ids=lambda toy: toy.name)
class TestExactParts:
    def test_gradient_is_that_of_the_loss(self, toy, points):
        step = 1e-6
        moved = [
            [toy.loss(p / np.linalg.norm(p, axis=1, keepdims=True)) for p in (points + step * e, points - step * e)]
            for e in np.eye(3)
        ]
        numeric = np.stack([(plus - minus) / (2 * step) for plus, minus in moved], axis=1)
        np.testing.assert_allclose(toy.gradient(points), numeric, atol=1e-8)
        np.testing.assert_allclose(np.sum(toy.gradient(points) * points, axis=1), 0.0, atol=1e-15)

    def test_norms_are_means_over_the_samples(self, toy, points):
        samples, full = toy.sample_gradients(points), toy.gradient(points)
        noise = np.sqrt(np.mean(np.sum((samples - full[:, None]) ** 2, axis=2), axis=1))
        found = toy.norms(points)
        np.testing.assert_allclose(found[0], np.linalg.norm(full, axis=1))
        np.testing.assert_allclose(found[1], np.linalg.norm(samples, axis=2).mean(axis=1))
        np.testing.assert_allclose(found[2], np.linalg.norm(full, axis=1) / noise)

    def test_the_loss_does_not_tell_a_point_from_its_opposite(self, toy, points):
        np.testing.assert_allclose(toy.loss(-points), toy.loss(points))

    def test_curvatures_are_those_of_the_loss(self, toy):
        h = 1e-4
        circle = np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, np.pi, 720, endpoint=False)])
        tilted = np.column_stack([np.sin(h) * circle, np.full(len(circle), np.cos(h))])
        bend = 2 * (toy.loss(tilted) - toy.least_loss) / h**2
        np.testing.assert_allclose([bend.min(), bend.max()], toy.curvatures, rtol=1e-4)


def test_constants():
    lines = ToyLines()
    assert OP.least_loss == 0
    assert UP.least_loss == pytest.approx(lines.least_loss) == pytest.approx(0.03846, abs=1e-5)
    assert UP.loss_slope == pytest.approx(lines.loss_slope) == pytest.approx(0.037, abs=1e-4)
    assert UP.norms(UP.optimum)[1] == pytest.approx(lines.stochastic_norm) == pytest.approx(0.3846, abs=1e-4)
    assert lines.snr_limit == pytest.approx(0.57735, abs=1e-5)
    assert lines.uniform_entropy == pytest.approx(2.53102, abs=1e-5)
    many = np.random.default_rng(1).normal(size=(200_000, 3))
    for toy in (OP, UP):
        losses = toy.loss(many / np.linalg.norm(many, axis=1, keepdims=True))
        assert losses.mean() == pytest.approx(lines.uniform_loss, abs=5e-3)


def test_the_ratio_near_the_optimum_lies_between_its_bounds():
    angles = np.linspace(0, np.pi, 181)
    for size in (1e-3, 1e-100, 1e-170):
        near = np.stack([size * np.cos(angles), size * np.sin(angles), np.ones_like(angles)], axis=1)
        snr = OP.norms(near)[2]
        bounds = np.tan(np.radians(30)), 1 / np.tan(np.radians(30))
        # Gradients of 1e-170 have squares of zero, and a ratio all the same.
        np.testing.assert_allclose([snr.min(), snr.max()], bounds, rtol=1e-3)


def test_no_gradient_has_no_ratio():
    full, minibatch, snr = OP.norms(OP.optimum)
    assert full == minibatch == 0
    assert np.isnan(snr)


def test_over_parameterised_converges_below_the_critical_learning_rate():
    lr = np.array([1e-3, 2e-3, 0.01, 0.1, 0.5, 0.9, 0.97, 1.05])
    with warnings.catch_warnings():
        # Coordinates that die out, and those that are exactly zero at lr = 0.5, are no reason to warn.
        warnings.simplefilter("error")
        study = run_toy(OP, lr, 50_000, 16, seed=3)
    np.testing.assert_array_equal(study.converged, [1.0] * 7 + [0.0])
    assert study.snr[0] == pytest.approx(0.577, abs=0.02)
    assert study.snr[1] == pytest.approx(0.577, abs=0.02)
    np.testing.assert_array_equal(study.temperature[:7], 0.0)
    assert np.isnan(study.temperature[7])


@pytest.mark.parametrize("lr", [0.3, 1.0, 5.0])
def test_a_step_follows_one_sample_and_returns_to_the_sphere(lr):
    # copied: the state is valid until the next step only.
    states = [(x.copy(), loss.copy()) for x, loss in UP.walk([lr], 5, 20, np.random.default_rng(0))]
    for (x, loss), (after, _) in pairwise(states):
        x, after = x[:, 0].T, after[:, 0].T
        np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1.0)
        moved = x[:, None] - lr * UP.sample_gradients(x)
        moved /= np.linalg.norm(moved, axis=2, keepdims=True)
        drawn = np.argmin(np.linalg.norm(moved - after[:, None], axis=2), axis=1)
        chain = np.arange(5)
        np.testing.assert_allclose(moved[chain, drawn], after, atol=1e-12)
        np.testing.assert_allclose(UP.products(x)[chain, drawn] ** 2, loss[0])


def test_the_critical_learning_rate_turns_the_component_along_the_sample():
    """x ← x − 2s(a − s·x) at lr = 1: near the optimum s = a·x becomes −s, neither smaller nor larger."""
    x = np.array([1e-4, 2e-4, 1.0])
    moved = x - OP.sample_gradients(x)
    np.testing.assert_allclose(np.sum(moved * OP.vectors, axis=1), -OP.products(x), rtol=1e-6)


def measured(lr, steps, chains, snapshots, seed):
    """Losses and entropies of the under-parameterised toy, from more snapshots than a study of 80 lrs has."""
    rng = np.random.default_rng(seed)
    kept = set(np.linspace(steps // 2, steps - 1, snapshots).astype(int).tolist())
    total, points = np.zeros((len(lr), chains)), []
    for step, (x, losses) in enumerate(UP.walk(lr, chains, steps, rng)):
        total += losses * (step >= steps // 2)
        if step in kept:
            points.append(np.moveaxis(x, 0, -1).copy())
    joined = np.concatenate(points, axis=1)
    joined *= rng.choice([-1.0, 1.0], size=(*joined.shape[:2], 1))
    estimator = KozachenkoLeonenkoEntropy(k=4, dim=2, jackknife_blocks=0)
    return total.mean(axis=1) / (steps - steps // 2), np.array([estimator.fit(one).entropy_ for one in joined])


def test_temperature_at_low_learning_rates():
    # 8 × 1024 snapshots, those of one chain at least 1.5 correlation times apart.
    lr = np.geomspace(3e-3, 0.03, 6)
    loss, entropy = measured(lr, 16_000, 1024, 8, seed=0)
    np.testing.assert_allclose(entropy, UP.small_lr_entropy(lr), atol=0.1)
    curve = temperature_curve(lr, loss, entropy)
    np.testing.assert_allclose(curve.temperature[1:-1], UP.temperature(lr[1:-1]), rtol=0.05)


def test_under_parameterised_at_low_learning_rates():
    study = run_toy(UP, np.geomspace(2e-3, 0.03, 7), 24_000, 128, seed=1)
    slope, _ = small_lr_slope(study, 0.03, UP.least_loss)
    assert slope == pytest.approx(0.037, abs=0.003)
    np.testing.assert_allclose(study.minibatch_norm, 0.385, atol=0.005)
    # The full gradient is all fluctuation, |∇L|² = h·2T, and the ratio vanishes with the learning rate.
    assert np.all(np.diff(study.snr) > 0)
    assert study.snr[0] / study.snr[-1] == pytest.approx(np.sqrt(study.lr[0] / study.lr[-1]), rel=0.05)
    np.testing.assert_allclose(study.entropy, UP.small_lr_entropy(study.lr), atol=0.2)


def test_the_same_seed_gives_the_same_study():
    one, two = (run_toy(UP, [0.01, 0.1], 1000, 10, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.loss, two.loss)
    np.testing.assert_array_equal(one.entropy, two.entropy)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: SphereToy([[1.0, 0.0]], "flat"), r"shape \(n, 3\)"),
        (lambda: SphereToy([[1.0, 1.0, 0.0]], "long"), "norm 1"),
        (lambda: run_toy(UP, [0.1], steps=999), "at least 1000 steps"),
        (lambda: run_toy(UP, [0.1], chains=1), "10 chains"),
        (lambda: run_toy(UP, [0.1, -1.0], 1000, 10), "lr"),
        (lambda: small_lr_slope(run_toy(UP, [0.1, 1.0], 1000, 10), 0.03, 0.04), "at least 2"),
    ],
)
def test_bad_input(make, match):
    with pytest.raises(ValueError, match=match):
        make()
