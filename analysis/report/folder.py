"""The folder of a report, which may hold other files: those are neither touched nor uploaded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePath

from mlflow_thermo.errors import ThermoError

#: Kinds of report.
STUDY, ACCURACY, PAPER, TOY = "study", "accuracy", "paper", "toy"


def _figures(names: str) -> tuple[str, ...]:
    return tuple(f"figures/{name}.png" for name in names.split())


#: The files of each kind whose names are known before anything is computed.
NAMES: dict[str, tuple[str, ...]] = {
    STUDY: (
        "result.json", "temperature.csv", "report.html",
        *_figures("loss entropy paper_entropy temperature free_energy loss_course entropy_course paper_entropy_course"),
        *_figures("temperature_course paper_temperature_course signal_course gradient_course noise_law"),
    ),
    ACCURACY: ("accuracy.csv", "accuracy.md"),
    PAPER: ("claims.json", "claims.csv", "paper.html"),
    TOY: (
        "toy.csv", "decay.csv", "toy.json",
        *_figures("sphere loss snr norms entropy temperature snr_course loss_course decay_radius decay_entropy"),
    ),
}  # fmt: skip
#: Names of what was written last, relative to the folder; one list for each kind of report.
_LIST = ".thermo-{}.json"


def require_folder(folder: str | Path, kind: str | None = None) -> None:
    """Raise ThermoError where no report could be written into `folder`, before anything slow; creates nothing.

    Parameters
    ----------
    kind : of the report, so that other files of the same names are noticed too.
    """
    path = Path(folder)
    try:
        there = next(one for one in (path, *path.absolute().parents) if one.exists())
        reason = "" if os.access(there, os.W_OK) else "permission denied"
        reason = reason if there.is_dir() else f"{there} is not a folder"
    except OSError as error:
        reason = str(error.strerror)
    if reason:
        raise ThermoError(f"out {str(folder)!r} cannot be written ({reason}): choose another folder")
    if kind is not None:
        _require_own(path, NAMES[kind])


def start_report(folder: str | Path, kind: str, names: Iterable[str | PurePath]) -> Path:
    """The folder, made where it is missing, without the report of this kind that was there before.

    Parameters
    ----------
    names : of the files that the new report is going to have, relative to the folder; they count as the report's from
        now on, so that a report that breaks off can be replaced by the next.

    Raises
    ------
    ThermoError
        `folder` is not a folder, cannot be written, or holds a file of one of these names that no earlier report has
        written.
    """
    require_folder(folder)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    listed = sorted(PurePath(name).as_posix() for name in names)
    _require_own(folder, listed)
    for path in report_files(folder, kind):
        path.unlink()
    place = folder / _LIST.format(kind)
    # Removed first: writing through a link would overwrite a file elsewhere.
    place.unlink(missing_ok=True)
    place.write_text(json.dumps(listed) + "\n", encoding="utf-8")
    return folder


def report_files(folder: str | Path, kind: str) -> list[Path]:
    """The files of the report of this kind that was written last; none where no list of them is readable."""
    folder = Path(folder)
    return [folder / name for name in _listed(folder, kind)]


def _listed(folder: Path, kind: str) -> Iterator[str]:
    names: object = None
    with suppress(OSError, ValueError):
        names = json.loads((folder / _LIST.format(kind)).read_text(encoding="utf-8"))
    for name in names if isinstance(names, list) else []:
        # The list is a file that anyone may have changed.
        if isinstance(name, str) and "\0" not in name and ".." not in PurePath(name).parts:
            path = folder / name
            with suppress(OSError):
                if path.is_file() and _is_inside(path, folder):
                    yield name


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether `path` leads to a place inside the folder, which may be a link itself."""
    return path.resolve().is_relative_to(folder.resolve())


def _require_own(folder: Path, names: Iterable[str]) -> None:
    """Raise ThermoError where writing these files would touch one that no report has written, or leave the folder."""
    own = {name for kind in NAMES for name in _listed(folder, kind)}
    remedy = "move it away, or choose another folder"
    for name in names:
        for above in [folder / part for part in PurePath(name).parents if part.parts]:
            if os.path.lexists(above) and not above.is_dir():
                raise ThermoError(f"{above} is not a folder, and the report needs one of that name: {remedy}")
            if not _is_inside(above, folder):
                raise ThermoError(f"{above} is a link that leads out of the folder of the report: {remedy}")
        if os.path.lexists(folder / name) and name not in own:
            raise ThermoError(f"{folder / name} was not written by an earlier report and would be lost: {remedy}")
