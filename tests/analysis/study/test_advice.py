"""Advice from curves whose laws are known, and from the default study with each learning rate left out."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.results import (
    OK,
    Estimate,
    EstimatorUsed,
    GradientCourse,
    InsufficientData,
    RunResult,
    Sampling,
    StudyResult,
)
from analysis.study import advise, predicted_loss, steps_needed

ROOT = Path(__file__).parents[3]


def run(lr, loss=None, *, tau=None, regime="stationary", status=OK, error=1e-4, snr=None, seed=0):
    course = None
    if snr is not None:
        steps = np.arange(1, len(snr) + 1)
        flat = np.ones(len(snr))
        course = GradientCourse(steps, flat, flat, flat, np.array(snr), flat, flat)
    return RunResult(
        f"lr{lr:g}-{seed}", lr, seed, status, regime, loss=None if loss is None else Estimate(loss, error),
        sampling=Sampling(n_eff=500.0, tau=tau, spacing=10, last_step=1000), gradients=course,
    )  # fmt: skip


def study(runs):
    return StudyResult(tuple(runs), EstimatorUsed("oas", 10, "", "spaced", 100), "local-quadratic")


LRS = np.geomspace(0.01, 0.16, 9)
LAWS = {
    "a line": lambda lr: 1 + lr,
    "a power": lambda lr: 0.9 + 4 * lr**1.7,
    "steep": lambda lr: 0.5 + 0.001 * np.exp(30 * lr),
    # Rises and flattens: not convex in lr.
    "flattening": lambda lr: 1 + np.tanh(20 * lr),
}


@pytest.mark.parametrize("law", LAWS)
def test_the_loss_at_a_learning_rate_that_was_not_trained(law):
    """It lies within its interval at 9 of 10, and the interval says something."""
    rng = np.random.default_rng(0)
    inside, width = [], []
    for _ in range(20):
        u = LAWS[law](LRS) + 1e-4 * rng.normal(size=len(LRS))
        result = study([run(lr, loss) for lr, loss in zip(LRS, u, strict=True)])
        for lr in np.sqrt(LRS[1:] * LRS[:-1]):
            found = predicted_loss(result, lr)
            inside.append(found.lower <= LAWS[law](lr) <= found.upper)
            width.append((found.upper - found.lower) / (u.max() - u.min()))
    assert np.mean(inside) >= 0.9
    assert np.median(width) < (0.2 if law == "flattening" else 0.1)


def test_no_loss_beyond_the_ends_or_of_two():
    result = study([run(lr, 1 + lr) for lr in LRS])
    for lr in (0.005, 0.2):
        with pytest.raises(InsufficientData, match=f"lr={lr:g} lies outside"):
            predicted_loss(result, lr)
    with pytest.raises(InsufficientData, match="2 stationary"):
        predicted_loss(study([run(0.01, 1.0), run(0.02, 1.0), run(0.04, 1.0, regime="uniform")]), 0.015)
    assert predicted_loss(result, LRS[3]).value == pytest.approx(1 + LRS[3])


def test_the_default_study_with_each_learning_rate_left_out():
    """The committed table of it: the loss lies within its interval."""
    rows = json.loads((ROOT / "benchmarks" / "study.json").read_text())["rows"]
    lrs, u = (np.array([float(row[name]) for row in rows]) for name in ("lr", "U"))
    assert len(lrs) == 9
    hits = 0
    for i in range(1, 8):
        left = [run(lr, loss, error=3e-5) for j, (lr, loss) in enumerate(zip(lrs, u, strict=True)) if j != i]
        found = predicted_loss(study(left), lrs[i])
        hits += found.lower <= u[i] <= found.upper
    assert hits == 7


@pytest.mark.parametrize("exponent", [-1.0, -0.8])
def test_steps_that_a_learning_rate_needs(exponent):
    rng = np.random.default_rng(1)
    tau = 0.3 * LRS**exponent
    inside, ratio = [], []
    for _ in range(40):
        noisy = tau * np.exp(0.1 * rng.normal(size=len(LRS)))
        result = study([run(lr, 1.0, tau=t / 10) for lr, t in zip(LRS, noisy, strict=True)])
        for lr in (0.007, 0.05, 0.2):
            found = steps_needed(result, lr, n_eff=4000, chains=16)
            true = 4000 / 16 * 0.3 * lr**exponent
            inside.append(found.lower <= true <= found.upper)
            ratio.append(found.value / true)
    assert np.mean(inside) >= 0.9
    assert 0.5 < min(ratio) < max(ratio) < 2
    with pytest.raises(InsufficientData, match="2 learning rates"):
        steps_needed(study([run(0.1, tau=1.0), run(0.1, tau=1.1, seed=1), run(0.2, tau=0.5)]), 0.1, 100)


@pytest.mark.parametrize("gone", ["uniform", "diverged"])
def test_limits_and_what_has_equilibrated(gone):
    runs = [run(0.01, 1.0, regime="converging", status="converging"), run(0.02, 1.0), run(0.04, 1.1),
            run(0.08, 1.2, status="not-stationary"), run(0.16, 2.0, regime=gone, status=gone)]  # fmt: skip
    found = advise(study(runs))
    assert (found.largest.lr, found.largest.above, found.largest.why) == (0.08, 0.16, gone)
    assert found.converging_below == 0.01
    assert found.equilibrated == (0.02, 0.04)
    assert found.noise_scale == {}
    assert advise(study(runs[:-1])).largest.above is None
    assert advise(study(runs[:1])).largest is None


def test_the_noise_scale_of_gradients():
    """tr Σ/|∇L|² of single samples: E|g_B − ∇L|² = tr Σ/B."""
    b, scale = 128, 5000.0
    snr = np.full(10, np.sqrt(b / scale))
    runs = [run(0.1, 1.0, snr=snr, seed=0), run(0.1, 1.0, snr=snr * 1.1, seed=1), run(0.2, 1.0)]
    found = advise(study(runs), batch_size=b).noise_scale
    assert list(found) == [0.1]
    assert found[0.1].value == pytest.approx(scale / np.mean([1, 1.21]))
    assert found[0.1].stderr > 0
    assert advise(study([replace(runs[0], gradients=None)]), batch_size=b).noise_scale == {}
