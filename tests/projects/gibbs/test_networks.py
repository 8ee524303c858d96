"""The networks' written-out gradients, and the temperature of a network that has one."""

import pytest
import torch
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional

from projects.fixed_lr import load_dataset
from projects.fixed_lr.models import build_model
from projects.gibbs import (
    Blocks,
    FlatSpace,
    GibbsSampler,
    ScaleInvariantMLP,
    smooth_network,
    stacked,
    virial_temperature,
)


def test_smooth_gradient():
    network = smooth_network(samples=20)
    weights = torch.randn(3, network.d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    losses, gradients = network(weights)
    units = len(network.head)

    def loss(w):
        hidden = torch.tanh(network.x @ w[:-units].view(units, -1).T + w[-units:])
        return (hidden @ network.head - network.y).square().mean() / 2 + network.weight_decay / 2 * w.square().sum()

    expected = stacked(loss)(weights)
    torch.testing.assert_close((losses, gradients), expected)


def test_the_smooth_network_is_seeded():
    first, second, other = smooth_network(), smooth_network(), smooth_network(seed=1)
    assert torch.equal(first.y, second.y)
    assert not torch.equal(first.y, other.y)


def scale_invariant(images):
    model = build_model("mlp", 3, channels=1, image_size=8, n_classes=10).double()
    x, y = load_dataset("digits").x_train[:images].double(), load_dataset("digits").y_train[:images]
    head = model.get_parameter("head.weight").detach()
    return model, x, y, ScaleInvariantMLP(x.flatten(1), y, head, (3, 3))


def test_scale_invariant_loss_is_that_of_the_trained_model():
    model, x, y, energy = scale_invariant(60)
    assert energy.d == 64 * 3 + 9
    weights = torch.randn(3, energy.d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def loss(w):
        parts = {"layers.0.weight": w[:192].view(3, 64), "layers.1.weight": w[192:].view(3, 3)}
        return functional.cross_entropy(functional_call(model, parts, (x,)), y)

    gradients, losses = vmap(grad_and_value(loss))(weights)
    torch.testing.assert_close(energy(weights), (losses, gradients))
    blocks = Blocks(energy.block_sizes)
    # The normalisation's ε is all that knows about the norm.
    torch.testing.assert_close(energy(2 * weights)[0], losses, rtol=1e-4, atol=0)
    assert (blocks.sum(weights * gradients).abs() < 1e-4).all()


def test_the_temperature_of_the_smooth_network():
    """A heat capacity of d/2 at low T, and the virial ⟨(w − w̄)·∇L⟩ = dT at any T."""
    network = smooth_network()
    temperatures = torch.tensor([1e-5, 1e-3], dtype=torch.float64)
    weights = network.teacher.expand(2, 40, -1).clone()
    generator = torch.Generator().manual_seed(0)
    sampler = GibbsSampler(network, FlatSpace(), temperatures, weights, leapfrogs=6, generator=generator)
    sampler.adapt(300)
    samples = sampler.sample(200)
    virial, error = virial_temperature(samples)
    assert ((virial - temperatures).abs() < 4 * error).all()
    assert (error < 0.02 * temperatures).all()
    # The heat capacity, from the fluctuations of the loss.
    heat = samples.losses.var(dim=(0, 2)) / temperatures.square()
    assert heat[0] == pytest.approx(network.d / 2, rel=0.1)
