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
    scale_invariant,
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


@pytest.mark.parametrize(
    ("name", "widths", "activation", "layers"),
    [("mlp", (3, 3), "relu", ["layers.0.weight", "layers.1.weight"]), ("shallow", (5,), "tanh", ["layer.weight"])],
)
def test_scale_invariant_loss_is_that_of_the_trained_model(name, widths, activation, layers):
    model = build_model(name, widths[0], channels=1, image_size=8, n_classes=10).double()
    x, y = load_dataset("digits").x_train[:60].double(), load_dataset("digits").y_train[:60]
    energy = ScaleInvariantMLP(x.flatten(1), y, model.get_parameter("head.weight").detach(), widths, activation)
    assert energy.d == sum(model.get_parameter(layer).numel() for layer in layers)
    weights = torch.randn(3, energy.d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def loss(w):
        parts = torch.split(w, [units * inputs for units, inputs in energy.shapes])
        named = {layer: p.view(shape) for layer, p, shape in zip(layers, parts, energy.shapes, strict=True)}
        return functional.cross_entropy(functional_call(model, named, (x,)), y)

    gradients, losses = vmap(grad_and_value(loss))(weights)
    found = energy(weights)
    torch.testing.assert_close(found, (losses, gradients))
    blocks = Blocks(energy.block_sizes)
    # The normalisation's ε is all that knows about the norm.
    torch.testing.assert_close(energy(2 * weights)[0], losses, rtol=1e-4, atol=0)
    assert (blocks.sum(weights * gradients).abs() < 1e-4).all()


def test_many_models_are_few_at_a_time(monkeypatch):
    monkeypatch.setattr(scale_invariant, "CACHED", 2 * 20 * 5)
    generator = torch.Generator().manual_seed(0)
    x, head, weights = (torch.randn(*shape, generator=generator) for shape in ((20, 3), (5, 4), (7, 12)))
    y = torch.arange(20) % 5
    losses, gradients = ScaleInvariantMLP(x, y, head, (4,))(weights)
    for i, one in enumerate(weights):
        torch.testing.assert_close(
            (losses[i : i + 1], gradients[i : i + 1]), ScaleInvariantMLP(x, y, head, (4,))(one[None])
        )


def test_an_unknown_activation():
    with pytest.raises(ValueError, match="activation must be relu or tanh, got 'gelu'"):
        ScaleInvariantMLP(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long), torch.zeros(2, 4), (4,), "gelu")


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
