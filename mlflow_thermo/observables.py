"""What is measured along a training run: full loss and gradient, gradient noise, fluctuation-dissipation sums.

The model is given as a function of a batch. Networks with batch normalisation have a different loss for every
batch size, so everything here is an average over batches of the *training* batch size: a full gradient taken at
another batch size would not be the mean of the minibatch gradients, and the signal-to-noise ratio would be biased.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

#: (x, y) of one batch -> per-sample losses and per-sample correctness, both of shape (batch,).
PerSample = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class GradientNoise:
    """Norms of the full and the minibatch gradient.

    Attributes
    ----------
    full_norm : |∇L|.
    noise_rms : sqrt(E|g_B − ∇L|²).
    minibatch_norm : E|g_B|.
    n_batches : number of minibatch gradients behind the two averages.
    """

    full_norm: float
    noise_rms: float
    minibatch_norm: float
    n_batches: int

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio |∇L| / sqrt(E|g_B − ∇L|²); infinite without noise."""
        return self.full_norm / self.noise_rms if self.noise_rms > 0 else math.inf


def full_batches(x: Tensor, y: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches of exactly `batch_size` that cover the data, with a weight per sample that sums to 1 over all.

    The last batch is filled up from the start of the data with samples of weight zero: they take part in the
    batch's normalisation statistics but every sample is counted once.
    """
    n = len(x)
    for start in range(0, n, batch_size):
        index = torch.arange(start, start + batch_size, device=x.device)
        weight = (index < n).to(torch.float32) / n
        index = index % n
        yield x[index], y[index], weight


@torch.no_grad()
def evaluate(per_sample: PerSample, x: Tensor, y: Tensor, batch_size: int) -> Tensor:
    """Mean loss and accuracy over a whole set, as one tensor of shape (2,) on the data's device."""
    total = torch.zeros(2, dtype=torch.float64, device=_wide(x.device))
    for xb, yb, weight in full_batches(x, y, batch_size):
        losses, correct = per_sample(xb, yb)
        total += torch.stack([losses @ weight, correct.to(weight.dtype) @ weight]).to(total)
    return total


def full_gradient(
    per_sample: PerSample, gradient: Tensor, x: Tensor, y: Tensor, batch_size: int
) -> tuple[Tensor, Tensor]:
    """Gradient of the mean loss over a whole set, with that loss and the accuracy.

    Parameters
    ----------
    gradient : (d,) buffer that ``backward()`` accumulates into; it is overwritten.

    Returns
    -------
    gradient, metrics : tensors of shape (d,) and (2,): mean loss and accuracy.
    """
    gradient.zero_()
    total = torch.zeros(2, dtype=torch.float64, device=_wide(x.device))
    for xb, yb, weight in full_batches(x, y, batch_size):
        losses, correct = per_sample(xb, yb)
        loss = losses @ weight
        torch.autograd.backward(loss)
        total += torch.stack([loss.detach(), correct.to(weight.dtype) @ weight]).to(total)
    result = gradient.clone()
    gradient.zero_()
    return result, total


def gradient_noise(
    per_sample: PerSample,
    gradient: Tensor,
    full: Tensor,
    batches: Iterator[tuple[Tensor, Tensor]],
) -> GradientNoise:
    """Compare minibatch gradients with the full one.

    Parameters
    ----------
    gradient : (d,) buffer that ``backward()`` accumulates into; it is overwritten.
    full : (d,) full gradient at the same weights.
    batches : independent minibatches.
    """
    sums = torch.zeros(2, dtype=torch.float64, device=_wide(full.device))
    n = 0
    for x, y in batches:
        gradient.zero_()
        torch.autograd.backward(per_sample(x, y)[0].mean())
        sums += torch.stack([(gradient - full).square().sum(), torch.linalg.vector_norm(gradient)]).to(sums)
        n += 1
    gradient.zero_()
    square, norm = (sums / n).tolist()
    return GradientNoise(float(torch.linalg.vector_norm(full)), math.sqrt(square), norm, n)


class FluctuationSums:
    """Running sums over the steps of what fluctuation-dissipation relations need.

    With w the weights, g the minibatch gradient and r a fixed unit direction (the initial weights'):
    ``w·g`` and ``|g|²`` for Yaida's 2⟨w·g⟩ = lr·⟨|g|²⟩ in flat space; ``g·r``, ``w·r`` and ``(w·r)|g|²`` for its
    counterpart on the sphere, where w·g = 0 says nothing. Nothing here waits for the device.
    """

    NAMES = ("wg", "gg", "gr", "wr", "wrgg")

    def __init__(self, weights: Tensor) -> None:
        self._direction = weights / torch.linalg.vector_norm(weights)
        self._sums = torch.zeros(len(self.NAMES), dtype=torch.float64, device=_wide(weights.device))
        self.steps = 0

    def add(self, weights: Tensor, gradient: Tensor) -> None:
        """Add one step: the weights and the gradient at them, before the update."""
        gg = gradient.dot(gradient)
        wr = weights.dot(self._direction)
        terms = torch.stack([weights.dot(gradient), gg, gradient.dot(self._direction), wr, wr * gg])
        self._sums += terms.to(self._sums)
        self.steps += 1

    def values(self) -> dict[str, float]:
        """The sums by name, and the number of steps behind them."""
        return {"steps": float(self.steps), **dict(zip(self.NAMES, self._sums.tolist(), strict=True))}


def log_points(total_steps: int, n: int) -> list[int]:
    """Steps to measure at: 0…9, then `n` log-spaced ones up to and including the last."""
    if total_steps <= 10:
        return list(range(total_steps + 1))
    ratio = (total_steps / 10) ** (1 / max(1, n - 1))
    spread = {round(10 * ratio**i) for i in range(max(1, n))}
    return sorted({*range(10), *spread, total_steps})


def _wide(device: torch.device) -> torch.device:
    """Where float64 sums live: MPS has no float64."""
    return torch.device("cpu") if device.type == "mps" else device
