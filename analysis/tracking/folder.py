"""Runs of a plain folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from analysis.results import OUT_OF_REACH, Origin
from analysis.tracking.errors import SourceError
from analysis.tracking.records import RunRecord, StudyRuns
from analysis.trajectory import RunError
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import SeriesIndex
from mlflow_thermo.store import printable, read_index


def from_folder(path: str | Path) -> StudyRuns:
    """The runs of a study from a plain folder, with no snapshots read yet.

    Parameters
    ----------
    path : folder with one folder per run, each with one folder per series of snapshots
        (``RUN/spaced/index.json``), as `mlflow_thermo.SnapshotRecorder` writes them.

    Returns
    -------
    StudyRuns
        A sequence of runs, by the names of their folders.

    Raises
    ------
    ThermoError
        The folder does not exist, or holds no runs.

    Examples
    --------
    Nine runs, recorded below ``runs``:

    >>> from analysis import from_folder
    >>> runs = from_folder("runs")
    >>> runs
    <9 runs, Runs in runs>
    >>> trajectory = runs[0].load()
    >>> trajectory.lr, trajectory.points.shape
    (0.01, (600, 3))
    """
    root = Path(path)
    try:
        if not root.is_dir():
            problem = "is a file" if root.exists() else "does not exist"
            raise SourceError(f"folder {root} {problem}: give one that holds recorded runs")
        found = [run for run in sorted(root.iterdir()) if _may_hold_a_run(run)]
    except PermissionError as error:
        raise SourceError(str(_refused(root))) from error
    records = []
    for run in found:
        try:
            index = read_index(run / schema.SPACED, schema.SPACED)
        except ThermoError:
            # Reported for this run when its snapshots are loaded; the others are not affected.
            index = SeriesIndex(schema.SPACED, 0, "float32", "")
        axis = index.attributes.get(schema.SET_TEMPERATURE, index.lr)
        records.append(
            RunRecord(
                run_id=printable(run.name),
                lr=float("nan" if axis is None else axis),
                set_temperature=index.attributes.get(schema.SET_TEMPERATURE),
                seed=index.seed or 0,
                ended="",
                regime="",
                uniform_loss=index.attributes.get("uniform_loss"),
                uniform_loss_std=index.attributes.get("uniform_loss_std"),
                folder=partial(in_place, run),
                fingerprint=partial(files_on_disk, run),
            )
        )
    if not records:
        raise SourceError(f"folder {root} holds no runs: expected RUN/{schema.SPACED}/{schema.INDEX_NAME} in it")
    return StudyRuns(tuple(records), Origin(title=f"Runs in {root.resolve().name or root.resolve()}"))


def _may_hold_a_run(folder: Path) -> bool:
    """Whether the folder has snapshots, or hides what it has: a run must not be missing without a word."""
    try:
        return (folder / schema.SPACED / schema.INDEX_NAME).exists()
    except PermissionError:
        return True


def _refused(folder: Path) -> RunError:
    return RunError(
        f"{folder} cannot be read (permission denied): its owner can allow it with 'chmod -R a+rX {folder}'",
        OUT_OF_REACH,
    )


def files_on_disk(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and modification time of every file of a run on this machine that can be seen."""
    try:
        if not folder.is_dir():
            return []
    except PermissionError:
        return []
    found = [(str(path.relative_to(folder)), path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]


@contextmanager
def in_place(folder: Path) -> Iterator[Path]:
    """The folder of a run on this machine; RunError where it may not be read."""
    try:
        # Where it is missing, its reader says so.
        _ = [*folder.iterdir()] if folder.is_dir() else []
    except PermissionError as error:
        raise _refused(folder) from error
    yield folder
