"""Weights that stand still between snapshots: a step that was none, or a tensor that is no longer the model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlflow_thermo.errors import ThermoError
from mlflow_thermo.packing import Packer

#: A tensor has been left behind when it stood still at the last snapshots: at this many, and at this share of them.
_AT_LEAST, _SHARE = 3, 0.1
#: Snapshots at which the tensors are looked at, and one of so many after them: with many chains a look takes its time.
_ALL, _EVERY = 64, 16
#: Weights by which most snapshots that differ are told apart without a look at the rest.
_GLANCE = 64


class LeftBehind:
    """Finds tensors, given by name, in whose place the model trains others.

    A model can be asked for its parameters; a list of them goes on to show the tensors that it was made of.

    Parameters
    ----------
    packers : sequence of Packer
        Of each chain; those of modules need no such look.
    """

    def __init__(self, packers: Sequence[Packer]) -> None:
        self._named = [
            (place.name, tensor)
            for packer in packers
            if not packer.in_module
            for place, tensor in zip(packer.layout, packer.tensors, strict=True)
        ]
        self._versions = [tensor._version for _, tensor in self._named]
        self._moved: set[int] = set()
        self._still: dict[int, tuple[int, Tensor]] = {}
        self._looks = 0

    def look(self) -> None:
        """Look at all tensors, at a snapshot."""
        self._looks += 1
        if self._looks > _ALL and self._looks % _EVERY:
            return
        for number, (_, tensor) in enumerate(self._named):
            if (version := tensor._version) != self._versions[number]:
                self._versions[number] = version
                self._moved.add(number)
                self._still.pop(number, None)
            elif number in self._moved and number not in self._still:
                self._still[number] = self._looks, tensor.detach().clone()

    def found(self) -> ThermoError | None:
        """At the end: what to say of a tensor that was updated at first, and not at the last snapshots."""
        for number, (since, was) in self._still.items():
            name, tensor = self._named[number]
            # Updates that PyTorch does not count, as of a CUDA graph, are seen in the numbers.
            if self._looks - since >= max(_AT_LEAST, _SHARE * self._looks) and torch.equal(was, tensor.detach()):
                return ThermoError(
                    f"parameter {name!r} was not updated any more at the last {self._looks - since} snapshots, another "
                    "may have taken its place in the model: give the recorder the module, in which it is followed"
                )
        return None


class Standstill:
    """Counts snapshots of neighbouring steps that are equal: steps that no weight took, though later ones moved.

    Parameters
    ----------
    chains : int
        Rows of each snapshot.

    Attributes
    ----------
    steps, of : int
        Steps that changed nothing, of so many that were looked at.
    """

    def __init__(self, chains: int) -> None:
        self._chains = chains
        self._last: NDArray[Any] | None = None
        self._last_step = self._waiting = 0
        self.steps = self.of = 0

    def add(self, steps: Sequence[int], rows: NDArray[Any]) -> None:
        """Take the next snapshots: their `steps` and `rows`, one row for each chain."""
        taken = steps[:: self._chains]
        flat = rows.reshape(len(taken), -1)
        for number, step in enumerate(taken):
            before = flat[number - 1] if number else self._last
            if before is not None and step == self._last_step + 1:
                self._count(before, flat[number])
            self._last_step = step
        self._last = flat[-1].copy()

    def _count(self, before: NDArray[Any], now: NDArray[Any]) -> None:
        self.of += 1
        glance = slice(None, None, max(1, len(now) // _GLANCE))
        if np.array_equal(before[glance], now[glance]) and np.array_equal(before, now):
            # At its optimum a training stands still for good: only one that moves on has a step that was none.
            self._waiting += 1
        else:
            self.steps, self._waiting = self.steps + self._waiting, 0
