"""The folder that a report is written into, which may hold other things: those are neither removed nor uploaded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mlflow_thermo.schema import ThermoError

#: Kinds of report.
STUDY, ACCURACY, PAPER, TOY = "study", "accuracy", "paper", "toy"
#: Names of what was written last, relative to the folder; one list for each kind of report.
_LIST = ".thermo-{}.json"


def require_folder(folder: str | Path) -> None:
    """Raise ThermoError where no report could be written into `folder`, before anything slow; makes nothing."""
    path = Path(folder)
    try:
        there = next(one for one in (path, *path.absolute().parents) if one.exists())
        reason = "" if os.access(there, os.W_OK) else "permission denied"
        reason = reason if there.is_dir() else f"{there} is not a folder"
    except OSError as error:
        reason = str(error.strerror)
    if reason:
        raise ThermoError(f"out {str(folder)!r} cannot be written ({reason}): choose another folder")


def start_report(folder: str | Path, kind: str) -> Path:
    """The folder, made where it is missing, without the files of the report of this kind that was there before.

    Raises
    ------
    ThermoError
        Something that is not a folder, or cannot be written.
    """
    require_folder(folder)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in report_files(folder, kind):
        path.unlink(missing_ok=True)
    (folder / _LIST.format(kind)).unlink(missing_ok=True)
    return folder


def end_report(folder: Path, kind: str, files: Iterable[Path]) -> None:
    """Remember `files` of `folder` as its report of this kind."""
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    (folder / _LIST.format(kind)).write_text(json.dumps(names) + "\n", encoding="utf-8")


def report_files(folder: str | Path, kind: str) -> list[Path]:
    """The files of the report of this kind that was written last; none where no list of them is readable."""
    folder = Path(folder)
    names: object = None
    with suppress(OSError, ValueError):
        names = json.loads((folder / _LIST.format(kind)).read_text(encoding="utf-8"))
    return [folder / name for name in names if _inside(folder, name)] if isinstance(names, list) else []


def _inside(folder: Path, name: object) -> bool:
    """Whether `name` is a file of the folder: the list is a file like any other, and may say anything."""
    if not isinstance(name, str) or "\0" in name:
        return False
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts and (folder / path).is_file()
