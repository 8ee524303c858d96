"""A smooth network whose Gibbs states are near one optimum: data, loss with weight decay, and where to start."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

INPUTS, UNITS = 4, 3


@dataclass(frozen=True)
class SmoothNetwork:
    """Regression by f(x) = Σ_j v_j·tanh(a_j·x + b_j) with a and b trained and v frozen: d = 15 weights.

    The energy is L = mean of ½(f(x) − y)² + λ/2·|w|²; the decay confines the weights and is part of L. With a trained
    head every unit could change its sign together with its output weight, and units could change places: two to the
    number of units times its factorial equal optima. Frozen output weights of one sign and different sizes leave one.

    Attributes
    ----------
    x : (n, inputs).
    y : (n,) targets.
    head : (units,) v.
    weight_decay : λ.
    teacher : (d,) the weights behind the targets, a place to start from.
    """

    x: Tensor
    y: Tensor
    head: Tensor
    weight_decay: float
    teacher: Tensor

    @property
    def d(self) -> int:
        """Number of weights."""
        return len(self.teacher)

    def outputs(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """f at all inputs, (m, n), and the hidden activities, (m, units, n), of weights (m, d)."""
        units, inputs = len(self.head), self.x.shape[1]
        slopes = weights[:, :-units].reshape(-1, units, inputs)
        hidden = torch.tanh(slopes @ self.x.T + weights[:, -units:].unsqueeze(-1))
        return self.head @ hidden, hidden

    def __call__(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """L (m,) and its gradient (m, d) at weights (m, d)."""
        outputs, hidden = self.outputs(weights)
        residual = outputs - self.y
        losses = residual.square().mean(dim=-1) / 2 + self.weight_decay / 2 * weights.square().sum(dim=-1)
        slope = self.head.unsqueeze(-1) * residual.unsqueeze(1) * (1 - hidden.square()) / len(self.y)
        gradients = torch.cat([(slope @ self.x).flatten(1), slope.sum(dim=-1)], dim=1)
        return losses, gradients + self.weight_decay * weights


def smooth_network(
    *,
    samples: int = 300,
    noise: float = 0.1,
    weight_decay: float = 1e-3,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> SmoothNetwork:
    """The task: targets of a teacher of the same form, with noise, on Gaussian inputs.

    The teacher's units look along orthogonal directions and their output weights are 1 to 1.6, so that the task needs
    every unit: the loss is higher by about 0.2 or more without any one of them.

    Parameters
    ----------
    samples : number of inputs.
    noise : standard deviation of the targets' noise.
    weight_decay : λ.
    seed : of inputs, directions and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    slopes = 1.5 * torch.linalg.qr(torch.randn(INPUTS, UNITS, generator=generator, dtype=dtype))[0].T
    offsets = torch.linspace(-0.3, 0.3, UNITS, dtype=dtype)
    head = 1.6 ** torch.arange(UNITS, dtype=dtype)
    teacher = torch.cat([slopes.flatten(), offsets])
    x = torch.randn(samples, INPUTS, generator=generator, dtype=dtype)
    blank = SmoothNetwork(x, x.new_zeros(samples), head, weight_decay, teacher)
    y = blank.outputs(teacher.unsqueeze(0))[0].squeeze(0)
    y = y + noise * torch.randn(samples, generator=generator, dtype=dtype)
    return SmoothNetwork(x, y, head, weight_decay, teacher)
