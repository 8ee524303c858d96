"""The loss whose Gibbs states are sampled, for many weight vectors at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor
from torch.func import grad_and_value, vmap


class Energy(Protocol):
    """Loss L of `m` weight vectors; what confines the weights (weight decay) is part of it."""

    def __call__(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (m,) and gradients (m, d) at weights (m, d)."""
        ...


def stacked(loss: Callable[[Tensor], Tensor]) -> Energy:
    """The energy of a loss that is written for one weight vector: (d,) to a number."""
    batched = vmap(grad_and_value(loss))

    def energy(weights: Tensor) -> tuple[Tensor, Tensor]:
        gradients, losses = batched(weights)
        return losses, gradients

    return energy


def evaluate(energy: Energy, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Losses (...) and gradients (..., d) at weights (..., d)."""
    losses, gradients = energy(weights.reshape(-1, weights.shape[-1]))
    return losses.reshape(weights.shape[:-1]), gradients.reshape(weights.shape)
