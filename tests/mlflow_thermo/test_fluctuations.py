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


class TestErrors:
    """Of the ratio of models that are SGD chains on a quadratic, in flat space, where 2⟨w·g⟩ = lr·⟨|g|²⟩."""

    MODELS, CHAINS, LR = 60, 8, 0.1

    def windows(self, steps=400):
        generator = torch.Generator().manual_seed(1)
        shape = (self.MODELS, self.CHAINS, 3)
        stiffness = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
        weights = torch.randn(shape, generator=generator, dtype=torch.float64) * 0.3
        sums = FluctuationSums(weights[:, 0]).branched(self.CHAINS)
        begun = sums
        for step in range(steps + 300):
            if step == 300:
                begun = sums.as_of_now()
            gradient = stiffness * weights + torch.randn(shape, generator=generator, dtype=torch.float64)
            sums.add(weights, gradient, self.LR)
            weights = weights - self.LR * gradient
        return sums, begun

    def test_they_are_the_scatter_of_the_ratio(self):
        sums, begun = self.windows()
        now, before = sums.rows(), begun.rows()
        ratios = torch.tensor(
            [2 * (a["wg"] - b["wg"]) / self.LR / (a["gg"] - b["gg"]) for a, b in zip(now, before, strict=True)]
        )
        errors = sums.ratio_errors(begun, self.LR)
        assert errors.shape == (self.MODELS,)
        # Sixty models know their scatter to 9 %, eight chains of each their error.
        assert float(errors.square().mean().sqrt()) == pytest.approx(float(ratios.std()), rel=0.3)
        assert abs(float(ratios.mean()) - 1) < 4 * float(ratios.std()) / self.MODELS**0.5
        # A learning rate that is not that of the updates shows itself.
        assert float(sums.ratio_errors(begun, 2 * self.LR).max()) < 0.25

    def test_without_chains_none_is_known(self):
        weights = torch.eye(3, dtype=torch.float64)
        for one in (weights, weights[0]):
            sums = FluctuationSums(one)
            begun = sums.as_of_now()
            sums.add(one, torch.ones_like(one))
            assert sums.ratio_errors(begun, 0.1).isnan().all()
