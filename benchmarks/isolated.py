"""Measurements in processes of their own: a crash, a full memory or a compiler that hangs costs one row, not the table.

Peak memory is then that of the measurement alone, too.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

#: What stands in the place of a number that could not be measured.
FAILED = "failed"


@dataclass(frozen=True)
class Job:
    """What one process measures.

    Attributes
    ----------
    label : first cells of the row that says what went wrong.
    measure : yields rows, lists of cells; a function of a module, since another process calls it.
    seconds : it is stopped after.
    """

    label: tuple[Any, ...]
    measure: Callable[..., Iterator[list[Any]]]
    arguments: tuple[Any, ...]
    seconds: float


def rows_of(job: Job, seconds: float) -> Iterator[list[Any]]:
    """The job's rows as they come; if it fails, a last row of its label, `FAILED`, ``-`` and the error in one line.

    Parameters
    ----------
    seconds : left for it, if less than the job's own limit.
    """
    seconds = min(seconds, job.seconds)
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, job))
    process.start()
    theirs.close()
    end = time.monotonic() + seconds
    try:
        while True:
            if not ours.poll(max(0.0, end - time.monotonic())):
                yield [*job.label, FAILED, "-", f"stopped after {seconds:.0f} s"]
                return
            try:
                kind, content = ours.recv()
            except EOFError:
                process.join()
                yield [*job.label, FAILED, "-", f"its process ended with code {process.exitcode}"]
                return
            if kind == "row":
                yield content
            elif kind == "error":
                yield [*job.label, FAILED, "-", content]
            else:
                return
    finally:
        _end(process)


def one_line(error: BaseException) -> str:
    """An error in one line that a table can hold; compilers put the cause into the second line of theirs."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"[:240].replace("|", "/")


def _run(connection: Connection, job: Job) -> None:
    # A group of its own, so that a compiler's helpers end with it.
    os.setsid()
    try:
        for row in job.measure(*job.arguments):
            connection.send(("row", row))
    except Exception as error:
        traceback.print_exc()
        connection.send(("error", one_line(error)))
    connection.send(("end", None))
    connection.close()


def _end(process: Any) -> None:
    process.join(0.2)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.is_alive():
        process.kill()
    process.join()
