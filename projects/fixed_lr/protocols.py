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


def project_to_spheres(weights: Tensor, groups: Tensor) -> None:
    """Rescale each group of weights of each vector of (..., d) to norm 1/sqrt(groups), so that the whole has norm 1.

    Parameters
    ----------
    groups : (d, groups) of `mlflow_thermo.groups_of`.
    """
    scale = torch.rsqrt(weights.square() @ groups * groups.shape[1])
    weights.mul_(scale @ groups.T)


def make_update(protocol: str, lr: float | Tensor, weight_decay: float, groups: Tensor | None = None) -> Update:
    """One plain-SGD step of a protocol.

    ``sphere``: w ← (w − lr·g)/|w − lr·g|. ``spheres``: the same for the weights of each unit, which keep their norm.
    ``fixed_elr``: w ← w − lr·|w|²·(g + λw), so that the effective
    learning rate lr_eff = lr/|w|² of scale-invariant weights stays fixed. ``fixed_lr``: w ← w − lr·(g + λw).

    Parameters
    ----------
    lr : one number, or a tensor of shape (n_models, 1) for weights of shape (n_models, d). A tensor is read at
        every step, so that a learning rate can be set to zero on the way.
    groups : (d, groups), as of `project_to_spheres`; for ``spheres``.
    """

    def descend(weights: Tensor, gradient: Tensor) -> None:
        if isinstance(lr, Tensor):
            weights.addcmul_(gradient, lr, value=-1.0)
        else:
            weights.sub_(gradient, alpha=lr)

    def sphere(weights: Tensor, gradient: Tensor) -> None:
        descend(weights, gradient)
        project_to_sphere(weights)

    def spheres(weights: Tensor, gradient: Tensor) -> None:
        assert groups is not None
        descend(weights, gradient)
        project_to_spheres(weights, groups)

    def fixed_elr(weights: Tensor, gradient: Tensor) -> None:
        # The squared norm stays a tensor: reading it would wait for the device at every step.
        step = lr * torch.linalg.vecdot(weights, weights).unsqueeze(-1)
        weights.sub_(step * torch.add(gradient, weights, alpha=weight_decay))

    def fixed_lr(weights: Tensor, gradient: Tensor) -> None:
        weights.mul_(1.0 - lr * weight_decay)
        descend(weights, gradient)

    updates = {
        schema.SPHERE: sphere,
        schema.SPHERES: spheres,
        schema.FIXED_ELR: fixed_elr,
        schema.FIXED_LR: fixed_lr,
    }
    return updates[protocol]
