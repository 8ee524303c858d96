"""How one step changes the packed weight vector (shared vocabulary: `mlflow_thermo.schema.PROTOCOLS`)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mlflow_thermo import schema

#: Changes the weights, shape (..., d), in place, given the gradient at them.
Update = Callable[[Tensor, Tensor], None]


def project_to_sphere(weights: Tensor) -> None:
    """Rescale each whole vector of (..., d) to norm 1, in place."""
    weights.div_(torch.linalg.vector_norm(weights, dim=-1, keepdim=True))


def make_update(protocol: str, lr: float | Tensor, weight_decay: float) -> Update:
    """One plain-SGD step of a protocol.

    ``sphere``: w ← (w − lr·g)/|w − lr·g|. ``fixed_elr``: w ← w − lr·|w|²·(g + λw), so that the effective
    learning rate lr_eff = lr/|w|² of scale-invariant weights stays fixed. ``fixed_lr``: w ← w − lr·(g + λw).

    Parameters
    ----------
    lr : one number, or a tensor of shape (n_models, 1) for weights of shape (n_models, d). A tensor is read at
        every step, so that a learning rate can be set to zero on the way.
    """

    def descend(weights: Tensor, gradient: Tensor) -> None:
        if isinstance(lr, Tensor):
            weights.addcmul_(gradient, lr, value=-1.0)
        else:
            weights.sub_(gradient, alpha=lr)

    def sphere(weights: Tensor, gradient: Tensor) -> None:
        descend(weights, gradient)
        project_to_sphere(weights)

    def fixed_elr(weights: Tensor, gradient: Tensor) -> None:
        # The squared norm stays a tensor: reading it would wait for the device at every step.
        step = lr * torch.linalg.vecdot(weights, weights).unsqueeze(-1)
        weights.sub_(step * torch.add(gradient, weights, alpha=weight_decay))

    def fixed_lr(weights: Tensor, gradient: Tensor) -> None:
        weights.mul_(1.0 - lr * weight_decay)
        descend(weights, gradient)

    return {schema.SPHERE: sphere, schema.FIXED_ELR: fixed_elr, schema.FIXED_LR: fixed_lr}[protocol]
