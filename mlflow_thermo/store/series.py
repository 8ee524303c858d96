"""Snapshot chunks and their index on disk: append-only, checksummed, resumable.

A series is a folder with a handful of safetensors chunks and one ``index.json``. The index is written after the
chunk that it lists, each in one atomic rename: a process that dies in between leaves a chunk that no index names,
which a reader never sees and the next writer replaces. See docs/format.md.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import (
    INDEX_NAME,
    ISOMETRIC,
    SHARED_KEY,
    TRIANGLE_KEY,
    WEIGHTS_KEY,
    Chunk,
    SeriesIndex,
)
from mlflow_thermo.store.isometric import packed_size, unpacked_into

#: A chunk grows to at most this many bytes; few large files upload forty times faster than many small ones.
MAX_CHUNK_BYTES = 256 * 2**20
#: A series is cut into about this many chunks, so that a killed run loses at most this fraction of it.
CHUNKS_PER_SERIES = 4


class StoreError(ThermoError):
    """A series on disk is missing, half-written or damaged."""


def rows_per_chunk(n_snapshots: int, d: int, itemsize: int = 4, max_bytes: int = MAX_CHUNK_BYTES) -> int:
    """How many snapshots of `d` weights go into one chunk of a series of `n_snapshots`."""
    by_size = max_bytes // max(1, d * itemsize)
    return max(1, min(math.ceil(n_snapshots / CHUNKS_PER_SERIES), by_size))


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes, read in pieces so that a large chunk needs no memory."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while piece := handle.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON atomically, a line a field: a reader sees the old file or the new one, never half of one."""
    # Indenting within the fields would take Python's own encoder, which holds up the training beside the writer.
    fields = (f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in content.items())
    temporary = path.with_name(path.name + ".part")
    with temporary.open("w", encoding="utf-8") as handle:
        handle.write("{\n" + ",\n".join(fields) + "\n}\n")
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)


class SeriesWriter:
    """Appends chunks to one series folder; everything that it returned from is on disk."""

    def __init__(self, folder: Path, index: SeriesIndex) -> None:
        self.folder = folder
        self.index = index

    @classmethod
    def create(cls, folder: str | Path, index: SeriesIndex) -> SeriesWriter:
        """Start a new series in an empty `folder`; StoreError where one is there already."""
        folder = Path(folder)
        if (folder / INDEX_NAME).exists():
            raise StoreError(f"{folder} already holds a series: resume it or choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        writer = cls(folder, replace(index, complete=False, steps=(), loss=(), loss_mean=(), chunks=()))
        writer._write_index()
        return writer

    @classmethod
    def resume(cls, folder: str | Path) -> SeriesWriter:
        """Continue a series after its last closed chunk; StoreError for one that was reduced before it was whole."""
        folder = Path(folder)
        index = read_index(folder)
        if index.storage == ISOMETRIC and not index.complete:
            raise StoreError(f"{folder} is reduced to its inner products and cannot go on: choose another folder")
        return cls(folder, index)

    @property
    def last_step(self) -> int | None:
        """Step of the last snapshot on disk; None before the first chunk."""
        return self.index.steps[-1] if self.index.steps else None

    def append(
        self,
        steps: Sequence[int],
        weights: NDArray[Any],
        loss: Sequence[float] | NDArray[Any],
        loss_mean: Sequence[float] | NDArray[Any],
    ) -> Path:
        """Write one chunk of shape (n, d), or (n, m) of a sketch, and list it in the index; returns the chunk's path.

        Raises
        ------
        StoreError
            When the shapes disagree or the steps do not increase beyond those on disk.
        """
        steps = [int(step) for step in steps]
        if weights.shape != (len(steps), self.index.columns) or not steps:
            raise StoreError(
                f"series {self.index.series!r}: a chunk of {len(steps)} steps needs weights of shape "
                f"({len(steps)}, {self.index.columns}), got {weights.shape}"
            )
        ordered = [*self.index.steps[-1:], *steps]
        if any(after <= before for before, after in pairwise(ordered)):
            raise StoreError(f"series {self.index.series!r}: steps must increase, got {ordered}")
        chunk = write_chunk(self.folder, WEIGHTS_KEY, steps, {WEIGHTS_KEY: weights})
        self.index = replace(
            self.index,
            steps=(*self.index.steps, *steps),
            loss=(*self.index.loss, *_nullable(loss)),
            loss_mean=(*self.index.loss_mean, *_nullable(loss_mean)),
            chunks=(*self.index.chunks, chunk),
            complete=False,
        )
        self._write_index()
        return self.folder / chunk.file

    def close(self, complete: bool, **facts: Any) -> None:
        """Write the final index; `complete` says that every scheduled snapshot is there, `facts` are further fields."""
        self.index = replace(self.index, complete=complete, **facts)
        self._write_index()

    @property
    def index_path(self) -> Path:
        """Where the index is."""
        return self.folder / INDEX_NAME

    def _write_index(self) -> None:
        write_json(self.index_path, self.index.to_dict())


def read_index(folder: str | Path) -> SeriesIndex:
    """Read a series' index; StoreError names the folder and the remedy when it cannot be read."""
    path = Path(folder) / INDEX_NAME
    try:
        return SeriesIndex.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StoreError(f"{folder} has no {INDEX_NAME}: it is not a snapshot series") from None
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise StoreError(f"{path} is not valid JSON ({error}): the upload was cut off, repeat it") from error


def write_chunk(folder: Path, stem: str, steps: Sequence[int], tensors: dict[str, NDArray[Any]]) -> Chunk:
    """One safetensors file in one atomic rename, and what an index says of it.

    Raises
    ------
    OSError
        A disk that is full or cannot be written.
    """
    path = folder / f"{stem}-{steps[0]:09d}-{steps[-1]:09d}.safetensors"
    temporary = path.with_name(path.name + ".part")
    try:
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, temporary)
    except SafetensorError as error:
        # The library has a class of its own for what the disk says.
        raise OSError(f"{path}: {error}") from error
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    os.replace(temporary, path)
    return Chunk(path.name, steps[0], steps[-1], len(steps), path.stat().st_size, sha256_of(path))


@dataclass(frozen=True)
class Snapshots:
    """A series as it was read.

    Attributes
    ----------
    weights : (n, d) snapshots; of an isometric series (n, n) coordinates with the same norms and distances, of a
        sketch (n, m) coordinates with about the same.
    shared : (n, m) sketch of an isometric series, in columns that all runs of one model share; None where the columns
        of `weights` are shared by them.
    """

    weights: NDArray[Any]
    shared: NDArray[Any] | None


def read_snapshots(folder: str | Path, index: SeriesIndex | None = None) -> Snapshots:
    """All snapshots of a series, each chunk checked against its size and sha256.

    Raises
    ------
    StoreError
        Naming the chunk that is missing, half-written or damaged.
    """
    folder = Path(folder)
    index = read_index(folder) if index is None else index
    n = index.n_snapshots
    isometric = index.storage == ISOMETRIC
    weights = np.zeros((n, n)) if isometric else np.empty((n, index.columns), dtype=index.dtype)
    shared = np.empty((n, index.sketch_dim), dtype=np.float32) if isometric else None
    start = 0
    for chunk in index.chunks:
        stop = start + chunk.n_snapshots
        if shared is not None:
            shapes = {TRIANGLE_KEY: (packed_size(start, stop),), SHARED_KEY: (stop - start, index.sketch_dim)}
            tensors = _checked_chunk(folder / chunk.file, chunk, shapes)
            unpacked_into(weights, tensors[TRIANGLE_KEY], start, stop)
            shared[start:stop] = tensors[SHARED_KEY]
        else:
            shapes = {WEIGHTS_KEY: (stop - start, index.columns)}
            weights[start:stop] = _checked_chunk(folder / chunk.file, chunk, shapes)[WEIGHTS_KEY]
        start = stop
    return Snapshots(weights, shared)


def read_weights(folder: str | Path, index: SeriesIndex | None = None) -> NDArray[Any]:
    """`read_snapshots(folder).weights`."""
    return read_snapshots(folder, index).weights


def check_file(path: Path, chunk: Chunk) -> None:
    """Raise StoreError unless the file at `path` is the one that its index lists as `chunk`."""
    if not path.is_file():
        raise StoreError(f"chunk {chunk.file} is missing: upload it again or train the run again")
    size = path.stat().st_size
    if size != chunk.bytes:
        raise StoreError(
            f"chunk {chunk.file} is half-written ({size} of {chunk.bytes} bytes): upload it again or train the "
            "run again"
        )
    if sha256_of(path) != chunk.sha256:
        raise StoreError(f"chunk {chunk.file} is damaged (sha256 differs): upload it again or train the run again")


def _checked_chunk(path: Path, chunk: Chunk, shapes: dict[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    check_file(path, chunk)
    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
        found = {name: tensors[name] for name in shapes}
    except (SafetensorError, KeyError) as error:
        raise StoreError(f"chunk {chunk.file} is not a snapshot chunk ({error}): train the run again") from error
    for name, shape in shapes.items():
        if found[name].shape != shape:
            raise StoreError(
                f"chunk {chunk.file} has shape {found[name].shape}, its index says {shape}: train the run again"
            )
    return found


def _nullable(values: Sequence[float] | NDArray[Any]) -> list[float | None]:
    # JSON has no NaN: Python's own spelling of it breaks every other reader.
    return [float(value) if math.isfinite(value) else None for value in values]
