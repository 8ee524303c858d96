"""The loss of a scale-invariant multilayer perceptron on all of its data, with a gradient written out.

Several times as fast as automatic differentiation of the batched model, which decides how long a ladder takes.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: What batch normalisation adds to the variance; torch.nn.BatchNorm1d's default.
EPSILON = 1e-5
#: Numbers in the largest intermediate result: few models at a time, so that it stays in the processor's cache.
CACHED = 2**17

RELU, TANH = "relu", "tanh"


class ScaleInvariantMLP:
    """Mean cross-entropy of linear-norm-activation layers under a frozen linear head, for many weight vectors at once.

    The batch of the normalisation, which has no affine part, is all of the data: the loss is one function of the
    weights. The same function as `projects.fixed_lr.models.MLP`, and with tanh and one layer as `Shallow`, has in one
    batch of all images, layer after layer in one vector, each layer's units one after another.

    Parameters
    ----------
    x : (n, inputs).
    y : (n,) int64 labels.
    head : (n_classes, width) frozen.
    widths : units of each hidden layer.
    activation : ``relu`` or ``tanh``.
    """

    def __init__(
        self, x: Tensor, y: Tensor, head: Tensor, widths: tuple[int, ...] = (4, 4), activation: str = RELU
    ) -> None:
        if activation not in (RELU, TANH):
            raise ValueError(f"activation must be {RELU} or {TANH}, got {activation!r}")
        # The normalisation takes the mean away: without it in the inputs there is none in the first layer.
        self.x, self.y, self.head = (x - x.mean(dim=0)).T.contiguous(), y, head
        self.covariance = self.x @ self.x.T / len(y)
        self.shapes = list(zip(widths, (x.shape[1], *widths[:-1]), strict=True))
        self.activation = activation
        self._together = max(1, CACHED // (len(y) * max(*widths, len(head))))

    @property
    def block_sizes(self) -> list[int]:
        """Incoming weights of each unit: the loss depends on their direction only."""
        return [inputs for units, inputs in self.shapes for _ in range(units)]

    @property
    def d(self) -> int:
        """Number of weights."""
        return sum(self.block_sizes)

    def __call__(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (m,) and gradients (m, d) at weights (m, d)."""
        losses, gradients = zip(*(self._evaluate(part) for part in torch.split(weights, self._together)), strict=True)
        return torch.cat(losses), torch.cat(gradients)

    def _evaluate(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        m = len(weights)
        parts = torch.split(weights, [units * inputs for units, inputs in self.shapes], dim=1)
        layers = [part.reshape(m, *shape) for part, shape in zip(parts, self.shapes, strict=True)]
        # The variance of the first layer follows from the inputs' covariance, before the data come in.
        spread = (layers[0] @ self.covariance * layers[0]).sum(dim=-1, keepdim=True)
        scale = [torch.rsqrt(spread + EPSILON)]
        first = layers[0] * scale[0]
        # All models' first layers see the same inputs: one product of matrices.
        normal = [(first.reshape(-1, first.shape[-1]) @ self.x).view(m, -1, len(self.y))]
        active = [self._activate(normal[0])]
        for layer in layers[1:]:
            before = layer @ active[-1]
            before = before - before.mean(dim=-1, keepdim=True)
            scale.append(torch.rsqrt(before.square().mean(dim=-1, keepdim=True) + EPSILON))
            normal.append(before * scale[-1])
            active.append(self._activate(normal[-1]))
        losses, slope = self._cross_entropy(active[-1])

        gradients = []
        for i in range(len(layers) - 1, 0, -1):
            slope = self._through(slope, active[i])
            of_mean = slope.mean(dim=-1, keepdim=True)
            of_variance = (slope * normal[i]).mean(dim=-1, keepdim=True)
            slope = scale[i] * (slope - of_mean - normal[i] * of_variance)
            gradients.append((slope @ active[i - 1].mT).flatten(1))
            slope = layers[i].mT @ slope
        by_first = self._through(slope, active[0]) @ self.x.T
        along = (by_first * first).sum(dim=-1, keepdim=True)
        gradients.append((scale[0] * (by_first - along * (first @ self.covariance))).flatten(1))
        return losses, torch.cat(gradients[::-1], dim=1)

    def _activate(self, normal: Tensor) -> Tensor:
        return torch.tanh(normal) if self.activation == TANH else normal.clamp(min=0)

    def _through(self, slope: Tensor, active: Tensor) -> Tensor:
        """∂L/∂normal from ∂L/∂active."""
        return slope * (1 - active.square()) if self.activation == TANH else slope * (active > 0)

    def _cross_entropy(self, active: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (m,) and their gradients (m, width, n) with respect to the last layer's activities."""
        label = self.y.expand(len(active), 1, len(self.y))
        log_share = (self.head @ active).log_softmax(dim=1)
        losses = -log_share.gather(1, label).squeeze(1).mean(dim=-1)
        slope = log_share.exp_()
        slope.scatter_add_(1, label, -torch.ones_like(slope[:, :1]))
        return losses, (self.head.T / len(self.y)) @ slope
