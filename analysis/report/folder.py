"""The folder of a report, which may hold other files: those are neither touched nor uploaded."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

from mlflow_thermo.disk import disk_errors
from mlflow_thermo.errors import ThermoError

#: Kinds of report.
STUDY, ACCURACY, PAPER, TOY = "study", "accuracy", "paper", "toy"


def _figures(names: str) -> tuple[str, ...]:
    return tuple(f"figures/{name}.png" for name in names.split())


#: The files of each kind whose names are known before anything is computed.
NAMES: dict[str, tuple[str, ...]] = {
    STUDY: (
        "result.json", "temperature.csv", "report.html",
        *_figures("loss entropy paper_entropy n_eff temperature free_energy loss_course entropy_course"),
        *_figures("paper_entropy_course temperature_course paper_temperature_course"),
        *_figures("signal_course gradient_course noise_law"),
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
        reason = "" if os.access(there, os.W_OK) else "read-only, or not yours"
        reason = reason if there.is_dir() else f"{there} is not a folder"
    except OSError as error:
        reason = str(error.strerror)
    if reason:
        raise ThermoError(f"out {str(folder)!r} cannot be written ({reason}): choose another folder")
    if kind is not None and path.exists():
        with disk_errors(folder, "the report"), alone(path):
            _require_own(path, NAMES[kind])


@contextmanager
def new_report(folder: str | Path, kind: str, names: Iterable[str | PurePath]) -> Iterator[Path]:
    """A folder for the files of a new report; when the block ends they take the place of the earlier one's.

    Until then the earlier report is there as it was, also where the disk does not hold a second one.

    Parameters
    ----------
    names : of the files that the new report is going to have, relative to the folder.

    Raises
    ------
    ThermoError
        `folder` is not a folder, cannot be written, or holds a file of one of these names that no earlier report has
        written.
    """
    require_folder(folder)
    folder = Path(folder)
    listed = sorted(PurePath(name).as_posix() for name in names)
    with disk_errors(folder, "the report"):
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder):
            _require_own(folder, listed)
        staged = Path(tempfile.mkdtemp(prefix=".thermo-", dir=folder))
        try:
            yield staged
            written = sorted(path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file())
            with alone(folder):
                _replace(folder, kind, staged, written)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def _replace(folder: Path, kind: str, staged: Path, names: list[str]) -> None:
    """Move the staged files to where they belong, and remove what only the earlier report had."""
    _require_own(folder, names)
    earlier = set(_listed(folder, kind))
    # What is half done counts as the report's, so that the next one can replace it.
    _write_list(folder, kind, staged, {*earlier, *names})
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(staged / name, folder / name)
    for name in earlier - set(names):
        (folder / name).unlink(missing_ok=True)
    _write_list(folder, kind, staged, names)


def _write_list(folder: Path, kind: str, staged: Path, names: Iterable[str]) -> None:
    # Replaced, not written: writing through a link would overwrite a file elsewhere.
    (staged / "list").write_text(json.dumps(sorted(names)) + "\n", encoding="utf-8")
    os.replace(staged / "list", folder / _LIST.format(kind))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other program replaces or reads the report in a folder, and keep others waiting."""
    try:
        import fcntl
    except ImportError:
        # Windows locks no folders.
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        # A network's file system may know no locks.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


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
    """Raise ThermoError where writing these files would touch one that no report has written, or leave the folder.

    To be called with the folder `alone`: a report that takes its place meanwhile has files that an older list lacks.
    """
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
