"""Per-sample losses of a model, and the batches to take them on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from projects.fixed_lr.data import Dataset


def sample_losses(logits: Tensor, y: Tensor, loss: str) -> tuple[Tensor, Tensor]:
    """Losses and correctness of each sample of a batch, both of shape (batch,).

    ``mse`` is the mean over the classes of the squared difference to the one-hot label.
    """
    if loss == "cross-entropy":
        # Cross-entropy written out: the library's own copies logits whose batch is not their first axis in memory.
        losses = logits.logsumexp(dim=1) - logits.gather(1, y.unsqueeze(1)).squeeze(1)
    else:
        losses = (logits - functional.one_hot(y, logits.shape[1])).square().mean(dim=1)
    # The label's logit alone is the largest; finding the largest one's place takes as long as the whole backward pass.
    shown = logits.detach()
    own = shown.gather(1, y.unsqueeze(1))
    return losses, (shown >= own).sum(dim=1) == 1


def weighted(losses: Tensor, correct: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Σ weight·loss and Σ weight·correct."""
    return losses @ weight, correct.to(weight.dtype) @ weight


def batch_indices(n: int, batch_size: int, sampling: str, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless batches as indices (batch_size,) of n samples, on the processor."""
    pending = torch.empty(0, dtype=torch.int64)
    while True:
        if sampling == "iid":
            yield torch.randint(n, (batch_size,), generator=generator)
            continue
        # Whole epochs follow each other: a batch may hold the end of one and the start of the next.
        while len(pending) < batch_size:
            pending = torch.cat([pending, torch.randperm(n, generator=generator)])
        yield pending[:batch_size]
        pending = pending[batch_size:]


def batches(
    data: Dataset, batch_size: int, sampling: str, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless training batches on the data's device: ``iid`` with replacement, or ``epochs`` without.

    Drawn on the processor by a generator of the processor, so that a seed gives the same batches on every device.
    """
    for index in indices(data, batch_size, sampling, generator):
        yield data.x_train[index], data.y_train[index]


def indices(data: Dataset, batch_size: int, sampling: str, generator: torch.Generator) -> Iterator[Tensor]:
    """The batches of `batches` as numbers of their samples, (batch,)."""
    for index in batch_indices(len(data.y_train), batch_size, sampling, generator):
        yield _on_device(index, data.y_train.device)


def chain_indices(
    data: Dataset, batch_size: int, sampling: str, generators: Sequence[torch.Generator]
) -> Iterator[Tensor]:
    """The same for several chains, each with a generator of its own: (chains, batch)."""
    each = [batch_indices(len(data.y_train), batch_size, sampling, generator) for generator in generators]
    while True:
        yield _on_device(torch.stack([next(one) for one in each]), data.y_train.device)


def _on_device(index: Tensor, device: torch.device) -> Tensor:
    # A copy from memory that is not pinned would wait for the GPU at every step.
    return index.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else index.to(device)
