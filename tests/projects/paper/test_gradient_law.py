"""The law of the gradient noise on systems whose gradients are known, and on laws with a known exponent."""

import numpy as np
import pytest

from analysis.results import GradientCourse, InsufficientData
from analysis.testsystems import RegressionSGD
from projects.paper.claims.gradient_law import noise_power_law, snr_at_gradient_norm


def course(full, minibatch, noise=None, *, steps=None):
    full, minibatch = np.asarray(full, dtype=float), np.asarray(minibatch, dtype=float)
    noise = minibatch if noise is None else np.asarray(noise, dtype=float)
    n = len(full)
    return GradientCourse(
        steps=np.arange(100, 100 + n) if steps is None else np.asarray(steps), full_norm=full,
        minibatch_norm=minibatch, minibatch_norm_stderr=np.zeros(n), snr=full / noise, snr_stderr=np.zeros(n),
        train_loss=np.full(n, np.nan),
    )  # fmt: skip


def synthetic(rng, k, n_runs=9, scatter=0.1, drift=0.15):
    """Runs on lines of slope k, each with a prefactor of its own and scatter whose errors go together."""
    out = []
    for _ in range(n_runs):
        x = np.linspace(0, -3, 12) + rng.normal(0, 0.1, 12)
        error = rng.normal(0, scatter, 12) + rng.normal(0, drift) * np.linspace(-0.5, 0.5, 12)
        out.append(course(np.exp(x), np.exp(rng.normal(1, 0.4) + k * x + error)))
    return out


def test_an_exact_law():
    full = np.geomspace(1e-1, 1e-3, 20)
    found = noise_power_law([course(full, 3 * full**0.8), course(full, 5 * full**0.8)])
    assert found.exponent == pytest.approx(0.8)
    assert found.prefactor == pytest.approx(np.sqrt(15))
    assert (found.n_points, found.n_runs) == (40, 2)
    assert found.residual_sd < 1e-10
    assert found.note.startswith("HC3")
    assert noise_power_law([course(full, full**0.8)] * 5).note == "bootstrap over 5 runs"


def test_runs_with_prefactors_of_their_own_do_not_bend_the_law():
    """Larger learning rates end at smaller gradients on lower lines: all points together would lie on another slope."""
    x = np.geomspace(1, 0.1, 12)
    runs = [course(s * x, s**1.0 * (s * x) ** 0.7) for s in (1.0, 0.1, 0.01)]
    assert noise_power_law(runs).exponent == pytest.approx(0.7)


def test_the_interval_covers():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(200):
        found = noise_power_law(synthetic(rng, 0.8))
        inside.append(found.lower <= 0.8 <= found.upper)
    assert 0.9 <= np.mean(inside) <= 0.99


def regression(noise, steps=4000, d=5, n=400, batch=8, seed=0):
    """SGD on linear regression from one start: norms of the full and the minibatch gradient, by direct computation."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    y = x @ np.ones(d) + noise * rng.standard_normal(n)
    w, lr = np.zeros(d), 0.02
    points, full, minibatch = np.unique(np.geomspace(10, steps, 40).astype(int)), [], []
    for step in range(1, steps + 1):
        if step in points:
            gradients = x * (x @ w - y)[:, None]
            drawn = rng.integers(n, size=(300, batch))
            full.append(np.linalg.norm(gradients.mean(axis=0)))
            minibatch.append(np.linalg.norm(gradients[drawn].mean(axis=1), axis=1).mean())
        at = rng.integers(n, size=batch)
        w -= lr * (x[at] * (x[at] @ w - y[at])[:, None]).mean(axis=0)
    return course(full, minibatch, steps=points)


def test_interpolating_regression_has_exponent_one():
    found = noise_power_law([regression(0.0, steps=400, seed=s) for s in range(5)], last=40)
    assert found.exponent == pytest.approx(1.0, abs=0.05)


def test_noisy_regression_has_exponent_zero():
    found = noise_power_law([regression(1.0, seed=s) for s in range(5)])
    assert abs(found.exponent) < 0.15
    assert found.lower < 0.1


def gradients(system, iterates):
    """|∇L| and the exact rms of the minibatch noise of `RegressionSGD` at iterates (n, d).

    For Gaussian inputs (Isserlis) B·E|g_B − ∇L|² = (eᵀHe + s²)·tr H + |He|².
    """
    h, b = system.curvatures, system.batch_size
    full = np.sqrt((iterates**2) @ h**2)
    return full, np.sqrt((((iterates**2) @ h + system.label_std**2) * h.sum() + full**2) / b)


def exact_courses(system, start=None, n=40, spacing=5, n_runs=6):
    """Courses with E|g_B| by its rms, which is in proportion where the exponent is asked for."""
    iterates = system.simulate(np.full(n_runs, 0.05), n, np.random.default_rng(2), spacing=spacing, start=start)
    pairs = [gradients(system, run) for run in iterates]
    return [course(full, np.hypot(full, rms), rms) for full, rms in pairs]


def test_exact_gradients_of_the_interpolating_system_have_exponent_one():
    """With equal curvatures noise and signal are in proportion at every point: SNR² = B/(d + 1)."""
    runs = exact_courses(RegressionSGD(np.ones(5), 0.0, 8), np.ones(5))
    found = noise_power_law(runs)
    assert found.exponent == pytest.approx(1.0, abs=1e-9)
    assert found.prefactor == pytest.approx(np.sqrt(1 + 6 / 8))


def test_exact_gradients_of_the_noisy_system_have_exponent_zero_and_its_constant_noise():
    system = RegressionSGD(np.ones(5), 1.0, 8)
    runs = exact_courses(system)
    assert abs(noise_power_law(runs).exponent) < 0.1
    # The same |∇L| far below: SNR -> |∇L| / sqrt(s² tr H / B).
    found = snr_at_gradient_norm(runs, 1e-4)
    assert found.extrapolated
    assert found.snr == pytest.approx(1e-4 / np.sqrt(5 / 8), rel=0.05)


def test_only_the_end_counts():
    full = np.geomspace(1, 1e-4, 40)
    steps = np.geomspace(1, 10_000, 40).astype(int)
    minibatch = np.where(steps < 1000, 1.0, full**0.5)
    assert noise_power_law([course(full, minibatch, steps=np.arange(1, 41) ** 2)], last=1e4).exponent < 0.5
    assert noise_power_law([course(full, minibatch, steps=steps)], last=10.0).exponent == pytest.approx(0.5)


def test_what_is_missing_or_zero_is_left_out():
    full = np.geomspace(1e-1, 1e-3, 20)
    broken = course(np.append(full, [0.0, np.nan]), np.append(full**0.5, [0.0, 1.0]), np.ones(22))
    assert noise_power_law([broken]).n_points == 20


def test_too_little_to_fit():
    with pytest.raises(InsufficientData, match="3 log points"):
        noise_power_law([course([1, 0.1, 0.01], [1, 1, 1])])
    with pytest.raises(InsufficientData, match="factor"):
        noise_power_law([course(np.linspace(1, 1.1, 20), np.ones(20))])


def test_snr_of_a_constant_noise():
    full = np.geomspace(1.0, 0.1, 30)
    runs = [course(full, np.full(30, 2.0), np.full(30, 2.0))]
    inside = snr_at_gradient_norm(runs, 0.5)
    assert inside.snr == pytest.approx(0.25)
    assert not inside.extrapolated
    below = snr_at_gradient_norm(runs, 1e-3)
    assert below.snr == pytest.approx(5e-4)
    assert below.extrapolated
    assert snr_at_gradient_norm(runs, 50.0).extrapolated
    with pytest.raises(ValueError, match="norm must be") as caught:
        snr_at_gradient_norm(runs, 0.0)
    # A wrong parameter is no lack of data.
    assert not isinstance(caught.value, InsufficientData)
    with pytest.raises(InsufficientData, match="no log points"):
        snr_at_gradient_norm([], 1.0)
    # An SNR that nobody logged, or one of zero, says nothing of the noise.
    for noise in (np.nan, np.inf):
        with pytest.raises(InsufficientData, match="no log points"):
            snr_at_gradient_norm([course(full, full, np.full(30, noise))], 1.0)
