"""Snapshots between the training and the disk: two blocks for each series, written by a background thread."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlflow_thermo.disk import disk_errors
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.losses import DeviceLosses, HostLosses, Losses, StepLosses
from mlflow_thermo.moving import LeftBehind, Standstill
from mlflow_thermo.packing import ChainsPacker, Packer
from mlflow_thermo.resuming import ResumableSeries
from mlflow_thermo.schedule import Schedule
from mlflow_thermo.schema import FULL, ISOMETRIC, SKETCH, SPHERE
from mlflow_thermo.store import (
    MAX_CHUNK_BYTES,
    CountSketch,
    SeriesWriter,
    StoreError,
    measured_error,
    reduce_series,
    rows_per_chunk,
    sketch_rows,
)

logger = logging.getLogger(__name__)

#: Blocks of a series: one that the training fills while the other is written.
_BLOCKS = 2
#: Largest block, in bytes, of a series whose full snapshots are not uploaded: on a local disk many small files cost
#: nothing, and small blocks save memory.
_LOCAL_BYTES = 64 * 2**20
#: Number of snapshots in the first block of a sketched series on which the sketch's error is measured.
_ERROR_ROWS = 8


def block_rows(n: int, d: int, itemsize: int, storage: str, chains: int = 1) -> int:
    """Rows in a block of a series of `n` snapshots of `d` weights, stored as `storage`; a multiple of `chains`."""
    rows = rows_per_chunk(n, d, itemsize, MAX_CHUNK_BYTES if storage == FULL else _LOCAL_BYTES)
    return max(1, rows // chains) * chains


def buffer_bytes(n: int, d: int, itemsize: int, storage: str, chains: int = 1) -> int:
    """Host memory that a recorder needs for the blocks of one series.

    Parameters
    ----------
    n, d : int
        Numbers of snapshots, over all chains, and of weights.
    itemsize : int
        Bytes per weight.
    storage : str
        ``full``, ``isometric`` or ``sketch``.
    chains : int
        Chains of the series.

    Returns
    -------
    int
        Bytes.

    Examples
    --------
    >>> buffer_bytes(1000, 24_408, 4, "full")
    48816000
    """
    return _BLOCKS * block_rows(n, d, itemsize, storage, chains) * d * itemsize


class _Block:
    """Host memory for the snapshots of one chunk."""

    def __init__(self, rows: int, packer: Packer) -> None:
        self.weights = torch.empty((rows, packer.d), dtype=packer.dtype, pin_memory=packer.device.type == "cuda")
        self.rows = self.weights.numpy()
        self.steps: tuple[int, ...] = ()
        self.losses = np.empty((0, 2))
        self.copied: torch.cuda.Event | None = None


class SeriesBuffer(ResumableSeries):
    """Blocks and writer of one series.

    Attributes
    ----------
    next_step : int
        Optimiser step of the next snapshot, -1 after the last.
    reduced_at_end : bool
        Whether the full snapshots are only kept on this machine until the series is closed and reduced.
    standstill : Standstill
        How many of the steps that were written changed no weight.
    """

    def __init__(
        self, schedule: Schedule, packers: Sequence[Packer], writer: SeriesWriter, storage: str = FULL
    ) -> None:
        self.schedule = schedule
        self.writer = writer
        self.reduced_at_end = storage == ISOMETRIC
        self._all_chains = ChainsPacker(packers)
        self.chains = chains = len(packers)
        self._left_behind, self.standstill = LeftBehind(packers), Standstill(chains)
        packer = packers[0]
        taken = writer.index.steps[::chains]
        self.cursor = int(np.searchsorted(schedule.steps, taken[-1], side="right")) if taken else 0
        self._missed = len(taken) < self.cursor
        #: Snapshots given to the writer.
        self._given = writer.on_disk
        sketched = writer.facts.storage == SKETCH
        self._sketch = CountSketch(packer.d, writer.facts.sketch_dim) if sketched else None
        self._error = writer.facts.sketch_error
        self._packer = packer
        self._rows = block_rows(chains * len(schedule.steps), packer.d, packer.itemsize, storage, chains)
        self.losses: Losses = (
            HostLosses(self._rows, chains)
            if packer.device.type == "cpu"
            else DeviceLosses(self._rows, packer.device, chains)
        )
        self._block = _Block(self._rows, packer)
        self._blocks = 1
        self._free: SimpleQueue[_Block] = SimpleQueue()
        self._fill = 0
        self.next_step = self._step_at_cursor()
        self._from = self._window_start()

    @property
    def _rows_waiting(self) -> Tensor:
        """The snapshots (n, d) that wait in the block."""
        return self._block.weights[: self._fill]

    @property
    def complete(self) -> bool:
        """Whether the writer has been given every snapshot of the schedule."""
        return self.cursor == len(self.schedule.steps) and self._fill == 0 and not self._missed

    def step(self, number: int, loss: StepLosses | None) -> bool:
        """Count the optimiser step `number` with the losses of all chains; return whether the block is full now."""
        if self.next_step < 0 or number <= self._from:
            return False
        if loss is not None:
            loss = loss[: self.chains]
            self.losses.add(loss)
        if number != self.next_step:
            return False
        try:
            self._all_chains.pack_into(self._block.weights[self._fill : self._fill + self.chains])
        except ThermoError:
            self._drop_block()
            raise
        self._left_behind.look()
        self.losses.keep(self._fill, loss)
        self._fill += self.chains
        self.cursor += 1
        self._from = number
        self.next_step = self._step_at_cursor()
        return self._fill == self._rows

    def awaits(self, taken: int) -> bool:
        """Whether the loss of the step after `taken` counts towards a snapshot."""
        return self.next_step >= 0 and taken >= self._from

    def quiet(self, taken: int) -> float:
        """Steps after `taken` before the next snapshot, or before the first whose loss counts towards it."""
        if self.next_step < 0:
            return math.inf
        return (self.next_step - 1 if self.awaits(taken) else self._from) - taken

    def hand_over(self) -> Callable[[], None] | None:
        """Return a function that writes the filled part of the block, for another thread; None if it is empty.

        If the writer is a full block behind, this waits for it: memory stays bounded and no snapshot is dropped.

        Raises
        ------
        ThermoError
            Other parameters are trained than at first: what the block holds is not all that is trained.
        """
        if not self._fill:
            return None
        try:
            self._all_chains.check()
        except ThermoError:
            self._drop_block()
            raise
        block, rows = self._block, self._fill
        taken = self.schedule.steps[self.cursor - rows // self.chains : self.cursor]
        block.steps = tuple(step for step in taken for _ in range(self.chains))
        block.losses = self.losses.read(rows)
        if self._packer.device.type == "cuda":
            block.copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            block.copied.record(torch.cuda.current_stream(self._packer.device))
        self._fill = 0
        self._given += rows
        if self.next_step >= 0:
            self._block = self._next_block()
        return lambda: self._write(block)

    def _drop_block(self) -> None:
        """Forget snapshots that are not of all trained parameters: the series goes without them and is not complete."""
        self._missed, self._fill = True, 0

    def _next_block(self) -> _Block:
        if self._blocks < _BLOCKS:
            self._blocks += 1
            return _Block(self._rows, self._packer)
        return self._free.get()

    def _write(self, block: _Block) -> None:
        try:
            if block.copied is not None:
                block.copied.synchronize()
            losses = block.losses
            self.standstill.add(block.steps, block.rows[: len(block.steps)])
            rows = self._sketched(block.rows[: len(block.steps)])
            with disk_errors(self.writer.folder):
                self.writer.append(block.steps, rows, losses[:, 0], losses[:, 1])
        except BaseException:
            # Even if the caller handles the error and goes on, a series with missing snapshots is not complete.
            self._missed = True
            raise
        finally:
            self._free.put(block)

    def _sketched(self, rows: NDArray[Any]) -> NDArray[Any]:
        if self._sketch is None:
            return rows
        found = sketch_rows(self._sketch, rows, keep_norms=self.writer.facts.protocol == SPHERE)
        if self._error is None:
            some = np.linspace(0, len(rows) - 1, min(len(rows), _ERROR_ROWS)).astype(int)
            self._error = measured_error(rows[some], found[some])
        return found

    def end_here(self) -> None:
        """Take the snapshots that are scheduled after the last one off the schedule."""
        if self.cursor:
            self.schedule = replace(self.schedule, steps=self.schedule.steps[: self.cursor])
        self.next_step = self._step_at_cursor()

    def close(self, done: bool) -> None:
        """Write the final index; `done` says whether the training reached its end.

        Raises
        ------
        ThermoError
            Some of the tensors were not the model's any more: the series is written and not complete.
        """
        left = self._left_behind.found()
        self._missed = self._missed or left is not None
        # A series that was complete before this process began stays complete, however this process ends.
        if not (self.writer.facts.complete and self.complete):
            with disk_errors(self.writer.folder):
                self.writer.close(done and self.complete, sketch_error=self._error)
        if left is not None:
            raise left

    @property
    def can_be_reduced(self) -> bool:
        """Whether the snapshots on disk are full ones that are to be kept in isometric form."""
        return self.reduced_at_end and self.writer.facts.storage == FULL and self.writer.on_disk >= 2

    def reduce(self, out: Path) -> None:
        """Write the isometric form of the full snapshots into `out`, which may be the folder that they are in.

        Raises
        ------
        StoreError
            It could not be written or computed; the full snapshots are still there.
        """
        folder = self.writer.folder
        try:
            self.writer = SeriesWriter(out, reduce_series(folder, out))
        except (OSError, MemoryError, np.linalg.LinAlgError) as error:
            raise StoreError(
                f"series {self.schedule.name!r} could not be reduced ({error}): its full snapshots are safe in {folder}"
            ) from error
