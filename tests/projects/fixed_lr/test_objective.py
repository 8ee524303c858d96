"""Losses and batches."""

from itertools import islice

import pytest
import torch

from projects.fixed_lr.data import load_dataset
from projects.fixed_lr.objective import batches, sample_losses, weighted


@pytest.mark.parametrize("n_classes", [2, 10, 100])
def test_mse_is_the_mean_over_classes_of_the_squared_error(n_classes):
    logits = torch.randn(5, n_classes)
    y = torch.tensor([0, 1, 0, n_classes - 1, 1])
    losses, correct = sample_losses(logits, y, "mse")
    for i in range(5):
        expected = sum((float(logits[i, c]) - float(c == y[i])) ** 2 for c in range(n_classes)) / n_classes
        assert float(losses[i]) == pytest.approx(expected, rel=1e-5)
        assert bool(correct[i]) == (int(logits[i].argmax()) == int(y[i]))


def test_cross_entropy():
    logits = torch.tensor([[0.0, 0.0], [100.0, 0.0]])
    losses, correct = sample_losses(logits, torch.tensor([1, 0]), "cross-entropy")
    torch.testing.assert_close(losses, torch.tensor([2.0, 1.0]).log())
    assert correct.tolist() == [False, True]
    loss, accuracy = weighted(losses, correct, torch.tensor([0.25, 0.5]))
    assert (float(loss), float(accuracy)) == pytest.approx((0.25 * losses[0].item() + 0.5 * losses[1].item(), 0.5))


def sample(sampling, n_batches, seed=0):
    data = load_dataset("digits")
    # Each image's own number as its label shows which were drawn.
    from dataclasses import replace

    data = replace(data, y_train=torch.arange(len(data.y_train)))
    generator = torch.Generator().manual_seed(seed)
    return [y for _, y in islice(batches(data, 128, sampling, generator), n_batches)]


def test_epochs_show_every_image_once_before_any_twice():
    drawn = torch.cat(sample("epochs", 24))
    first = drawn[:1500]
    assert sorted(first.tolist()) == list(range(1500))
    assert sorted(drawn[1500:3000].tolist()) == list(range(1500))
    assert not torch.equal(first, drawn[1500:3000])


def test_iid_draws_with_replacement():
    drawn = torch.cat(sample("iid", 12))[:1500]
    # Of 1500 draws from 1500 a fraction 1 − 1/e differ.
    assert len(torch.unique(drawn)) / 1500 == pytest.approx(0.632, abs=0.04)
    assert torch.equal(torch.cat(sample("iid", 3)), torch.cat(sample("iid", 3)))
    assert not torch.equal(torch.cat(sample("iid", 3)), torch.cat(sample("iid", 3, seed=1)))


@pytest.mark.parametrize("sampling", ["iid", "epochs"])
def test_every_device_sees_the_same_batches(sampling):
    """The draws are made on the processor: a device only looks up what was drawn."""
    data = load_dataset("digits")
    there, here = (torch.Generator().manual_seed(5) for _ in range(2))
    elsewhere = batches(data.to(torch.device("meta")), 128, sampling, there)
    for (x, y), (x_here, y_here) in islice(zip(elsewhere, batches(data, 128, sampling, here), strict=False), 13):
        assert (x.device.type, y.device.type) == ("meta", "meta")
        assert (x.shape, y.shape) == (x_here.shape, y_here.shape)
        assert torch.equal(there.get_state(), here.get_state())
