"""Parameter counts of the paper, scale invariance, frozen heads, seeds."""

import pytest
import torch
from torch import nn

from mlflow_thermo.errors import ThermoError
from mlflow_thermo.packing import trainable
from projects.fixed_lr.models import MODELS, build_model
from projects.fixed_lr.presets import PRESETS


def build(name, width, channels=3, image_size=32, n_classes=10, **options):
    return build_model(name, width, channels=channels, image_size=image_size, n_classes=n_classes, **options)


def count(model):
    return sum(tensor.numel() for _, tensor in trainable(model))


@pytest.mark.parametrize(
    ("preset", "d"),
    [
        ("up-convnet-cifar10", 24_408),
        ("up-convnet-cifar100", 24_408),
        ("up-resnet-cifar10", 43_692),
        ("up-resnet-cifar100", 43_692),
        ("op-convnet-cifar10", 1_550_016),
        ("op-convnet-cifar100", 3_486_240),
        ("op-resnet-cifar10", 2_790_240),
        ("op-resnet-cifar100", 6_277_392),
    ],
)
def test_table_of_the_paper(preset, d):
    settings = PRESETS[preset]
    n_classes = 100 if settings["dataset"] == "cifar100" else 10
    assert count(build(settings["model"], settings["width"], n_classes=n_classes)) == d


@pytest.mark.parametrize(("width", "d"), [(1, 387), (2, 1530), (16, 96_912)])
def test_digits_networks(width, d):
    assert count(build("convnet", width, channels=1, image_size=8)) == d == 9 * width + 378 * width**2


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("channels", "image_size"), [(1, 8), (3, 32), (2, 5), (1, 1), (4, 17)])
def test_any_image_and_scale_invariant(name, channels, image_size):
    """Multiplying all trained weights by one number must not change the output, or the sphere makes no sense."""
    model = build(name, 3, channels, image_size, n_classes=7).double()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.eps = 1e-14  # the default 1e-5 is the only thing that breaks the invariance
    x = torch.randn(6, channels, image_size, image_size, dtype=torch.float64)
    before = model(x)
    assert before.shape == (6, 7)
    with torch.no_grad():
        for _, tensor in trainable(model):
            tensor.mul_(3.0)
    torch.testing.assert_close(model(x), before, rtol=1e-7, atol=1e-7)


def test_every_convolution_counts():
    """A gradient of zero in a layer would mean that it is not connected."""
    for name in MODELS:
        model = build(name, 4, image_size=16)
        torch.autograd.backward(model(torch.randn(8, 3, 16, 16)).square().sum())
        for label, tensor in trainable(model):
            assert tensor.grad.abs().sum() > 0, label


def test_head_is_frozen_with_its_own_norm_and_seed():
    a, b, c = (build("mlp", 4, head_seed=h, init_seed=i, head_norm=1.5) for h, i in ((0, 0), (0, 1), (1, 0)))
    assert "head.weight" not in dict(trainable(a))
    assert float(a.head.weight.norm()) == pytest.approx(1.5)
    assert torch.equal(a.head.weight, b.head.weight)
    assert not torch.equal(a.head.weight, c.head.weight)
    assert torch.equal(a.layers[0].weight, c.layers[0].weight)
    assert not torch.equal(a.layers[0].weight, b.layers[0].weight)


def test_bad_input():
    with pytest.raises(ThermoError, match=r"model 'vgg' is unknown: choose one of convnet, resnet18, mlp"):
        build("vgg", 2)
    with pytest.raises(ThermoError, match="width must be at least 1, got 0"):
        build("convnet", 0)
