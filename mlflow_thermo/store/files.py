"""Files that anyone may have written: opened only where they are plain files, and parsed only where they are small."""

from __future__ import annotations

import json
import os
import re
import reprlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from mlflow_thermo.errors import ThermoError

#: Most keys in one object of a JSON text, and most bytes beside long lists of numbers.
_KEYS, _TEXT = 10_000, 8 * 2**20
#: A key and the beginning of its list.
_KEY = re.compile(rb'\s*"[^"\\]*"\s*:\s*\[')
#: Characters of a text of a file that a message shows.
_LONGEST = 60
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxlong = _BRIEF.maxother = _LONGEST
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = _BRIEF.maxlevel = 3
#: Flags that Windows does not have: a FIFO that takes the place of a file must not block, nor a link be followed.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class StoreError(ThermoError):
    """A series on disk is missing, half-written or damaged, or cannot be written."""


def shown(value: object) -> str:
    """A value of a file in a message: short, and in one line that a terminal can show."""
    return printable(_BRIEF.repr(value))


def named(field: str) -> str:
    """The name of a field in a message."""
    return printable(field if len(field) <= _LONGEST else f"{field[:_LONGEST]}…")


def printable(text: str) -> str:
    """A text without what a terminal would obey and what no file can hold."""
    whole = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in whole)


def real_file(path: Path, label: str) -> Path:
    """Where the file really lies; StoreError unless it is a regular file in its own folder or below.

    Nothing is opened: opening a FIFO would wait for ever, and opening a device can act on it.
    """
    again = "put the file itself there"
    try:
        place = path.resolve(strict=True)
        if not place.is_relative_to(path.parent.resolve()):
            raise StoreError(f"{label}: field file: it is a link that leads out of its folder: {again}")
        if not stat.S_ISREG(place.stat().st_mode):
            raise StoreError(f"{label}: field file: it is not a regular file: {again}")
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreadable(path, label, error) from error
    return place


@contextmanager
def opened(path: Path, label: str) -> Iterator[BinaryIO]:
    """The file at `path`, open for reading; FileNotFoundError if there is none, StoreError as `real_file`."""
    place = real_file(path, label)
    try:
        with open(os.open(place, _FLAGS), "rb") as handle:
            # It may have been replaced since.
            if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
                raise StoreError(f"{label}: field file: it is not a regular file: put the file itself there")
            yield handle
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(path, label, error) from error


def _unreadable(path: Path, label: str, error: Exception) -> StoreError:
    if isinstance(error, PermissionError):
        folder = printable(str(path.parent))
        return StoreError(
            f"{label}: field file: it cannot be read (permission denied): its owner can allow it with "
            f"'chmod -R a+rX {folder}'"
        )
    return StoreError(f"{label}: field file: it cannot be read ({_why(error)}): make it readable")


def parsed_json(content: bytes, label: str, remedy: str) -> dict[str, Any]:
    """The JSON object in `content`.

    Parameters
    ----------
    content : bytes
        UTF-8.
    label, remedy : str
        What it is, and what to do if it is wrong.

    Returns
    -------
    dict

    Raises
    ------
    StoreError
        It is not UTF-8, not JSON or not an object, has a key twice, half a character or a number of thousands of
        digits, or is nested too deeply. The message names the field in which that is.
    """
    # Imported here: a training that writes snapshots needs no parser.
    from pydantic_core import from_json

    rest = b"".join(map(_without_list, BytesIO(content)))
    if len(rest) > _TEXT:
        raise StoreError(
            f"{label}: field (all): {len(rest)} bytes beside lists of numbers on lines of their own, at most {_TEXT}: "
            f"{remedy}"
        )
    try:
        # Four times as fast as the standard library's, and stricter. It takes the last of equal keys.
        found = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        reason, _, place = str(error).partition(" at line ")
        where = _field_at(content, *(int(number) for number in re.findall(r"\d+", place)))
        raise StoreError(f"{label} is not valid JSON: {where}: {printable(reason)}: {remedy}") from None
    if not isinstance(found, dict):
        raise StoreError(f"{label} is not valid JSON: field (all): it is no object: {remedy}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = dict(pairs)
        if len(pairs) > _KEYS:
            raise StoreError(f"{label}: field {named(pairs[0][0])}: more than {_KEYS} fields in one object: {remedy}")
        if len(keys) < len(pairs):
            names = [key for key, _ in pairs]
            again = next(name for i, name in enumerate(names) if name in names[:i])
            raise StoreError(f"{label} is not valid JSON: field {named(again)} stands there twice: {remedy}")
        return keys

    try:
        json.loads(rest, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise StoreError(f"{label} is not valid JSON: field (all): two readers disagree about it: {remedy}") from None
    return found


def _without_list(line: bytes) -> bytes:
    """A line of JSON; one that is a key with a list of numbers, without the list."""
    key = _KEY.match(line)
    end = line.find(b"]")
    # It holds no key, and would be parsed twice.
    if key and end >= len(line) - 3 and line.rfind(b"[") < key.end() and b"{" not in line and line.count(b'"') == 2:
        return line[: key.end()] + line[end:]
    return line


def _field_at(content: bytes, line: int = 1, column: int = 1) -> str:
    """The field in which a place of a JSON text lies."""
    before = content.split(b"\n", line)[:line]
    text = b"\n".join([*before[:-1], before[-1][:column]])
    end = text.rfind(b'":')
    start = text.rfind(b'"', 0, max(end, 0))
    if end > start >= 0:
        return f"field {named(text[start + 1 : end].decode('utf-8', 'replace'))}"
    return f"field (none), line {line}, column {column}"


def _why(error: Exception) -> str:
    return shown(error.strerror) if isinstance(error, OSError) else "not a usable path"
