"""Ends a training with its MLflow run when somebody ends the command that started it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(BaseException):
    """The process was told to stop, or the process that started it is gone."""


class ParentWatch:
    """Turns SIGTERM, and the parent's death, into `Terminated` at the next check.

    ``mlflow run`` that is killed leaves its training process behind as an orphan with a run that says RUNNING
    for ever; the orphan has to notice by itself.
    """

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._holding = False
        self._held: int | None = None
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._holding:
            self._held = number
        else:
            raise Terminated(f"stopped by signal {number}")

    @contextmanager
    def holding(self) -> Iterator[None]:
        """A signal waits until the block is left.

        A run that is opened while a signal breaks in is one that nobody knows of, and says RUNNING for ever.
        """
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._held is not None:
            raise Terminated(f"stopped by signal {self._held}")

    def check(self) -> None:
        """Raise `Terminated` when the parent process has changed."""
        if os.getppid() != self._parent:
            raise Terminated("the process that started this training is gone")
