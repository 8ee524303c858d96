"""Recorders that were not closed: they are closed when nothing refers to them any more, or when the program ends."""

from __future__ import annotations

import atexit

# Imported before ours is set: hooks run in reverse, and after its own no thread pool takes work any more.
import concurrent.futures.thread  # noqa: F401
import logging
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self, SupportsIndex
from weakref import WeakSet

from mlflow_thermo.errors import ThermoError, first_line

logger = logging.getLogger(__name__)


class NotCopied(ThermoError, TypeError):
    """A recorder was copied or pickled; a TypeError as of any object that cannot be, which other libraries expect."""


class Recording:
    """What a recorder has of closing: in time at the end of a ``with`` block, or late where that was forgotten.

    Attributes
    ----------
    run_id, directory, steps_taken : as of the recorder.
    closed : whether it takes no more steps.
    """

    run_id: str | None
    directory: Path
    steps_taken: int = 0
    #: Until all is open.
    closed = True

    def close(self, complete: bool | None = None) -> None:
        """Write and upload what is left."""
        raise NotImplementedError

    def opened(self, *needed: object) -> None:
        """Everything is open: from now on it has to be closed, for which the objects `needed` must be alive."""
        self.closed = False
        _open.add(self)
        _needed[id(self)] = needed

    def end(self) -> bool:
        """Take no more steps; returns whether it did until now."""
        was_open, self.closed = not self.closed, True
        _needed.pop(id(self), None)
        return was_open

    def require_open(self) -> None:
        """Raise ThermoError after `close`."""
        if self.closed:
            raise ThermoError(
                "the recorder is closed, or another one has taken its directory: make a new one, in a run or a "
                "directory of its own"
            )

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise NotCopied(
            "a recorder writes into one folder and one run, and cannot be copied or pickled: leave it out of the copy, "
            "and keep its state_dict() in checkpoints"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(complete=None if kind is None else False)

    def __del__(self) -> None:
        if not self.closed:
            # In a thread of its own: the garbage collector runs at any moment, also in the thread that writes for this
            # recorder, which would then wait for itself.
            closer = threading.Thread(target=_close, args=(self,), name="thermo-closer")
            _closers.add(closer)
            closer.start()


_open: WeakSet[Recording] = WeakSet()
#: By the id of the recorder. In a circle of objects that goes as a whole, a thread pool ends before its owner is told.
_needed: dict[int, tuple[object, ...]] = {}
_closers: set[threading.Thread] = set()


def release(directory: Path) -> None:
    """Make sure that no earlier recorder of this process writes to `directory` any more.

    One that was left open there, as after an error, gives up what it has not written: its place is taken.
    """
    for closer in list(_closers):
        closer.join()
    for recorder in list(_open):
        if recorder.directory.resolve() == directory.resolve():
            recorder.end()


def _close(recorder: Recording) -> None:
    place = f"{recorder.directory}" if recorder.run_id is None else f"run {recorder.run_id}"
    try:
        recorder.close()
        outcome = "was closed now; record inside of 'with SnapshotRecorder(...)', or call close() at the end"
    except Exception as error:
        outcome = f"could not be closed now: {first_line(error)}"
    logger.warning("the recorder of %s was never closed after step %d and %s", place, recorder.steps_taken, outcome)
    _closers.discard(threading.current_thread())


def _close_all() -> None:
    for closer in list(_closers):
        closer.join()
    for recorder in list(_open):
        if not recorder.closed:
            _close(recorder)


def _leave_to_parent() -> None:
    """In a process that was forked off: the recorders there are belong to its parent."""
    for recorder in list(_open):
        recorder.closed = True
    _closers.clear()


# Python's own hooks for the end of threads run before those of atexit, whose time is too late to write anything.
getattr(threading, "_register_atexit", atexit.register)(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
