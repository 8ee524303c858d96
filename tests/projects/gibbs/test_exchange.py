"""Swaps between neighbouring temperatures."""

import math

import torch

from projects.gibbs.exchange import exchange, swap_probability

TEMPERATURES = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)


def test_probability():
    losses = torch.tensor([[3.0, 1.0], [1.0, 2.0], [1.5, 2.0]], dtype=torch.float64)
    expected = [[1.0, math.exp((2 - 1) * (1 - 2))], [math.exp((1 - 0.5) * (1 - 1.5)), 1.0]]
    torch.testing.assert_close(swap_probability(losses, TEMPERATURES), torch.tensor(expected, dtype=torch.float64))


def test_pairs_alternate_and_the_order_of_temperatures_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    # The colder state has always the higher loss: every swap that is tried is made.
    losses = torch.tensor([[9.0], [5.0], [1.0]], dtype=torch.float64).repeat(1, 4)
    for parity, expected in ((0, [1, 0, 2]), (1, [0, 2, 1])):
        source, swapped = exchange(losses, TEMPERATURES, parity, generator)
        assert source.T.tolist() == [expected] * 4
        assert swapped[parity].all()
        assert not swapped[1 - parity].any()
    torch.testing.assert_close(swap_probability(losses.flip(0), TEMPERATURES.flip(0)), torch.ones_like(losses[1:]))
