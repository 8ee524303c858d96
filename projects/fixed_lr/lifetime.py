"""Ends a training with its MLflow run when somebody ends the command that started it."""

from __future__ import annotations

import os
import signal
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
        signal.signal(signal.SIGTERM, self._on_signal)

    @staticmethod
    def _on_signal(number: int, frame: FrameType | None) -> None:
        raise Terminated(f"stopped by signal {number}")

    def check(self) -> None:
        """Raise `Terminated` when the parent process has changed."""
        if os.getppid() != self._parent:
            raise Terminated("the process that started this training is gone")
