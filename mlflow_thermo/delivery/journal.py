"""What is still to be sent to the server, on disk as soon as it is known, so that a killed program loses none of it."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from mlflow_thermo.disk import disk_trouble
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import ENDED

logger = logging.getLogger(__name__)

#: Folder of a journal, beside the series that it is about; its files.
JOURNAL = "outbox"
ENTRIES, _DONE = "journal.jsonl", "delivered"

RUN, METRICS, TAGS, INPUTS, FILE, END = "run", "metrics", "tags", "inputs", "file", "end"
#: What becomes of a file: it stays, it goes when it is sent, or a newer version will take its place.
KEEP, DELETE, REPLACED = "keep", "delete", "replaced"
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: What MLflow knows of a data set.
_NEEDED = {"name", "digest", "source_type", "source"}
_FIELDS = _NEEDED | {"schema", "profile"}


@dataclass(frozen=True)
class Entry:
    """One line of a journal: a kind of its own, what it says, and the length of the journal up to its end."""

    kind: str
    body: Any
    end: int


class Journal:
    """Entries in the order in which they came, and how many of them have been delivered.

    Parameters
    ----------
    folder : of the series; the journal lies in `JOURNAL` in it, and its files are named from here.
    run_id : run that it is about; None to take what the journal says.
    resume : whether its run goes on from a checkpoint: of what is not delivered only the metrics stay, as the files may
        be cut back to the checkpoint, and the run does not end where it was cut off.

    Attributes
    ----------
    known : names and steps of the metrics that were in it when a run was resumed.
    files : digests of the files that were ever to be sent, by their paths in the folder.
    in_memory : how many of the newest entries are not on disk.

    Raises
    ------
    ThermoError
        A journal that is about another run, or is none; another program has it open.
    """

    def __init__(self, folder: Path, run_id: str | None = None, *, resume: bool = False) -> None:
        self.folder = folder
        self._alone = FileLock(folder / JOURNAL / "lock", timeout=0)
        if run_id is None and not (folder / JOURNAL).is_dir():
            raise ThermoError(f"{folder} holds nothing to be delivered: give a folder that a recording has left behind")
        with suppress(OSError):
            (folder / JOURNAL).mkdir(parents=True, exist_ok=True)
            try:
                self._alone.acquire()
            except Timeout:
                raise ThermoError(f"another program records into {folder} or delivers from it: let it end") from None
        self._path, self._done = folder / JOURNAL / ENTRIES, folder / JOURNAL / _DONE
        self._lock = threading.Lock()
        self.files: dict[str, str] = {}
        self.known: set[tuple[str, int]] = set()
        self._waiting: deque[Entry] = deque()
        self._size = 0
        self.in_memory = 0
        #: Without a disk to write to, entries wait in memory alone.
        self._file: int | None = None
        found = self._read(resume)
        if run_id is None and found is None:
            raise ThermoError(f"{folder} holds nothing to be delivered: give a folder that a recording has left behind")
        if run_id is not None and found is not None and run_id != found:
            raise ThermoError(f"{folder} holds what is to be delivered to run {found}, not to {run_id}")
        self.run_id = found or run_id or ""
        try:
            if resume and found is not None:
                self._forget_all_but_metrics()
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            # A line that was cut off where a program was killed was never complete.
            os.truncate(self._path, self._size)
        except OSError as error:
            self._without_disk(error)
        if found is None:
            self.append(RUN, self.run_id)
            self.delivered(self.peek(1))

    def _read(self, resume: bool) -> str | None:
        """Queue what is not delivered yet, and return the run that the journal is about."""
        if not self._path.is_file():
            return None
        raw = self._path.read_bytes()
        raw = raw[: raw.rfind(b"\n") + 1]
        done = self._done_before(len(raw))
        run_id = None
        for line in raw.splitlines(keepends=True):
            self._size += len(line)
            entry = self._parsed(line)
            if entry.kind == RUN:
                run_id = entry.body
            elif entry.end > done:
                self._waiting.append(entry)
            if entry.kind == FILE and (entry.end <= done or not resume):
                self.files[entry.body[0]] = entry.body[2]
            elif entry.kind == METRICS and resume:
                self.known |= {(key, step) for key, _, _, step in entry.body}
        return run_id

    def _forget_all_but_metrics(self) -> None:
        raw = self._path.read_bytes()
        kept = raw[: self._done_before(len(raw))]
        waiting = [entry for entry in self._waiting if entry.kind == METRICS]
        self._waiting.clear()
        for entry in waiting:
            kept += _line(METRICS, entry.body)
            self._waiting.append(Entry(METRICS, entry.body, len(kept)))
        part = self._path.with_name(ENTRIES + ".part")
        part.write_bytes(kept)
        os.replace(part, self._path)
        self._size = len(kept)

    def _done_before(self, size: int) -> int:
        try:
            return min(size, max(0, int(self._done.read_text(encoding="ascii"))))
        except FileNotFoundError:
            return 0
        except ValueError:
            # What is sent again changes nothing on the server.
            return 0

    def _parsed(self, line: bytes) -> Entry:
        try:
            kind, body = json.loads(line)
            _CHECKS[kind](body)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ThermoError(f"{self._path} is no journal of a recording ({type(error).__name__}: {error})") from None
        return Entry(kind, body, self._size)

    def append(self, kind: str, body: Any) -> None:
        """Add an entry; on disk when this returns, or in memory where the disk takes no more."""
        line = _line(kind, body)
        with self._lock:
            if self._file is not None:
                try:
                    written = os.write(self._file, line)
                    if written < len(line):
                        os.truncate(self._path, self._size)
                        raise OSError(errno.ENOSPC, f"{written} of {len(line)} bytes were written")
                except OSError as error:
                    self._without_disk(error)
            self.in_memory += self._file is None
            self._size += len(line)
            self._waiting.append(Entry(kind, body, self._size))
            if kind == FILE:
                self.files[body[0]] = body[2]

    def _without_disk(self, error: OSError) -> None:
        # Whatever is added from now on is lost with the program: the order of what is on disk must stay unbroken.
        why = disk_trouble(error) or error
        logger.warning("%s cannot be written, what is to be sent waits in memory: %s", self._path, why)
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def peek(self, most: int) -> list[Entry]:
        """The oldest entries that are not delivered, at most so many."""
        with self._lock:
            return [self._waiting[i] for i in range(min(most, len(self._waiting)))]

    def delivered(self, entries: list[Entry]) -> None:
        """Note that the oldest entries, these, are on the server."""
        with self._lock:
            for _ in entries:
                self._waiting.popleft()
        if entries and self._file is not None:
            part = self._done.with_name(_DONE + ".part")
            try:
                part.write_text(str(entries[-1].end), encoding="ascii")
                os.replace(part, self._done)
            except OSError:
                # They would be sent again, which changes nothing on the server.
                logger.debug("%s cannot be written", self._done)

    def __len__(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
        self._alone.release()


def _line(kind: str, body: Any) -> bytes:
    return json.dumps([kind, body]).encode() + b"\n"


def _check_run(body: Any) -> None:
    if not _RUN_ID.fullmatch(body):
        raise ValueError("no id of a run")


def _check_metrics(body: Any) -> None:
    for key, value, time, step in body:
        if not (isinstance(key, str) and isinstance(value, float) and isinstance(time, int) and isinstance(step, int)):
            raise ValueError("no metric")


def _check_tags(body: Any) -> None:
    if not all(isinstance(key, str) and isinstance(value, str) for key, value in body.items()):
        raise ValueError("no tags")


def _check_inputs(body: Any) -> None:
    for fields, tags in body:
        texts = {name for name, value in fields.items() if isinstance(value, str)}
        if not (
            texts >= _NEEDED and set(fields) <= _FIELDS and all(fields[name] is None for name in {*fields} - texts)
        ):
            raise ValueError("no data set")
        _check_tags(tags)


def _check_file(body: Any) -> None:
    path, target, digest, then = body
    for one in (path, target):
        # A journal may come from anyone: it must not reach beyond its folder.
        if PurePosixPath(one).is_absolute() or ".." in PurePosixPath(one).parts:
            raise ValueError(f"{one!r} lies outside of the folder")
    if not isinstance(digest, str) or then not in (KEEP, DELETE, REPLACED):
        raise ValueError("no file")


def _check_end(body: Any) -> None:
    status, time = body
    if status not in ENDED or not isinstance(time, int):
        raise ValueError(f"{body!r} is no end")


_CHECKS = {
    RUN: _check_run,
    METRICS: _check_metrics,
    TAGS: _check_tags,
    INPUTS: _check_inputs,
    FILE: _check_file,
    END: _check_end,
}
