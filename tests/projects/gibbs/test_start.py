"""The state from which a ladder starts."""

import torch

from projects.gibbs import Spheres, settled_state, stacked


def test_the_deeper_basin_is_found_from_the_other():
    """Two wells at opposite poles, of depths 1 and ½; the barrier is ten temperatures high for the coldest."""

    def loss(w):
        return -torch.exp(5 * (w[0] - 1)) - torch.exp(5 * (-w[0] - 1)) / 2

    weights = torch.zeros(4, 5, 3, dtype=torch.float64)
    weights[..., 0] = -1
    weights[..., 1] = 0.1
    state = settled_state(
        stacked(loss),
        Spheres([3]),
        torch.tensor([0.05, 0.1, 0.2, 0.5], dtype=torch.float64),
        weights,
        leapfrogs=5,
        draws=300,
        generator=torch.Generator().manual_seed(0),
    )
    assert state.shape == (3,)
    assert state[0] > 0.8
