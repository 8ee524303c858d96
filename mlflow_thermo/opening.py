"""Opens the series of a recorder: new ones, and those that an earlier process began."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mlflow_thermo.arguments import require_same_training
from mlflow_thermo.buffering import SeriesBuffer
from mlflow_thermo.disk import disk_errors
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.packing import Packer
from mlflow_thermo.schedule import Schedule
from mlflow_thermo.schema import AUTO, FULL, INDEX_NAME, MAX_SNAPSHOTS, SKETCH, SPHERES, SeriesIndex
from mlflow_thermo.store import SeriesWriter, choose_storage


def folder_of(directory: str | Path | None) -> Path:
    """The folder of a recording, which is there now: the one given, or a temporary one."""
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="thermo-"))
    folder = Path(directory)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def index_of(
    packer: Packer, *, protocol: str, lr: float | None, seed: int | None, attributes: dict[str, Any]
) -> SeriesIndex:
    """What the indexes of all series of a recorder have in common."""
    dtype = str(packer.dtype).removeprefix("torch.")
    return SeriesIndex(
        series="", d=packer.d, dtype=dtype, protocol=protocol, lr=lr, seed=seed, layout=packer.layout,
        attributes=attributes,
    )  # fmt: skip


def open_series(
    schedules: Sequence[Schedule],
    index: SeriesIndex,
    packers: Sequence[Packer],
    directory: Path,
    *,
    resume: bool,
    storage: str,
    sketch_columns: int,
    disk_share: float,
) -> list[SeriesBuffer]:
    """The series of a recorder, each in its own folder in `directory`.

    Parameters
    ----------
    index : what all series have in common.
    packers : one for each chain.
    resume, storage, sketch_columns, disk_share : as `SnapshotRecorder` takes them.
    """
    room = disk_share * shutil.disk_usage(directory).free
    opened = []
    packer = packers[0]
    for schedule in schedules:
        recorded = packers if schedule.every_chain else packers[:1]
        folder, named = directory / schedule.name, replace(index, series=schedule.name, chains=len(recorded))
        if resume and (folder / INDEX_NAME).exists():
            opened.append(_resumed(schedule, named, recorded, folder, storage))
            continue
        count = len(recorded) * len(schedule.steps)
        if count > MAX_SNAPSHOTS:
            raise ThermoError(f"series {schedule.name!r}: {count} snapshots, take at most {MAX_SNAPSHOTS}")
        mode = _storage_of(index.protocol, storage, count, packer, room)
        if mode == SKETCH:
            named = replace(named, storage=mode, sketch_dim=sketch_columns, dtype="float32")
        with disk_errors(folder):
            writer = SeriesWriter.create(folder, named)
        fresh = SeriesBuffer(schedule, recorded, writer, mode)
        if fresh.reduced_at_end:
            room -= count * packer.d * packer.itemsize
        opened.append(fresh)
    return opened


def attached_series(
    folder: Path,
    index: SeriesIndex,
    steps: Sequence[int],
    rows: NDArray[Any],
    loss: NDArray[Any],
    attributes: dict[str, Any],
) -> SeriesWriter:
    """A whole series beside those of the schedules, as `SnapshotRecorder.attach` takes it."""
    n, chains, d = rows.shape
    named = replace(
        index, series=folder.name, chains=chains, dtype=str(rows.dtype),
        attributes={**index.attributes, **attributes},
    )  # fmt: skip
    with disk_errors(folder):
        writer = SeriesWriter.create(folder, named)
        each = [step for step in steps for _ in range(chains)]
        losses = loss.reshape(-1)
        writer.append(each, rows.reshape(n * chains, d), losses, losses)
        writer.close(complete=True)
    return writer


def _storage_of(protocol: str, storage: str, count: int, packer: Packer, room: float) -> str:
    if protocol == SPHERES:
        # Inner products of whole snapshots do not tell the directions of single units.
        if storage not in (AUTO, FULL):
            raise ThermoError(f"storage={storage} cannot keep the spheres of single units: take storage=full")
        return FULL
    return choose_storage(storage, count, packer.d, packer.itemsize, room)


def _resumed(
    schedule: Schedule, index: SeriesIndex, packers: Sequence[Packer], folder: Path, storage: str
) -> SeriesBuffer:
    packer = packers[0]
    writer = SeriesWriter.resume(folder)
    require_same_training(writer.index, index, schedule, folder)
    # The disk had enough room when the series was started. Full snapshots can still be reduced at the end; no other
    # change of storage is possible.
    count = len(packers) * len(schedule.steps)
    mode = _storage_of(index.protocol, storage, count, packer, math.inf)
    if writer.facts.storage != FULL or mode == SKETCH:
        mode = writer.facts.storage
    return SeriesBuffer(schedule, packers, writer, mode)
