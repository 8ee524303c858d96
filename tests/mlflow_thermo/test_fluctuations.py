"""The relation on spheres is exact: what the sums say about a direction is how far the weights have moved along it."""

import pytest
import torch

from mlflow_thermo import FluctuationSums, groups_of


@pytest.mark.parametrize("spheres", [(6,), (2, 1, 3)])
@pytest.mark.parametrize("lr", [0.01, 3.0])
def test_sums_on_spheres_telescope(spheres, lr):
    generator = torch.Generator().manual_seed(0)
    rates = lr * torch.tensor([[1.0], [0.5]], dtype=torch.float64)
    groups = groups_of(spheres, rates)
    weights = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    start = weights.clone()
    direction = start / start.norm(dim=-1, keepdim=True)
    sums = FluctuationSums(start, spheres)
    for _ in range(30):
        gradient = torch.randn(2, 6, generator=generator, dtype=torch.float64)
        sizes = weights.square() @ groups
        gradient = gradient - weights * (((gradient * weights) @ groups) / sizes @ groups.T)
        sums.add(weights, gradient, rates)
        weights = weights - rates * gradient
        weights = weights * ((sizes / (weights.square() @ groups)).sqrt() @ groups.T)
    for row, rate, end, begin, r in zip(sums.rows(), rates, weights, start, direction, strict=True):
        eta = float(rate)
        moved = -eta * row["gr"] - eta**2 / 2 * row["wrgg"]
        assert moved == pytest.approx(float((end - begin) @ r), abs=1e-9)


def test_branched_and_kept():
    weights = torch.eye(3, dtype=torch.float64)
    sums = FluctuationSums(weights)
    sums.add(weights, torch.ones(3, 3, dtype=torch.float64))
    parted = sums.branched(4)
    chains = weights.unsqueeze(1).expand(3, 4, 3)
    parted.add(chains, torch.ones(3, 4, 3, dtype=torch.float64))
    # One step of one chain, and one of four.
    assert [row["steps"] for row in parted.rows()] == [5.0] * 3
    assert [row["gg"] for row in parted.rows()] == [15.0] * 3
    parted.keep([2])
    parted.add(chains[2:], torch.ones(1, 4, 3, dtype=torch.float64))
    assert [row["steps"] for row in parted.rows()] == [9.0]
    assert [row["steps"] for row in sums.rows()] == [1.0] * 3
