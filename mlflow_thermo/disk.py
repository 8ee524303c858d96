"""Disks that are full, read-only or gone: what is wrong in words, and what to do. Standard library only."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow_thermo.errors import ThermoError, first_line

_FULL = "the disk is full: free some space"
_READ_ONLY = "the disk is read-only: make it writable, or choose another place"
_DENIED = "permission denied: allow writing there, or choose another place"
_IN_THE_WAY = "a file is in the place of a folder: move it away, or choose another place"
_BROKEN = "the disk has errors: check it, or choose another place"
_BY_NUMBER = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "the disk's quota is used up: free some space",
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EIO: _BROKEN,
}
#: SQLite and safetensors wrap the errors of the disk in classes of their own, without their numbers.
_BY_WORDS = {
    "database or disk is full": _FULL,
    "No space left on device": _FULL,
    "Disk quota exceeded": _BY_NUMBER[errno.EDQUOT],
    "readonly database": _READ_ONLY,
    "Read-only file system": _READ_ONLY,
    "Permission denied": _DENIED,
    "disk I/O error": _BROKEN,
    "unable to open database file": "its database cannot be opened: see that its folder is there and can be written",
}


def disk_trouble(error: BaseException) -> str:
    """What is wrong with the disk, and what to do; nothing where `error` is not about a disk.

    Examples
    --------
    >>> disk_trouble(OSError(errno.ENOSPC, "No space left on device"))
    'the disk is full: free some space'
    >>> disk_trouble(ValueError("no disk"))
    ''
    """
    if isinstance(error, OSError) and error.errno is not None:
        return _BY_NUMBER.get(error.errno, "")
    text = str(error)
    return next((words for said, words in _BY_WORDS.items() if said in text), "")


class DiskError(ThermoError):
    """A disk takes no more.

    Attributes
    ----------
    trouble : what is wrong with it.
    """

    trouble = ""


@contextmanager
def disk_errors(place: object, what: str = "snapshots") -> Iterator[None]:
    """Turn an error of writing `what` to a place into a DiskError that names both and says what to do."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, f"{what} cannot be written to {place}") from error


def disk_error(error: Exception, problem: str) -> DiskError:
    """The DiskError of a problem that `error` was the cause of."""
    trouble = disk_trouble(error)
    words = trouble or f"{first_line(error)}: check that it is writable and has free space"
    found = DiskError(f"{problem}: {words}; what was already written is kept")
    found.trouble = trouble
    return found
