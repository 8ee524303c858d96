"""The loss of a scale-invariant multilayer perceptron on all of its data, with a gradient written out.

About three times as fast as automatic differentiation of the batched model, which decides how long a ladder takes.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: What batch normalisation adds to the variance; torch.nn.BatchNorm1d's default.
EPSILON = 1e-5


class ScaleInvariantMLP:
    """Mean cross-entropy of linear-norm-ReLU layers under a frozen linear head, for many weight vectors at once.

    The batch of the normalisation, which has no affine part, is all of the data: the loss is one function of the
    weights. The same function as `projects.fixed_lr.models.MLP` has in one batch of all images, layer after layer in
    one vector, each layer's units one after another.

    Parameters
    ----------
    x : (n, inputs).
    y : (n,) int64 labels.
    head : (n_classes, width) frozen.
    widths : units of each hidden layer.
    """

    def __init__(self, x: Tensor, y: Tensor, head: Tensor, widths: tuple[int, ...] = (4, 4)) -> None:
        self.x, self.y, self.head = x.T.contiguous(), y, head
        self.shapes = list(zip(widths, (x.shape[1], *widths[:-1]), strict=True))

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
        m, n = len(weights), len(self.y)
        sizes = [units * inputs for units, inputs in self.shapes]
        parts = torch.split(weights, sizes, dim=1)
        layers = [part.reshape(m, *shape) for part, shape in zip(parts, self.shapes, strict=True)]
        active = [self.x]
        normal: list[Tensor] = []
        scale: list[Tensor] = []
        for layer in layers:
            # All models' first layers see the same inputs: one product of matrices.
            before = (layer.reshape(-1, layer.shape[-1]) @ self.x).view(m, -1, n) if not normal else layer @ active[-1]
            before = before - before.mean(dim=-1, keepdim=True)
            scale.append(torch.rsqrt(before.square().mean(dim=-1, keepdim=True) + EPSILON))
            normal.append(before * scale[-1])
            active.append(normal[-1].clamp(min=0))
        logits = self.head @ active[-1]
        log_sum = logits.logsumexp(dim=1)
        label = self.y.expand(m, 1, n)
        losses = (log_sum - logits.gather(1, label).squeeze(1)).mean(dim=-1)

        slope = (logits - log_sum.unsqueeze(1)).exp()
        slope.scatter_add_(1, label, -torch.ones_like(slope[:, :1]))
        slope = self.head.T @ (slope / n)
        gradients = []
        for i in reversed(range(len(layers))):
            slope = slope * (normal[i] > 0)
            of_mean = slope.mean(dim=-1, keepdim=True)
            of_variance = (slope * normal[i]).mean(dim=-1, keepdim=True)
            slope = scale[i] * (slope - of_mean - normal[i] * of_variance)
            gradients.append((slope @ active[i].mT).flatten(1))
            if i:
                slope = layers[i].mT @ slope
        return losses, torch.cat(gradients[::-1], dim=1)
