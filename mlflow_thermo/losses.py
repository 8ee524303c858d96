"""Minibatch losses between snapshots, kept on the CPU or on the device that computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlflow_thermo.errors import ThermoError

#: Losses (chains,) of one step: an array on the CPU, a tensor on a device.
StepLosses: TypeAlias = Any


class Losses(Protocol):
    """Losses at the snapshots of one block, each with the mean loss since the previous snapshot of its chain."""

    def add(self, loss: StepLosses) -> None:
        """Add the losses (chains,) of one step."""

    def keep(self, row: int, loss: StepLosses | None) -> None:
        """Store the losses at the snapshots from `row` on and the means since the previous ones; None leaves NaN."""

    def read(self, rows: int) -> NDArray[np.float64]:
        """Losses and means of the first `rows` snapshots, shape (rows, 2); the rows are reset to NaN."""

    def total(self) -> Tensor:
        """A copy of the sum (chains,) of the losses since the previous snapshot."""

    def go_on(self, total: Tensor, steps: int) -> None:
        """Take in `steps` more steps, with which the sum is `total`."""

    def state(self, rows: int) -> dict[str, Any]:
        """Losses and means of the first `rows` snapshots, with what counts towards the next one, for a checkpoint."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""


class HostLosses:
    """Losses on the CPU, where reading one costs nothing."""

    def __init__(self, rows: int, chains: int = 1) -> None:
        self._kept = np.full((rows, 2), np.nan)
        self._sum = np.zeros(chains)
        self._count = 0

    def add(self, loss: StepLosses) -> None:
        """Add the losses (chains,) of one step."""
        self._sum += _on_host(loss)
        self._count += 1

    def keep(self, row: int, loss: StepLosses | None) -> None:
        """Store the losses at the snapshots from `row` on and the means since the previous ones."""
        if loss is not None:
            rows = self._kept[row : row + len(self._sum)]
            rows[:, 0] = _on_host(loss)
            rows[:, 1] = self._sum / self._count
        self._sum[:] = 0.0
        self._count = 0

    def read(self, rows: int) -> NDArray[np.float64]:
        """Losses and means of the first `rows` snapshots, shape (rows, 2); the rows are reset to NaN."""
        found = np.array(self._kept[:rows])
        self._kept[:rows] = np.nan
        return found

    def total(self) -> Tensor:
        """A copy of the sum (chains,) of the losses since the previous snapshot."""
        return torch.tensor(self._sum)

    def go_on(self, total: Tensor, steps: int) -> None:
        """Take in `steps` more steps, with which the sum is `total`."""
        self._sum[:] = total.numpy()
        self._count += steps

    def state(self, rows: int) -> dict[str, Any]:
        """Losses and means of the first `rows` snapshots, with what counts towards the next one, for a checkpoint."""
        kept, total = (torch.tensor(one) for one in (self._kept[:rows], self._sum))
        return {"losses": kept, "sum": total, "count": self._count}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self._kept[: len(state["losses"])] = state["losses"].numpy()
        self._sum[:] = state["sum"].numpy()
        self._count = int(state["count"])


class DeviceLosses:
    """Losses that stay on the device until a block is written: reading one makes the training wait for the device."""

    def __init__(self, rows: int, device: torch.device, chains: int = 1) -> None:
        # MPS has no float64.
        place = torch.device("cpu") if device.type == "mps" else device
        self._kept = torch.full((rows, 2), float("nan"), dtype=torch.float64, device=place)
        self._sum = torch.zeros(chains, dtype=torch.float64, device=place)
        self._count = 0

    def add(self, loss: StepLosses) -> None:
        """Add the losses (chains,) of one step."""
        # A number of the host, as loss.item() gives it, comes as an array.
        self._sum += torch.as_tensor(loss).to(self._sum.device)
        self._count += 1

    def keep(self, row: int, loss: StepLosses | None) -> None:
        """Store the losses at the snapshots from `row` on and the means since the previous ones."""
        if loss is not None:
            rows = self._kept[row : row + len(self._sum)]
            rows[:, 0] = torch.as_tensor(loss).to(self._sum.device)
            rows[:, 1] = self._sum / self._count
        self._sum.zero_()
        self._count = 0

    def read(self, rows: int) -> NDArray[np.float64]:
        """Losses and means of the first `rows` snapshots, shape (rows, 2); the rows are reset to NaN."""
        found = np.array(self._kept[:rows].cpu().numpy())
        self._kept[:rows] = float("nan")
        return found

    def total(self) -> Tensor:
        """A copy of the sum (chains,) of the losses since the previous snapshot."""
        return self._sum.clone()

    def go_on(self, total: Tensor, steps: int) -> None:
        """Take in `steps` more steps, with which the sum is `total`."""
        self._sum.copy_(total)
        self._count += steps

    def state(self, rows: int) -> dict[str, Any]:
        """Losses and means of the first `rows` snapshots, with what counts towards the next one, for a checkpoint."""
        kept, total = (one.cpu().clone() for one in (self._kept[:rows], self._sum))
        return {"losses": kept, "sum": total, "count": self._count}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self._kept[: len(state["losses"])] = state["losses"].to(self._kept)
        self._sum.copy_(state["sum"])
        self._count = int(state["count"])


def _on_host(loss: StepLosses) -> NDArray[Any]:
    """Losses that a device computed although the weights are on the CPU, where offloaded ones are."""
    found: NDArray[Any] = loss.to("cpu", torch.float64).numpy() if isinstance(loss, Tensor) else loss
    return found


def step_losses(loss: Any, chains: int) -> StepLosses:
    """What a training loop gives as the loss of one step, as one number for each of its `chains`.

    Raises
    ------
    ThermoError
        Another number of losses than there are chains, or none that is a number.
    """
    if isinstance(loss, np.ndarray) and loss.dtype == np.float64 and loss.ndim == 1:
        # At every step of many recorders: as it comes, where it can be taken so.
        found: StepLosses = loss
    elif isinstance(loss, Tensor):
        # Reading a loss from a device would wait for it; on the CPU it costs nothing.
        found = _mean_losses(loss.detach(), chains)
    else:
        try:
            if isinstance(loss, (str, bytes)):
                raise TypeError
            if isinstance(loss, Sequence) and len(loss):
                found = torch.stack([_mean_losses(torch.as_tensor(one).detach(), 1).reshape(()) for one in loss])
            else:
                found = np.atleast_1d(np.asarray(loss, dtype=float))
        except (TypeError, ValueError, RuntimeError) as error:
            raise ThermoError(
                f"step: a loss is a number, or a tensor of numbers, got {type(loss).__name__}: give the mean loss of "
                "the batch, of several chains a list of them"
            ) from error
    if isinstance(found, Tensor) and found.device.type == "cpu":
        found = found.to(torch.float64).numpy()
    if len(found) != chains:
        raise ThermoError(f"step got {len(found)} losses for {chains} chains: give the mean loss of each chain's batch")
    return found


def _mean_losses(loss: Tensor, chains: int) -> Tensor:
    """The losses of each chain, with the mean over those of several devices or samples."""
    if loss.numel() > chains and (chains == 1 or (loss.ndim > 1 and len(loss) == chains)):
        exact = loss if loss.dtype == torch.float64 else loss.float()
        return exact.reshape(chains, -1).mean(dim=1)
    return loss.reshape(-1)
