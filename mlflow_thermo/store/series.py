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
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mlflow_thermo.schema import (
    INDEX_NAME,
    WEIGHTS_KEY,
    Chunk,
    SeriesIndex,
    ThermoError,
)

#: A chunk grows to at most this many bytes; few large files upload forty times faster than many small ones.
MAX_CHUNK_BYTES = 256 * 2**20
#: A series is cut into about this many chunks, so that a killed run loses at most this fraction of it.
CHUNKS_PER_SERIES = 4


class StoreError(ThermoError):
    """A series on disk is missing, half-written or damaged."""


def rows_per_chunk(n_snapshots: int, d: int, itemsize: int = 4) -> int:
    """How many snapshots of `d` weights go into one chunk of a series of `n_snapshots`."""
    by_size = MAX_CHUNK_BYTES // max(1, d * itemsize)
    return max(1, min(math.ceil(n_snapshots / CHUNKS_PER_SERIES), by_size))


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes, read in pieces so that a large chunk needs no memory."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while piece := handle.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically: a reader sees the old file or the new one, never half of one."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("w", encoding="utf-8") as handle:
        json.dump(content, handle, indent=1, allow_nan=False)
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
        """Continue a series after its last closed chunk."""
        folder = Path(folder)
        return cls(folder, replace(read_index(folder), complete=False))

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
        """Write one chunk of shape (n, d) and list it in the index; returns the chunk's path.

        Raises
        ------
        StoreError
            When the shapes disagree or the steps do not increase beyond those on disk.
        """
        steps = [int(step) for step in steps]
        if weights.shape != (len(steps), self.index.d) or not steps:
            raise StoreError(
                f"series {self.index.series!r}: a chunk of {len(steps)} steps needs weights of shape "
                f"({len(steps)}, {self.index.d}), got {weights.shape}"
            )
        ordered = [*self.index.steps[-1:], *steps]
        if any(after <= before for before, after in pairwise(ordered)):
            raise StoreError(f"series {self.index.series!r}: steps must increase, got {ordered}")
        path = self.folder / f"weights-{steps[0]:09d}-{steps[-1]:09d}.safetensors"
        temporary = path.with_name(path.name + ".part")
        save_file({WEIGHTS_KEY: np.ascontiguousarray(weights)}, temporary)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        chunk = Chunk(path.name, steps[0], steps[-1], len(steps), path.stat().st_size, sha256_of(path))
        self.index = replace(
            self.index,
            steps=(*self.index.steps, *steps),
            loss=(*self.index.loss, *_nullable(loss)),
            loss_mean=(*self.index.loss_mean, *_nullable(loss_mean)),
            chunks=(*self.index.chunks, chunk),
        )
        self._write_index()
        return path

    def close(self, complete: bool) -> None:
        """Write the final index; `complete` says that every scheduled snapshot is there."""
        self.index = replace(self.index, complete=complete)
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


def read_weights(folder: str | Path, index: SeriesIndex | None = None) -> NDArray[Any]:
    """All snapshots of a series, shape (n_snapshots, d), each chunk checked against its size and sha256.

    Raises
    ------
    StoreError
        Naming the chunk that is missing, half-written or damaged.
    """
    folder = Path(folder)
    index = read_index(folder) if index is None else index
    weights = np.empty((index.n_snapshots, index.d), dtype=index.dtype)
    start = 0
    for chunk in index.chunks:
        path = folder / chunk.file
        stop = start + chunk.n_snapshots
        weights[start:stop] = _checked_chunk(path, chunk, index.d)
        start = stop
    return weights


def _checked_chunk(path: Path, chunk: Chunk, d: int) -> NDArray[Any]:
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
    try:
        tensor: NDArray[Any] = load_file(path)[WEIGHTS_KEY]
    except (SafetensorError, KeyError) as error:
        raise StoreError(f"chunk {chunk.file} is not a snapshot chunk ({error}): train the run again") from error
    if tensor.shape != (chunk.n_snapshots, d):
        raise StoreError(
            f"chunk {chunk.file} has shape {tensor.shape}, its index says ({chunk.n_snapshots}, {d}): "
            "train the run again"
        )
    return tensor


def _nullable(values: Sequence[float] | NDArray[Any]) -> list[float | None]:
    # JSON has no NaN: Python's own spelling of it breaks every other reader.
    return [float(value) if math.isfinite(value) else None for value in values]
