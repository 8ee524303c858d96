"""Replica exchange: states of neighbouring temperatures are swapped, so that the ladder is one equilibrium."""

from __future__ import annotations

import torch
from torch import Tensor


def swap_probability(losses: Tensor, temperatures: Tensor) -> Tensor:
    """min(1, exp((1/T_i − 1/T_j)(L_i − L_j))) for j = i + 1, shape (n_temps − 1, n_chains).

    The ratio of exp(−L_j/T_i − L_i/T_j) to exp(−L_i/T_i − L_j/T_j) (Geyer 1991; Hukushima & Nemoto 1996).

    Parameters
    ----------
    losses : (n_temps, n_chains).
    temperatures : (n_temps,).
    """
    beta = 1 / temperatures
    exponent = (beta[:-1] - beta[1:]).unsqueeze(-1) * (losses[:-1] - losses[1:])
    return exponent.clamp(max=0).exp()


def exchange(losses: Tensor, temperatures: Tensor, parity: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Which temperature's state each temperature takes over, within each chain.

    Parameters
    ----------
    losses : (n_temps, n_chains).
    temperatures : (n_temps,).
    parity : 0 tries the pairs (0, 1), (2, 3), …; 1 the pairs (1, 2), (3, 4), ….

    Returns
    -------
    source : (n_temps, n_chains) integers; row i is to hold what row source[i] holds now.
    swapped : (n_temps − 1, n_chains) booleans, pair by pair.
    """
    probability = swap_probability(losses, temperatures)
    uniform = torch.rand(probability.shape, generator=generator, dtype=losses.dtype).to(losses.device)
    swapped = uniform < probability
    swapped[1 - parity :: 2] = False
    source = torch.arange(len(losses), device=losses.device).unsqueeze(-1).repeat(1, losses.shape[1])
    source[:-1] += swapped.long()
    source[1:] -= swapped.long()
    return source, swapped
