"""Observables against direct computation on a model small enough for that."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from mlflow_thermo.fluctuations import FluctuationSums
from mlflow_thermo.observables import (
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

    _, buffer = flatten_parameters(net)

    def gradient(xb, yb, weight):
        buffer.zero_()
        losses, correct = per_sample(xb, yb)
        loss = losses @ weight
        torch.autograd.backward(loss)
        return buffer, torch.stack([loss.detach(), correct.float() @ weight])

    return gradient, x, y


def mean(gradient, x, y):
    """Gradient of the plain mean, with loss and accuracy."""
    found, metrics = gradient(x, y, torch.full((len(x),), 1 / len(x)))
    return found.clone(), metrics


def test_full_batches_have_the_training_size_and_count_each_sample_once(problem):
    _, x, y = problem
    parts = list(full_batches(x, y, 16))
    assert [len(xb) for xb, _, _ in parts] == [16] * 4
    assert float(sum(w.sum() for _, _, w in parts)) == pytest.approx(1.0)
    # The last batch is filled up with samples of weight zero.
    assert (parts[-1][2] > 0).sum() == 2


def test_full_batches_of_data_sorted_by_class_are_mixed():
    """A batch of one class differs from a training batch in its normalisation statistics, and so in its loss."""
    y = torch.arange(10).repeat_interleave(32)
    for _, labels, _ in full_batches(torch.zeros(320, 1), y, 64):
        assert len(torch.unique(labels)) >= 8
    again = [labels for _, labels, _ in full_batches(torch.zeros(320, 1), y, 64)]
    assert all(torch.equal(a, b) for a, (_, b, _) in zip(again, full_batches(torch.zeros(320, 1), y, 64), strict=True))


def test_full_gradient_is_the_gradient_of_the_mean_loss(problem):
    gradient, x, y = problem
    full, metrics = full_gradient(gradient, x, y, 16)
    expected, (loss, accuracy) = mean(gradient, x, y)
    torch.testing.assert_close(full, expected, rtol=1e-5, atol=1e-7)
    assert metrics.tolist() == pytest.approx([float(loss), float(accuracy)], rel=1e-6)
    torch.testing.assert_close(evaluate(lambda *batch: gradient(*batch)[1], x, y, 16), metrics)


class TestGradientNoise:
    def batches(self, problem, n, seed=3):
        _, x, y = problem
        generator = torch.Generator().manual_seed(seed)
        for _ in range(n):
            index = torch.randint(50, (10,), generator=generator)
            yield x[index], y[index]

    def exact(self, problem, full):
        """With replacement the variance of a batch mean is that of a sample over the batch size."""
        gradient, x, y = problem
        singles = torch.stack([mean(gradient, x[i : i + 1], y[i : i + 1])[0] for i in range(len(x))])
        return float((singles - full).square().sum(1).mean() / 10) ** 0.5

    def test_against_the_exact_variance(self, problem):
        gradient, x, y = problem
        full = full_gradient(gradient, x, y, 10)[0]
        noise = gradient_noise(gradient, full, self.batches(problem, 4000))
        exact = self.exact(problem, full)
        assert float(noise.noise_rms) == pytest.approx(exact, rel=0.03)
        assert abs(float(noise.noise_rms) - exact) < 4 * float(noise.noise_rms_stderr)
        assert float(noise.full_norm) == pytest.approx(float(full.norm()))
        assert float(noise.snr) == pytest.approx(float(noise.full_norm / noise.noise_rms))
        assert noise.n_batches == 4000
        # E|g_B|² = |∇L|² + E|g_B − ∇L|², and E|g_B| lies below its root.
        assert float(noise.minibatch_norm) <= math.hypot(noise.full_norm, noise.noise_rms)

    def test_takes_as_many_batches_as_the_precision_needs(self, problem):
        gradient, x, y = problem
        full = full_gradient(gradient, x, y, 10)[0]
        exact = self.exact(problem, full)
        means = []
        for error in (0.06, 0.02):
            z: list[float] = []
            found: list[float] = []
            taken: list[int] = []
            reached: list[float] = []
            for seed in range(40):
                noise = gradient_noise(gradient, full, self.batches(problem, 4000, seed), error=error)
                reached.append(float(noise.minibatch_norm_stderr / noise.minibatch_norm) / error)
                assert float(noise.snr_stderr / noise.snr) == pytest.approx(
                    float(noise.noise_rms_stderr / noise.noise_rms)
                )
                taken.append(noise.n_batches)
                found.append(float(noise.noise_rms))
                z.append(float((noise.noise_rms - exact) / noise.noise_rms_stderr))
            # The reported error is the error made, neither half nor twice, and there is no bias.
            assert 0.6 < float(torch.tensor(z).square().mean().sqrt()) < 1.6
            assert sum(found) / 40 == pytest.approx(exact, rel=3 * error / 40**0.5)
            assert float(torch.tensor(reached).median()) == pytest.approx(1, abs=0.3)
            means.append(sum(taken) / len(taken))
        # A third of the error takes nine times the batches.
        assert 5 < means[1] / means[0] < 15

    def test_stops_at_the_batches_given(self, problem):
        gradient, x, y = problem
        full = full_gradient(gradient, x, y, 10)[0]
        noise = gradient_noise(gradient, full, self.batches(problem, 20), error=1e-6)
        assert noise.n_batches == 12
        assert float(noise.noise_rms_stderr / noise.noise_rms) > 1e-6

    def test_models_side_by_side_wait_for_the_slowest_and_not_for_a_diverged_one(self):
        scale = torch.tensor([[0.0], [0.1], [1.0], [torch.nan]])
        generator = torch.Generator().manual_seed(0)

        def gradient(x, y, weight):
            return 1 + scale * torch.randn(1, 6, generator=generator), torch.zeros(4, 2)

        full = torch.ones(4, 6)
        pairs = iter([(torch.zeros(2), torch.zeros(2))] * 1000)
        noise = gradient_noise(gradient, full, pairs, error=0.02)
        assert 8 <= noise.n_batches < 1000
        assert noise.noise_rms[:3].tolist() == pytest.approx([0, 0.1 * 6**0.5, 6**0.5], rel=0.1)
        assert float(noise.snr[0]) == math.inf
        assert float(noise.snr_stderr[0]) == 0
        assert math.isnan(noise.noise_rms[3])

    def test_no_batch_is_an_error(self, problem):
        with pytest.raises(ValueError, match="too few minibatches"):
            gradient_noise(problem[0], torch.zeros(12), iter(()))


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
    # Two models side by side, the second with the same history twice as large.
    both = FluctuationSums(torch.stack([weights[0], 2 * weights[0]]))
    for w, g in zip(weights, gradients, strict=True):
        both.add(torch.stack([w, 2 * w]), torch.stack([g, 2 * g]))
    first, second = both.rows()
    assert first == pytest.approx(expected, rel=1e-5)
    assert second["wrgg"] == pytest.approx(8 * expected["wrgg"], rel=1e-5)


@pytest.mark.parametrize(("total", "n"), [(1, 5), (10, 3), (11, 1), (12_000, 30), (1_600_000, 193)])
def test_log_points(total, n):
    points = log_points(total, n)
    assert points == sorted(set(points))
    assert points[0] == 0
    assert points[-1] == total
    assert set(range(min(10, total + 1))) <= set(points)
    assert len(points) <= n + 11
