"""Series and recorders that go on where a checkpoint was saved."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlflow_thermo.background import Background
from mlflow_thermo.disk import disk_errors
from mlflow_thermo.losses import Losses
from mlflow_thermo.schedule import Schedule
from mlflow_thermo.schema import ISOMETRIC
from mlflow_thermo.store import SeriesWriter, StoreError, shortened

if TYPE_CHECKING:
    from mlflow_thermo.buffering import SeriesBuffer

logger = logging.getLogger(__name__)


class ResumableSeries:
    """Where a series stands: on disk, in its block, and in its schedule."""

    schedule: Schedule
    writer: SeriesWriter
    losses: Losses
    cursor: int
    next_step: int
    _from: int
    _fill: int
    _missed: bool
    _error: float | None
    _given: int

    @property
    def _rows_waiting(self) -> Tensor:
        """The snapshots (n, d) that wait in the block."""
        raise NotImplementedError

    def _step_at_cursor(self) -> int:
        steps = self.schedule.steps
        return steps[self.cursor] if self.cursor < len(steps) else -1

    def _window_start(self) -> int:
        """Last step whose loss does not count towards the next snapshot: that of the previous one."""
        steps, cursor = self.schedule.steps, self.cursor
        if cursor >= len(steps):
            return 0
        if cursor:
            return steps[cursor - 1]
        return steps[0] - (steps[1] - steps[0] if len(steps) > 1 else 1)

    def skip_to(self, step: int) -> None:
        """Continue after `step`: later snapshots on disk go, and earlier ones that are not there are missing for good.

        Raises
        ------
        StoreError
            The series is reduced, and holds later snapshots.
        """
        self._cut(sum(chunk.n_snapshots for chunk in self.writer.index.chunks if chunk.last_step <= step))
        self._place(len([s for s in self.schedule.steps if s <= self._last_on_disk]))
        missed = [s for s in self.schedule.steps[self.cursor :] if s <= step]
        if missed:
            self._missed = True
            logger.warning(
                "series %r misses its snapshots from step %d to %d: the training resumes at a later step than the "
                "last snapshot on disk; call flush() whenever a checkpoint is saved",
                self.schedule.name, missed[0], missed[-1],
            )  # fmt: skip
            self._place(self.cursor + len(missed))

    def _place(self, cursor: int) -> None:
        self.cursor = cursor
        self.next_step = self._step_at_cursor()
        self._from = self._window_start()

    @property
    def _last_on_disk(self) -> int:
        return self.writer.last_step or 0

    def _cut(self, count: int) -> None:
        """Take from the series on disk what follows its first `count` snapshots: it is recorded again."""
        index = self.writer.index
        if count == index.n_snapshots:
            return
        ends = [0, *accumulate(chunk.n_snapshots for chunk in index.chunks)]
        if count not in ends or index.storage == ISOMETRIC:
            raise StoreError(
                f"{self.writer.folder} does not hold the {count} snapshots of the checkpoint: start the training anew, "
                "in another directory"
            )
        left = shortened(index, ends.index(count))
        self.writer = SeriesWriter(self.writer.folder, left)
        with disk_errors(self.writer.folder):
            self.writer.close(complete=False)
            gone = [chunk.file for chunk in index.chunks[len(left.chunks) :]]
            gone += [part.file for part in index.parts[len(left.parts) :]]
            for name in gone:
                (self.writer.folder / name).unlink(missing_ok=True)
        self._given, self._missed = count, False

    @property
    def settled(self) -> bool:
        """Whether every snapshot that was handed over is on disk."""
        return self.writer.on_disk >= self._given

    def state(self) -> dict[str, Any]:
        """What is not on disk yet, for a checkpoint; only where the series is `settled`."""
        if self._rows_waiting.is_pinned():
            torch.cuda.synchronize()
        return {
            "written": self._given, "cursor": self.cursor, "missed": self._missed, "error": self._error,
            "weights": self._rows_waiting.clone(), **self.losses.state(self._fill),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`: what was written later goes, as a resumed training records it again.

        Raises
        ------
        StoreError
            The series on disk does not hold what it held then.
        """
        if self.writer.facts.storage == ISOMETRIC and self.writer.on_disk >= state["written"]:
            # Reduced when the training had ended: there is nothing to record any more.
            return
        self._cut(state["written"])
        self._fill = len(state["weights"])
        self._rows_waiting[:] = state["weights"]
        self.losses.restore(state)
        self._missed, self._error = state["missed"], state["error"]
        self._place(state["cursor"])


class ResumableRecorder:
    """What a recorder gives to a checkpoint, and takes from it."""

    steps_taken: int
    _series: Sequence[SeriesBuffer]
    _background: Background

    def flush(self) -> None:
        """Write everything recorded so far to disk.

        Raises
        ------
        StoreError
            The snapshots cannot be written.
        """
        for series in self._series:
            self._hand_over(series)
        self._background.wait()

    def fast_forward(self, step: int) -> None:
        """Tell a resumed recorder how many optimiser steps were taken up to a checkpoint that followed a `flush`.

        Snapshots of later steps are dropped: they are recorded again. Those that are missing before the checkpoint are
        named in a warning, and their series is not complete.

        Parameters
        ----------
        step : int
            Optimiser steps up to the checkpoint.
        """
        self.flush()
        for series in self._series:
            series.skip_to(step)
        self.steps_taken = step

    @property
    def settled(self) -> bool:
        """Whether `state_dict` need not wait for the disk."""
        return all(series.settled for series in self._series)

    def state_dict(self) -> dict[str, Any]:
        """Where the recording stands, for the checkpoint of a training; small, and free of pickle.

        Returns
        -------
        dict
            Numbers and tensors, nested: the snapshots that are not on disk yet, and the losses that count towards the
            next one. What is on disk stays there: a resumed recorder needs the same `directory`.

        Raises
        ------
        StoreError
            The snapshots cannot be written.
        """
        while not self.settled:
            self._background.check()
            time.sleep(0.001)
        return {
            "steps_taken": self.steps_taken,
            "series": {series.schedule.name: series.state() for series in self._series},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`, exactly: no step is recorded twice, and none is missing.

        Raises
        ------
        StoreError
            The directory does not hold what it held then, or the state is one of other series.
        """
        names = [series.schedule.name for series in self._series]
        if set(state["series"]) != set(names):
            raise StoreError(
                f"the checkpoint is of the series {', '.join(state['series'])}: resume with the same series"
            )
        for series in self._series:
            series.restore(state["series"][series.schedule.name])
        self.steps_taken = state["steps_taken"]

    def _hand_over(self, series: SeriesBuffer) -> None:
        """Write and upload what is buffered, in the background."""
        raise NotImplementedError
