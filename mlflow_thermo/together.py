"""Recorders of one program that trains many models: each is called where it has more to do than to add up losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from mlflow_thermo.buffering import SeriesBuffer
    from mlflow_thermo.recorder import SnapshotRecorder


class PassingRecorder:
    """What a recorder can be spared: steps at which only the losses are added up, which its caller may do for it."""

    chains: int
    steps_taken: int
    _series: Sequence[SeriesBuffer]

    @property
    def quiet(self) -> float:
        """Steps from here on that `pass_by` may take in at once: no snapshot is due at any of them."""
        open_now = [series for series in self._series if series.awaits(self.steps_taken)]
        if len(open_now) > 1:
            # Each has a sum of its own.
            return 0
        return min((series.quiet(self.steps_taken) for series in self._series), default=math.inf)

    @property
    def losses_waiting(self) -> Tensor:
        """Sum (chains,) of the losses that count towards the next snapshot; zeros where several series have one."""
        total = torch.zeros(self.chains, dtype=torch.float64, device=self._series[0].losses.total().device)
        found = [series for series in self._series if series.awaits(self.steps_taken)]
        if len(found) == 1:
            total[: found[0].chains] = found[0].losses.total()
        return total

    def pass_by(self, steps: int, losses: Tensor) -> None:
        """Count optimiser steps at which nothing but the losses is needed.

        Parameters
        ----------
        steps : int
            How many, at most `quiet`.
        losses : Tensor
            What `losses_waiting` was, (chains,), with the losses of these steps added one by one.
        """
        for series in self._series:
            if series.awaits(self.steps_taken):
                series.losses.go_on(losses[: series.chains], steps)
        self.steps_taken += steps


class Together:
    """Recorders that take the same steps.

    Nine calls at each step of a small network would take as long as a tenth of the step itself: most of that is the
    way of each of them back into the processor's cache. What they record is the same to the last bit.

    Parameters
    ----------
    recorders : sequence of SnapshotRecorder
        Of models with the same number of chains, on one device. They are not to be used otherwise until `settle`.
    """

    def __init__(self, recorders: Sequence[SnapshotRecorder]) -> None:
        self._recorders = list(recorders)
        self._sums = torch.stack([recorder.losses_waiting for recorder in self._recorders])
        self._taken = 0
        self._told = [0] * len(self._recorders)
        self._due = [1 + recorder.quiet for recorder in self._recorders]
        self._next = min(self._due)

    def step(self, losses: Tensor) -> None:
        """Count one optimiser step of all of them, with their minibatch losses (recorders, chains)."""
        self._taken += 1
        if self._taken < self._next:
            self._sums += losses.to(self._sums.device)
            return
        rows = losses.to(torch.float64).numpy() if losses.device.type == "cpu" else losses
        called = [number for number, due in enumerate(self._due) if due == self._taken]
        for number in called:
            self._tell(number, self._taken - 1)
            self._recorders[number].step(rows[number])
            self._told[number] = self._taken
            self._due[number] = self._taken + 1 + self._recorders[number].quiet
        self._sums += losses.to(self._sums.device)
        for number in called:
            if self._due[number] > self._taken + 1:
                self._sums[number] = self._recorders[number].losses_waiting
        self._next = min(self._due)

    def settle(self) -> None:
        """Tell every recorder all, before it is asked for its state, closed, or called by another."""
        for number in range(len(self._recorders)):
            self._tell(number, self._taken)

    def _tell(self, number: int, taken: int) -> None:
        steps = taken - self._told[number]
        if steps:
            self._recorders[number].pass_by(steps, self._sums[number])
            self._told[number] = taken
