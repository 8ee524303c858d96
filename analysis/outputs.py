"""The folder that a report is written into, which may hold other things: those are neither removed nor uploaded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mlflow_thermo.schema import ThermoError

#: Names of what was written last, relative to the folder.
_LIST = ".thermo-report.json"


def require_folder(folder: str | Path) -> None:
    """Raise ThermoError where no report could be written into `folder`, before anything slow; makes nothing."""
    path = Path(folder)
    there = next(one for one in (path, *path.absolute().parents) if one.exists())
    if not there.is_dir():
        raise ThermoError(f"out {str(folder)!r} cannot be written ({there} is not a folder): choose another folder")
    if not os.access(there, os.W_OK):
        raise ThermoError(f"out {str(folder)!r} cannot be written (permission denied): choose another folder")


def start_report(folder: str | Path) -> Path:
    """The folder, made where it is missing, without the files of the report that was written there before.

    Raises
    ------
    ThermoError
        Something that is not a folder, or cannot be written.
    """
    require_folder(folder)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in report_files(folder):
        path.unlink(missing_ok=True)
    (folder / _LIST).unlink(missing_ok=True)
    return folder


def end_report(folder: Path, files: Iterable[Path]) -> None:
    """Remember `files` of `folder` as its report."""
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    (folder / _LIST).write_text(json.dumps(names) + "\n", encoding="utf-8")


def report_files(folder: str | Path) -> list[Path]:
    """The files of the report that was written last; none where no list of them is readable."""
    folder = Path(folder)
    names: list[object] = []
    with suppress(OSError, ValueError):
        names = json.loads((folder / _LIST).read_text(encoding="utf-8"))
    paths = [folder / name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    # The list is a file like any other: whatever it says, nothing outside of the folder is meant.
    return [path for path in paths if path.resolve().is_relative_to(folder.resolve()) and path.is_file()]
