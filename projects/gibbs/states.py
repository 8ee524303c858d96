"""What a sampler holds, counts and hands over."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class State:
    """Where all chains are.

    Attributes
    ----------
    weights, gradients : (n_temps, n_chains, d).
    losses : (n_temps, n_chains).
    replicas : (n_temps, n_chains) integers, the temperature at which each state started.
    """

    weights: Tensor
    losses: Tensor
    gradients: Tensor
    replicas: Tensor

    def replace(self, moved: Tensor, other: State) -> State:
        """`other` where `moved` (n_temps, n_chains), this state elsewhere."""
        wide = moved.unsqueeze(-1)
        return State(
            torch.where(wide, other.weights, self.weights),
            torch.where(moved, other.losses, self.losses),
            torch.where(wide, other.gradients, self.gradients),
            torch.where(moved, other.replicas, self.replicas),
        )

    def take(self, source: Tensor) -> State:
        """The state in which each temperature holds what temperature `source` (n_temps, n_chains) held."""
        wide = source.unsqueeze(-1).expand_as(self.weights)
        return State(
            self.weights.gather(0, wide),
            self.losses.gather(0, source),
            self.gradients.gather(0, wide),
            self.replicas.gather(0, source),
        )


@dataclass
class Counts:
    """What happened since the end of the burn-in, summed over chains.

    Attributes
    ----------
    trajectories : trajectories of each chain.
    accepted : (n_temps,) accepted trajectories.
    squared_errors : (n_temps,) sums of the squared errors of H/T, over finite ones.
    tried, swapped : (n_temps − 1,) exchanges between neighbouring temperatures.
    """

    trajectories: int
    accepted: Tensor
    squared_errors: Tensor
    tried: Tensor
    swapped: Tensor


@dataclass(frozen=True)
class Samples:
    """Draws after the burn-in.

    Attributes
    ----------
    weights, gradients : (n_draws, n_temps, n_chains, d).
    losses : (n_draws, n_temps, n_chains).
    """

    weights: Tensor
    gradients: Tensor
    losses: Tensor
