"""Per-sample losses of a model, and the batches to take them on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

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


class BatchSource:
    """Endless training batches as numbers of their samples: (batch,), or (chains, batch) for several generators.

    Drawn on the processor by generators of the processor, so that a seed gives the same batches on every device.

    Parameters
    ----------
    sampling : ``iid`` with replacement, or ``epochs`` without.
    generators : of each chain; a single one that is not in a list gives batches without an axis of chains.
    """

    def __init__(
        self, data: Dataset, batch_size: int, sampling: str, generators: torch.Generator | Sequence[torch.Generator]
    ) -> None:
        self._n, self._size, self._iid = len(data.y_train), batch_size, sampling == "iid"
        self._device = data.y_train.device
        self._one = isinstance(generators, torch.Generator)
        self._generators = [generators] if isinstance(generators, torch.Generator) else list(generators)
        self._pending = [torch.empty(0, dtype=torch.int64) for _ in self._generators]

    def __iter__(self) -> BatchSource:
        return self

    def __next__(self) -> Tensor:
        drawn = [self._draw(chain) for chain in range(len(self._generators))]
        return _on_device(drawn[0] if self._one else torch.stack(drawn), self._device)

    def _draw(self, chain: int) -> Tensor:
        generator = self._generators[chain]
        if self._iid:
            return torch.randint(self._n, (self._size,), generator=generator)
        # Whole epochs follow each other: a batch may hold the end of one and the start of the next.
        pending = self._pending[chain]
        while len(pending) < self._size:
            pending = torch.cat([pending, torch.randperm(self._n, generator=generator)])
        self._pending[chain] = pending[self._size :]
        return pending[: self._size]

    def state(self) -> dict[str, Any]:
        """Where the source stands, for a checkpoint."""
        return {"generators": [one.get_state() for one in self._generators], "pending": list(self._pending)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state` with the same batches."""
        for generator, found in zip(self._generators, state["generators"], strict=True):
            generator.set_state(found)
        self._pending = list(state["pending"])


def batches(
    data: Dataset, batch_size: int, sampling: str, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless training batches on the data's device, see `BatchSource`."""
    for index in BatchSource(data, batch_size, sampling, generator):
        yield data.x_train[index], data.y_train[index]


def _on_device(index: Tensor, device: torch.device) -> Tensor:
    # A copy from memory that is not pinned would wait for the GPU at every step.
    return index.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else index.to(device)
