"""Where the burn-in of a ladder starts: a state of the deepest basin, from a ladder that is hot enough to leave any."""

from __future__ import annotations

import torch
from torch import Tensor

from projects.gibbs.energy import Energy
from projects.gibbs.geometry import Geometry
from projects.gibbs.sampler import GibbsSampler


def settled_state(
    energy: Energy,
    geometry: Geometry,
    temperatures: Tensor,
    weights: Tensor,
    *,
    leapfrogs: int,
    draws: int,
    generator: torch.Generator,
) -> Tensor:
    """Weights (d,) of the coldest temperature after `draws` trajectories with replica exchange.

    The hottest temperature should cross between basins by itself: the exchanges then hand the deep ones down. Chains of
    a narrow ladder that all start from this state lie in one basin, and in one of the copies that differ by the order
    of the units. Of the chains that with the lowest mean loss over the last half is taken: one that has not found the
    equilibrium is above it.

    Parameters
    ----------
    geometry : great circles for weights that are anywhere; a chart looks from one side. It is tuned here.
    temperatures : (n_temps,) ascending.
    weights : (n_temps, n_chains, d) to start from, such as random ones.
    """
    sampler = GibbsSampler(energy, geometry, temperatures, weights, leapfrogs=leapfrogs, generator=generator)
    sampler.adapt(draws - draws // 2, windows=2)
    losses = sampler.sample(max(1, draws // 2)).losses[:, 0].mean(dim=0)
    return sampler.state.weights[0, losses.argmin()]
