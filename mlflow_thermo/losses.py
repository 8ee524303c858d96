"""Minibatch losses between two snapshots, on the processor or on the device that computes them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Losses(Protocol):
    """Losses of the snapshots of one block, and the running mean since the snapshot before."""

    def add(self, loss: Tensor | float) -> None:
        """Take in the loss of a step."""

    def keep(self, row: int, loss: Tensor | float | None) -> None:
        """The loss at the snapshot in `row`, and the mean of what came in since the last; NaN for None."""

    def read(self, rows: int) -> NDArray[np.float64]:
        """(rows, 2) losses and means; the rows are NaN afterwards."""


class HostLosses:
    """On the processor a loss is a number at once."""

    def __init__(self, rows: int) -> None:
        self._kept = np.full((rows, 2), np.nan)
        self._sum, self._count = 0.0, 0

    def add(self, loss: Tensor | float) -> None:
        """Take in the loss of a step."""
        self._sum += float(loss)
        self._count += 1

    def keep(self, row: int, loss: Tensor | float | None) -> None:
        """The loss at the snapshot in `row`, and the mean since the last."""
        if loss is not None:
            self._kept[row] = float(loss), self._sum / self._count
        self._sum, self._count = 0.0, 0

    def read(self, rows: int) -> NDArray[np.float64]:
        """(rows, 2) losses and means; the rows are NaN afterwards."""
        found = np.array(self._kept[:rows])
        self._kept[:rows] = np.nan
        return found


class DeviceLosses:
    """Losses stay on the device until a block is written: reading one per step would wait for the device."""

    def __init__(self, rows: int, device: torch.device) -> None:
        # MPS has no float64.
        place = torch.device("cpu") if device.type == "mps" else device
        self._kept = torch.full((rows, 2), float("nan"), dtype=torch.float64, device=place)
        self._sum = torch.zeros((), dtype=torch.float64, device=place)
        self._count = 0

    def add(self, loss: Tensor | float) -> None:
        """Take in the loss of a step."""
        self._sum += loss.to(self._sum.device) if isinstance(loss, Tensor) else loss
        self._count += 1

    def keep(self, row: int, loss: Tensor | float | None) -> None:
        """The loss at the snapshot in `row`, and the mean since the last."""
        if loss is not None:
            self._kept[row, 0] = loss
            self._kept[row, 1] = self._sum / self._count
        self._sum.zero_()
        self._count = 0

    def read(self, rows: int) -> NDArray[np.float64]:
        """(rows, 2) losses and means; the rows are NaN afterwards."""
        found = np.array(self._kept[:rows].cpu().numpy())
        self._kept[:rows] = float("nan")
        return found
