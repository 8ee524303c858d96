"""Observables along a training run: full loss and gradient, gradient noise, fluctuation-dissipation sums.

The model is given as a function of a batch. The loss of a network with batch normalisation depends on the batch size,
so everything here is an average over batches of the *training* batch size: a full gradient taken at another batch size
would not be the mean of the minibatch gradients, and the signal-to-noise ratio would be biased.

The leading ``...`` of a shape is empty for one model and (n_models,) for models that are trained side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from mlflow_thermo.fluctuations import widened

#: From x, y and weight (batch,) of a batch to Σ weight·loss and Σ weight·correct, shape (..., 2).
WeightedLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
#: The same, preceded by the gradient of Σ weight·loss, shape (..., d). The next call may overwrite both.
WeightedGradient = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

#: Minibatch gradients from which the number needed is estimated; also the fewest that are averaged.
PILOT = 8


@dataclass(frozen=True)
class GradientNoise:
    """Norms of the full gradient ∇L and of the minibatch gradients g_B, float64 tensors of shape (...) on the CPU.

    All norms have the units of the loss per unit of weight.

    Attributes
    ----------
    full_norm : Tensor
        ``|∇L|``.
    noise_rms, noise_rms_stderr : Tensor
        ``sqrt(E|g_B − ∇L|²)`` and its standard error.
    minibatch_norm, minibatch_norm_stderr : Tensor
        ``E|g_B|`` and its standard error.
    n_batches : int
        Number of minibatch gradients that were averaged.
    """

    full_norm: Tensor
    noise_rms: Tensor
    noise_rms_stderr: Tensor
    minibatch_norm: Tensor
    minibatch_norm_stderr: Tensor
    n_batches: int

    @property
    def snr(self) -> Tensor:
        """Signal-to-noise ratio ``|∇L| / sqrt(E|g_B − ∇L|²)``, shape (...); infinite without noise."""
        return torch.where(self.noise_rms > 0, self.full_norm / self.noise_rms, torch.inf)

    @property
    def snr_stderr(self) -> Tensor:
        """Standard error of `snr`, shape (...); the full gradient is exact."""
        return torch.where(self.noise_rms > 0, self.snr * self.noise_rms_stderr / self.noise_rms, 0.0)


def full_batches(x: Tensor, y: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches of exactly `batch_size` samples that cover the data, with weights that sum to 1 over all samples.

    The samples are shuffled, in the same order at every call: data sorted by class would give batches of one class,
    whose normalisation statistics are not those of a training batch. The last batch is filled up with samples of
    weight zero, which enter its statistics but are not counted twice.

    Parameters
    ----------
    x, y : Tensor
        Samples and targets, first axis n.
    batch_size : int
        That of the training.

    Yields
    ------
    x, y, weight : Tensor
        Each with first axis `batch_size`.
    """
    n = len(x)
    # Drawn on the CPU, so that every device sees the same batches.
    order = torch.randperm(n, generator=torch.Generator().manual_seed(n)).to(x.device)
    for start in range(0, n, batch_size):
        index = torch.arange(start, start + batch_size, device=x.device)
        weight = (index < n).to(x.dtype) / n
        index = order[index % n]
        yield x[index], y[index], weight


def evaluate(loss: WeightedLoss, x: Tensor, y: Tensor, batch_size: int) -> Tensor:
    """Mean loss and accuracy over a data set.

    Parameters
    ----------
    loss : callable
        Weighted loss and accuracy of a batch, see `WeightedLoss`.
    x, y : Tensor
        Samples and targets, first axis n.
    batch_size : int
        That of the training.

    Returns
    -------
    Tensor
        Loss and accuracy, float64, shape (..., 2), on the device of the data (on MPS: on the CPU).
    """
    parts = [widened(loss(*batch)) for batch in full_batches(x, y, batch_size)]
    return torch.stack(parts).sum(dim=0)


def full_gradient(gradient: WeightedGradient, x: Tensor, y: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
    """Gradient of the mean loss over a data set, with that loss and the accuracy.

    Parameters
    ----------
    gradient : callable
        Weighted gradient, loss and accuracy of a batch, see `WeightedGradient`.
    x, y : Tensor
        Samples and targets, first axis n.
    batch_size : int
        That of the training.

    Returns
    -------
    gradient : Tensor
        Shape (..., d).
    metrics : Tensor
        Loss and accuracy, float64, shape (..., 2).
    """
    total: Tensor | None = None
    parts = []
    for batch in full_batches(x, y, batch_size):
        part, metrics = gradient(*batch)
        total = part.clone() if total is None else total.add_(part)
        parts.append(widened(metrics))
    assert total is not None
    return total, torch.stack(parts).sum(dim=0)


def gradient_noise(
    gradient: WeightedGradient, full: Tensor, batches: Iterator[tuple[Tensor, Tensor]], *, error: float = 0.0
) -> GradientNoise:
    """Compare minibatch gradients with the full one.

    Parameters
    ----------
    gradient : callable
        Weighted gradient, loss and accuracy of a batch, see `WeightedGradient`.
    full : Tensor
        Full gradient at the same weights, shape (..., d).
    batches : iterator of (Tensor, Tensor)
        Independent minibatches; all are used unless fewer reach `error`.
    error : float
        Relative standard error to reach, in both averages and for every model; 0 uses all batches. A few pilot
        batches show how many are needed and do not enter the averages: stopping where the spread of the averaged
        batches themselves happens to be small would bias both the average and its error.

    Returns
    -------
    GradientNoise

    Raises
    ------
    ValueError
        Too few batches for the pilot and one average.
    """
    count: int | None = None
    if error > 0:
        pilot = _noise_sums(gradient, full, islice(batches, PILOT))
        if pilot is not None:
            needed = PILOT * float((_relative_error(*pilot) / error).square().max())
            count = max(PILOT, math.ceil(min(needed, 2**31)))
    found = _noise_sums(gradient, full, islice(batches, count))
    if found is None:
        raise ValueError("batches has too few minibatches for the pilot and one average: give more, or error=0")
    sums, n = found
    mean = (sums[0] / n).cpu()
    relative = _relative_error(sums, n).cpu()
    rms, norm = mean[..., 0].sqrt(), mean[..., 1]
    full_norm = widened(torch.linalg.vector_norm(full, dim=-1)).cpu()
    return GradientNoise(full_norm, rms, rms * relative[..., 0], norm, norm * relative[..., 1], n)


def _noise_sums(
    gradient: WeightedGradient, full: Tensor, batches: Iterator[tuple[Tensor, Tensor]]
) -> tuple[Tensor, int] | None:
    """Sums of q = |g_B − ∇L|², of |g_B| and of their squares, (2, ..., 2), over the batches, and their number."""
    sums: Tensor | None = None
    n = 0
    for x, y in batches:
        g, _ = gradient(x, y, torch.full((len(x),), 1 / len(x), dtype=x.dtype, device=x.device))
        square = (g - full).square().sum(dim=-1)
        terms = widened(torch.stack([square, torch.linalg.vector_norm(g, dim=-1)], dim=-1))
        terms = torch.stack([terms, terms.square()])
        sums = terms if sums is None else sums + terms
        n += 1
    return None if sums is None else (sums, n)


def _relative_error(sums: Tensor, n: int) -> Tensor:
    """Relative standard errors of sqrt(E q) and E|g|, (..., 2), from the sums of q, |g| and their squares.

    Zero where the mean is zero or the model has diverged: more batches would not help there.
    """
    mean = sums[0] / n
    variance = (sums[1] / n - mean.square()).clamp(min=0) / max(1, n - 1)
    # δ sqrt(q) / sqrt(q) = δq / 2q.
    halves = torch.tensor([0.5, 1.0], dtype=mean.dtype, device=mean.device)
    return torch.nan_to_num(variance.sqrt() / mean * halves, nan=0.0, posinf=0.0)


def log_points(total_steps: int, n: int) -> list[int]:
    """Steps at which to measure: 0 to 9, then `n` log-spaced steps up to and including the last.

    Parameters
    ----------
    total_steps : int
        Optimiser steps of the training.
    n : int
        Number of log-spaced steps; rounding may make some coincide.

    Returns
    -------
    list of int
        Increasing.

    Examples
    --------
    >>> log_points(1000, 3)
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 100, 1000]
    """
    if total_steps <= 10:
        return list(range(total_steps + 1))
    ratio = (total_steps / 10) ** (1 / max(1, n - 1))
    spread = {round(10 * ratio**i) for i in range(max(1, n))}
    return sorted({*range(10), *spread, total_steps})
