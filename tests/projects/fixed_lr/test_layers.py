"""The dense form of a small convolution is the convolution."""

import pytest
import torch
from torch.nn import functional

from projects.fixed_lr.layers import Conv3x3


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("size", "outputs", "dense"),
    [(1, 5, True), (2, 900, True), (3, 5, True), (7, 5, True), (8, 5, True), (8, 33, False), (32, 5, False)],
)
def test_is_a_convolution(size, outputs, dense, stride):
    generator = torch.Generator().manual_seed(size)
    layer = Conv3x3(2, outputs, size, stride).double()
    layer.weight.data.normal_(generator=generator)
    x = torch.randn(3, 2, size, size, generator=generator, dtype=torch.float64, requires_grad=True)
    expected = functional.conv2d(x, layer.weight, stride=stride, padding=1)
    found = layer(x)
    assert (layer.taps is not None) == dense or stride == 2
    assert found.shape[-1] == layer.output_size
    torch.testing.assert_close(found, expected)
    up = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    for a, b in zip(
        torch.autograd.grad(found, [x, layer.weight], up),
        torch.autograd.grad(expected, [x, layer.weight], up),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_the_taps_are_no_weights():
    assert list(Conv3x3(1, 1, 8).state_dict()) == ["weight"]
