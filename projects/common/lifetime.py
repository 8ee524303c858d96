"""Ends a training, and its MLflow run, when the command that started it is stopped."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from mlflow_thermo.plugin import SWEEP_VARIABLE
from projects import STARTED_BY

#: Of these one is set where another program has started this one and waits for it.
_WAITED_FOR = {"MLFLOW_RUN_ID", SWEEP_VARIABLE}
#: What asks a program to end.
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
#: Of `prctl`: the signal that the kernel sends when the parent is gone.
_SET_PARENT_DEATH_SIGNAL = 1
#: Not SIGTERM: the kernel sends it also when just the thread that started the program has ended.
_PARENT_GONE = signal.SIGUSR2


class Terminated(BaseException):
    """The process was asked to stop, or its parent process is gone."""


def reason_of(end: BaseException) -> str:
    """Why a program was ended, in words; Ctrl-C has none of its own."""
    return str(end) or "interrupted from the keyboard"


class ParentWatch:
    """Turns SIGTERM, SIGHUP and the parent's death into `Terminated`, and Ctrl-C into KeyboardInterrupt.

    Only once: a program that is asked again while it closes goes on closing, and says so. ``mlflow run`` that is killed
    leaves its training process behind as an orphan, whose run would stay RUNNING for ever; the orphan has to notice by
    itself. It then has another parent than at its start, be that init or a subreaper; a program that init itself has
    started, as in a container, is no orphan.

    Attributes
    ----------
    closing_words : what a program that is asked once more while it closes says.
    """

    def __init__(self) -> None:
        # Who types nohup wants the program to outlive the shell; `mlflow run` and a sweep are waited for even so.
        alone = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN and not _WAITED_FOR & set(os.environ)
        self._parent = None if alone else STARTED_BY
        self._holding = False
        self._held: int | None = None
        self._closing = False
        self.closing_words = "closing, please wait"
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        if not alone and sys.platform == "linux":
            # A check between two steps may be minutes away.
            signal.signal(_PARENT_GONE, lambda *_: self.check())
            _tell_of_the_parents_death()
        if self._orphaned:
            self._held = signal.SIGTERM

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._closing or self._held is not None:
            # Not print: that may be what the signal has interrupted.
            with suppress(OSError):
                os.write(2, f"{self.closing_words}\n".encode())
        elif self._holding:
            self._held = number
        else:
            self._end(number)

    def _end(self, number: int) -> None:
        self._closing, self._held = True, None
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if self._orphaned:
            raise Terminated(_GONE)
        raise Terminated(f"stopped by signal {number}")

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold signals back until the block is left, or `stop_if_asked`.

        A signal in the middle of opening a run would leave it RUNNING for ever: nobody would have its id yet.
        """
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        self.stop_if_asked()

    @property
    def asked(self) -> bool:
        """Whether a signal is held back."""
        return self._held is not None

    def stop_if_asked(self) -> None:
        """Raise for a signal that was held back."""
        if self._held is not None:
            self._end(self._held)

    def close(self) -> None:
        """Ignore from now on what asks the program to end, which it is about to do."""
        self._closing, self._held = True, None

    @property
    def _orphaned(self) -> bool:
        return self._parent is not None and os.getppid() != self._parent

    def check(self) -> None:
        """Raise `Terminated` when the parent process is another than at the start; held back as a signal is."""
        if not self._orphaned or self._closing:
            return
        if self._holding:
            self._held = signal.SIGTERM
        else:
            self._end(signal.SIGTERM)


_GONE = "the process that started this training is gone"


def _tell_of_the_parents_death() -> None:
    """Have the kernel send a signal when the parent is gone."""
    # A C library without it leaves the checks.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, int(_PARENT_GONE))
