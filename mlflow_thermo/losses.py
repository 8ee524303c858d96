"""Minibatch losses between snapshots, kept on the CPU or on the device that computes them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Losses(Protocol):
    """Losses at the snapshots of one block, each with the mean loss since the previous snapshot."""

    def add(self, loss: Tensor | float) -> None:
        """Add the loss of one step."""

    def keep(self, row: int, loss: Tensor | float | None) -> None:
        """Store the loss at the snapshot in `row` and the mean since the previous snapshot; None leaves NaN."""

    def read(self, rows: int) -> NDArray[np.float64]:
        """Losses and means of the first `rows` snapshots, shape (rows, 2); the rows are reset to NaN."""


class HostLosses:
    """Losses on the CPU, where reading one costs nothing."""

    def __init__(self, rows: int) -> None:
        self._kept = np.full((rows, 2), np.nan)
        self._sum, self._count = 0.0, 0

    def add(self, loss: Tensor | float) -> None:
        """Add the loss of one step."""
        self._sum += float(loss)
        self._count += 1

    def keep(self, row: int, loss: Tensor | float | None) -> None:
        """Store the loss at the snapshot in `row` and the mean since the previous snapshot."""
        if loss is not None:
            self._kept[row] = float(loss), self._sum / self._count
        self._sum, self._count = 0.0, 0

    def read(self, rows: int) -> NDArray[np.float64]:
        """Losses and means of the first `rows` snapshots, shape (rows, 2); the rows are reset to NaN."""
        found = np.array(self._kept[:rows])
        self._kept[:rows] = np.nan
        return found


class DeviceLosses:
    """Losses that stay on the device until a block is written: reading one makes the training wait for the device."""

    def __init__(self, rows: int, device: torch.device) -> None:
        # MPS has no float64.
        place = torch.device("cpu") if device.type == "mps" else device
        self._kept = torch.full((rows, 2), float("nan"), dtype=torch.float64, device=place)
        self._sum = torch.zeros((), dtype=torch.float64, device=place)
        self._count = 0

    def add(self, loss: Tensor | float) -> None:
        """Add the loss of one step."""
        self._sum += loss.to(self._sum.device) if isinstance(loss, Tensor) else loss
        self._count += 1

    def keep(self, row: int, loss: Tensor | float | None) -> None:
        """Store the loss at the snapshot in `row` and the mean since the previous snapshot."""
        if loss is not None:
            self._kept[row, 0] = loss
            self._kept[row, 1] = self._sum / self._count
        self._sum.zero_()
        self._count = 0

    def read(self, rows: int) -> NDArray[np.float64]:
        """Losses and means of the first `rows` snapshots, shape (rows, 2); the rows are reset to NaN."""
        found = np.array(self._kept[:rows].cpu().numpy())
        self._kept[:rows] = float("nan")
        return found
