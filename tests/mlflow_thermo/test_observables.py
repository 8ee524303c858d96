"""Observables against direct computation on a model small enough for that."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from mlflow_thermo.observables import (
    FluctuationSums,
    GradientNoise,
    evaluate,
    full_batches,
    full_gradient,
    gradient_noise,
    log_points,
)
from mlflow_thermo.packing import flatten_parameters


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(50, 4, generator=generator)
    y = torch.randint(3, (50,), generator=generator)
    torch.manual_seed(0)
    net = nn.Linear(4, 3, bias=False)

    def per_sample(xb, yb):
        logits = net(xb)
        return functional.cross_entropy(logits, yb, reduction="none"), logits.argmax(1) == yb

    weights, gradient = flatten_parameters(net)
    return per_sample, weights, gradient, x, y


def test_full_batches_have_the_training_size_and_count_each_sample_once(problem):
    *_, x, y = problem
    parts = list(full_batches(x, y, 16))
    assert [len(xb) for xb, _, _ in parts] == [16] * 4
    assert float(sum(w.sum() for _, _, w in parts)) == pytest.approx(1.0)
    # The last batch is filled up with samples of weight zero.
    assert (parts[-1][2] > 0).sum() == 2


def test_full_gradient_is_the_gradient_of_the_mean_loss(problem):
    per_sample, _, gradient, x, y = problem
    full, (loss, accuracy) = full_gradient(per_sample, gradient, x, y, 16)
    gradient.zero_()
    losses, correct = per_sample(x, y)
    torch.autograd.backward(losses.mean())
    torch.testing.assert_close(full, gradient, rtol=1e-5, atol=1e-7)
    assert float(loss) == pytest.approx(float(losses.mean().detach()), rel=1e-6)
    assert float(accuracy) == pytest.approx(float(correct.float().mean()), rel=1e-6)
    torch.testing.assert_close(evaluate(per_sample, x, y, 16), torch.stack([loss, accuracy]))


def test_gradient_noise_against_the_exact_variance(problem):
    per_sample, _, gradient, x, y = problem
    full = full_gradient(per_sample, gradient, x, y, 10)[0]
    singles = []
    for i in range(len(x)):
        gradient.zero_()
        torch.autograd.backward(per_sample(x[i : i + 1], y[i : i + 1])[0].mean())
        singles.append(gradient.clone())
    # With replacement the variance of a batch mean is that of a sample over the batch size.
    exact = float((torch.stack(singles) - full).square().sum(1).mean() / 10) ** 0.5
    generator = torch.Generator().manual_seed(3)

    def batches(n):
        for _ in range(n):
            index = torch.randint(50, (10,), generator=generator)
            yield x[index], y[index]

    noise = gradient_noise(per_sample, gradient, full, batches(4000))
    assert noise.noise_rms == pytest.approx(exact, rel=0.03)
    assert noise.full_norm == pytest.approx(float(full.norm()))
    assert noise.snr == pytest.approx(noise.full_norm / noise.noise_rms)
    assert noise.n_batches == 4000
    # E|g_B|² = |∇L|² + E|g_B − ∇L|², and E|g_B| lies below its root.
    assert noise.minibatch_norm <= math.hypot(noise.full_norm, noise.noise_rms)
    assert float(gradient.abs().sum()) == 0


def test_no_noise_is_infinite_signal_to_noise():
    assert GradientNoise(1.0, 0.0, 1.0, 5).snr == math.inf


def test_fluctuation_sums_against_loops():
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(7, generator=generator) for _ in range(5)]
    gradients = [torch.randn(7, generator=generator) for _ in range(5)]
    sums = FluctuationSums(weights[0])
    for w, g in zip(weights, gradients, strict=True):
        sums.add(w, g)
    r = weights[0] / weights[0].norm()
    expected = {
        "steps": 5.0,
        "wg": sum(float(w @ g) for w, g in zip(weights, gradients, strict=True)),
        "gg": sum(float(g @ g) for g in gradients),
        "gr": sum(float(g @ r) for g in gradients),
        "wr": sum(float(w @ r) for w in weights),
        "wrgg": sum(float(w @ r) * float(g @ g) for w, g in zip(weights, gradients, strict=True)),
    }
    assert sums.values() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("total", "n"), [(1, 5), (10, 3), (11, 1), (12_000, 30), (1_600_000, 193)])
def test_log_points(total, n):
    points = log_points(total, n)
    assert points == sorted(set(points))
    assert points[0] == 0
    assert points[-1] == total
    assert set(range(min(10, total + 1))) <= set(points)
    assert len(points) <= n + 11
