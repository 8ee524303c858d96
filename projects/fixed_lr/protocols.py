"""How one step changes the packed weight vector (shared vocabulary: `mlflow_thermo.schema.PROTOCOLS`)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mlflow_thermo import schema

#: Changes the weights, shape (d,), in place, given the gradient at them.
Update = Callable[[Tensor, Tensor], None]


def project_to_sphere(weights: Tensor) -> None:
    """Rescale the whole vector to norm 1, in place."""
    weights.div_(torch.linalg.vector_norm(weights))


def make_update(protocol: str, lr: float, weight_decay: float) -> Update:
    """One plain-SGD step of a protocol.

    ``sphere``: w ← (w − lr·g)/|w − lr·g|. ``fixed_elr``: w ← w − lr·|w|²·(g + λw), so that the effective
    learning rate lr_eff = lr/|w|² of scale-invariant weights stays fixed. ``fixed_lr``: w ← w − lr·(g + λw).
    """

    def sphere(weights: Tensor, gradient: Tensor) -> None:
        weights.sub_(gradient, alpha=lr)
        project_to_sphere(weights)

    def fixed_elr(weights: Tensor, gradient: Tensor) -> None:
        # The squared norm stays a tensor: reading it would wait for the device at every step.
        step = lr * weights.dot(weights)
        weights.sub_(step * torch.add(gradient, weights, alpha=weight_decay))

    def fixed_lr(weights: Tensor, gradient: Tensor) -> None:
        weights.mul_(1.0 - lr * weight_decay).sub_(gradient, alpha=lr)

    return {schema.SPHERE: sphere, schema.FIXED_ELR: fixed_elr, schema.FIXED_LR: fixed_lr}[protocol]
