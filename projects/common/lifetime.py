"""Ends a training, and its MLflow run, when the command that started it is stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mlflow_thermo.plugin import SWEEP_VARIABLE
from projects import STARTED_BY

#: Of these one is set where another program has started this one and waits for it.
_WAITED_FOR = {"MLFLOW_RUN_ID", SWEEP_VARIABLE}


class Terminated(BaseException):
    """The process was asked to stop, or its parent process is gone."""


def reason_of(end: BaseException) -> str:
    """Why a program was ended, in words; Ctrl-C has none of its own."""
    return str(end) or "interrupted from the keyboard"


class ParentWatch:
    """Turns SIGTERM, and the parent's death, into `Terminated` at the next check.

    ``mlflow run`` that is killed leaves its training process behind as an orphan, whose run would stay RUNNING for
    ever; the orphan has to notice by itself. It then has another parent than at its start, be that init or a
    subreaper; a program that init itself has started, as in a container, is no orphan.
    """

    def __init__(self) -> None:
        # Who types nohup wants the program to outlive the shell; `mlflow run` and a sweep are waited for even so.
        alone = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN and not _WAITED_FOR & set(os.environ)
        self._parent = None if alone else STARTED_BY
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
        """Hold signals back until the block is left.

        A signal in the middle of opening a run would leave it RUNNING for ever: nobody would have its id yet.
        """
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._held is not None:
            raise Terminated(f"stopped by signal {self._held}")

    def check(self) -> None:
        """Raise `Terminated` when the parent process is another than at the start."""
        if self._parent is not None and os.getppid() != self._parent:
            raise Terminated("the process that started this training is gone")
