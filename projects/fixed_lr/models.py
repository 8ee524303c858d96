"""Networks whose trained weights are all scale-invariant, under a frozen linear head.

Every layer is followed by a batch normalisation without affine parameters and without running statistics: the
output does not change when all trained weights are multiplied by one number, and the loss of a batch means the
same thing in training and in measurement.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlflow_thermo.errors import ThermoError
from projects.fixed_lr.layers import Conv3x3


def _norm2d(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, affine=False, track_running_stats=False)


def _max_pool(x: Tensor, size: int) -> Tensor:
    return functional.max_pool2d(x, size) if size > 1 else x


class ConvNet(nn.Module):
    """Four conv-norm-ReLU stages of c, 2c, 4c, 8c channels, d = 9·channels·c + 378·c² (arXiv 2505.23489).

    Pooled by 2 after the last three stages while there is something to pool, then over what is left.
    """

    def __init__(self, width: int, channels: int, image_size: int, n_classes: int) -> None:
        super().__init__()
        sizes = [channels, width, 2 * width, 4 * width, 8 * width]
        self.convs = nn.ModuleList()
        self.pools = []
        size = image_size
        for stage, (inputs, outputs) in enumerate(pairwise(sizes)):
            self.convs.append(Conv3x3(inputs, outputs, size))
            self.pools.append(2 if stage > 0 and size > 1 else 1)
            size //= self.pools[-1]
        self.last_pool = size
        self.norms = nn.ModuleList(_norm2d(size) for size in sizes[1:])
        self.head = nn.Linear(sizes[-1], n_classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (n, n_classes)."""
        for conv, norm, pool in zip(self.convs, self.norms, self.pools, strict=True):
            # The maximum of the positive parts is the positive part of the maximum, and that is a quarter the work.
            x = functional.relu(_max_pool(norm(conv(x)), pool))
        x = _max_pool(x, self.last_pool)
        return self.head(x.flatten(1))  # type: ignore[no-any-return]


class _PreActivationBlock(nn.Module):
    """norm-ReLU-conv twice; the shortcut is normalised too before it changes shape.

    Without that the shortcut's output would grow with the square of the weights' scale and the network would
    not be scale-invariant.
    """

    def __init__(self, inputs: int, outputs: int, image_size: int, stride: int) -> None:
        super().__init__()
        self.norm1 = _norm2d(inputs)
        self.conv1 = Conv3x3(inputs, outputs, image_size, stride)
        self.norm2 = _norm2d(outputs)
        self.conv2 = Conv3x3(outputs, outputs, self.conv1.output_size)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(_norm2d(inputs), nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(functional.relu(self.norm1(x)))
        out = self.conv2(functional.relu(self.norm2(out)))
        return out + self.shortcut(x)  # type: ignore[no-any-return]


class ResNet18(nn.Module):
    """Pre-activation ResNet-18 of width k, d = 9·channels·k + 2724·k² (arXiv 2505.23489)."""

    def __init__(self, width: int, channels: int, image_size: int, n_classes: int) -> None:
        super().__init__()
        self.stem = Conv3x3(channels, width, image_size)
        blocks: list[nn.Module] = []
        inputs, size = width, image_size
        for stage in range(4):
            outputs = width * 2**stage
            first = _PreActivationBlock(inputs, outputs, size, stride=1 if stage == 0 else 2)
            size = first.conv1.output_size
            blocks += [first, _PreActivationBlock(outputs, outputs, size, stride=1)]
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.norm = _norm2d(inputs)
        self.head = nn.Linear(inputs, n_classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (n, n_classes)."""
        x = functional.relu(self.norm(self.blocks(self.stem(x))))
        return self.head(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


class MLP(nn.Module):
    """Two hidden layers of `width` units, each linear-norm-ReLU; d = pixels·width + width²."""

    def __init__(self, width: int, channels: int, image_size: int, n_classes: int) -> None:
        super().__init__()
        sizes = [channels * image_size**2, width, width]
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(size, affine=False, track_running_stats=False) for size in sizes[1:])
        self.head = nn.Linear(width, n_classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (n, n_classes)."""
        x = x.flatten(1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = functional.relu(norm(layer(x)))
        return self.head(x)  # type: ignore[no-any-return]


class Shallow(nn.Module):
    """One hidden layer of `width` units, linear-norm-tanh; d = pixels·width.

    Smooth, with weights that enter through one layer only: small ones have a single basin over decades of the learning
    rate. The units come first and the batch last, which stacked models compute in half of the time.
    """

    def __init__(self, width: int, channels: int, image_size: int, n_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(channels * image_size**2, width, bias=False)
        self.norm = nn.BatchNorm1d(width, affine=False, track_running_stats=False)
        self.head = nn.Linear(width, n_classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (n, n_classes)."""
        units = self.layer.weight @ x.flatten(1).T
        # The layer `norm`, written out for the batch at the end.
        units = units - units.mean(dim=-1, keepdim=True)
        units = units * torch.rsqrt(units.square().mean(dim=-1, keepdim=True) + self.norm.eps)
        return (self.head.weight @ torch.tanh(units)).T


MODELS: dict[str, Callable[[int, int, int, int], nn.Module]] = {
    "convnet": ConvNet,
    "resnet18": ResNet18,
    "mlp": MLP,
    "shallow": Shallow,
}


def build_model(
    name: str,
    width: int,
    *,
    channels: int,
    image_size: int,
    n_classes: int,
    init_seed: int = 0,
    head_seed: int = 0,
    head_norm: float = 10.0,
) -> nn.Module:
    """A network with its own seeds for the trained weights and for the frozen head.

    Parameters
    ----------
    head_norm : Frobenius norm of the frozen head; the paper takes 10 for cross-entropy and 1.5 for MSE.

    Raises
    ------
    ThermoError
        Unknown name, or a width below 1.
    """
    if name not in MODELS:
        raise ThermoError(f"model {name!r} is unknown: choose one of {', '.join(MODELS)}")
    if width < 1:
        raise ThermoError(f"width must be at least 1, got {width}")
    model = MODELS[name](width, channels, image_size, n_classes)
    generator = torch.Generator().manual_seed(init_seed)
    with torch.no_grad():
        for parameter in model.parameters():
            # He et al. 2015: variance 2/fan_in keeps the signal's size through ReLU layers.
            fan_in = parameter[0].numel()
            parameter.normal_(0.0, (2.0 / fan_in) ** 0.5, generator=generator)
        head = model.get_parameter("head.weight")
        head.normal_(generator=torch.Generator().manual_seed(head_seed))
        head.mul_(head_norm / head.norm())
        head.requires_grad_(False)
    return model
