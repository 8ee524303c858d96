"""Snapshot chunks and their index on disk: append-only, checksummed, resumable.

A series is a folder with a handful of safetensors chunks and one ``index.json``. A chunk is written first and the index
that lists it second, each in one atomic rename: a process that dies in between leaves a chunk that no index lists,
which readers do not see and the next writer replaces. See docs/format.md.
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

#: Largest chunk, in bytes; a few large files upload forty times faster than many small ones.
MAX_CHUNK_BYTES = 256 * 2**20
#: A series is split into about this many chunks: a killed run loses at most one of them.
CHUNKS_PER_SERIES = 4


class StoreError(ThermoError):
    """A series on disk is missing, half-written or damaged, or cannot be written."""


def rows_per_chunk(n_snapshots: int, d: int, itemsize: int = 4, max_bytes: int = MAX_CHUNK_BYTES) -> int:
    """How many snapshots go into one chunk of a series.

    Parameters
    ----------
    n_snapshots, d : int
        Snapshots in the series, and weights in a snapshot.
    itemsize : int
        Bytes per weight.
    max_bytes : int
        Largest chunk.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> rows_per_chunk(1000, d=1530)
    250
    """
    by_size = max_bytes // max(1, d * itemsize)
    return max(1, min(math.ceil(n_snapshots / CHUNKS_PER_SERIES), by_size))


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in pieces so that large chunks do not fill the memory."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while piece := handle.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON atomically, one line per field: readers see the old file or the new one, never half of one."""
    # Indenting inside the fields would use the encoder written in Python, which holds the GIL and slows the training.
    fields = (f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in content.items())
    temporary = path.with_name(path.name + ".part")
    with temporary.open("w", encoding="utf-8") as handle:
        handle.write("{\n" + ",\n".join(fields) + "\n}\n")
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)


class SeriesWriter:
    """Appends chunks to the folder of one series; when a method returns, what it wrote is on disk."""

    def __init__(self, folder: Path, index: SeriesIndex) -> None:
        self.folder = folder
        self.index = index

    @classmethod
    def create(cls, folder: str | Path, index: SeriesIndex) -> SeriesWriter:
        """Start a new series in `folder`; StoreError if it already holds one."""
        folder = Path(folder)
        if (folder / INDEX_NAME).exists():
            raise StoreError(f"{folder} already holds a series: resume it or choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        writer = cls(folder, replace(index, complete=False, steps=(), loss=(), loss_mean=(), chunks=()))
        writer._write_index()
        return writer

    @classmethod
    def resume(cls, folder: str | Path) -> SeriesWriter:
        """Continue a series after its last finished chunk; StoreError if it was reduced before it was complete."""
        folder = Path(folder)
        index = read_index(folder)
        if index.storage == ISOMETRIC and not index.complete:
            raise StoreError(
                f"{folder} is reduced to its inner products and cannot be continued: choose another folder"
            )
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
        """Write one chunk and list it in the index.

        Parameters
        ----------
        steps : sequence of int
            Optimiser steps (n,), increasing, after those on disk.
        weights : ndarray
            Snapshots (n, d), or (n, m) in a sketch.
        loss, loss_mean : array-like
            Losses (n,) as in `SeriesIndex`; NaN where there is none.

        Returns
        -------
        Path
            Of the chunk.

        Raises
        ------
        StoreError
            The shapes disagree, or the steps do not increase.
        OSError
            The disk is full or not writable.
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
        """Write the final index; `complete` says whether all snapshots are there, `facts` sets other fields."""
        self.index = replace(self.index, complete=complete, **facts)
        self._write_index()

    @property
    def index_path(self) -> Path:
        """Path of the index."""
        return self.folder / INDEX_NAME

    def _write_index(self) -> None:
        write_json(self.index_path, self.index.to_dict())


def read_index(folder: str | Path) -> SeriesIndex:
    """Read the index of a series; StoreError if it is missing, not valid JSON or of a later version."""
    path = Path(folder) / INDEX_NAME
    try:
        return SeriesIndex.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StoreError(f"{folder} has no {INDEX_NAME}: it is not a snapshot series") from None
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise StoreError(f"{path} is not valid JSON ({error}): the upload was interrupted, repeat it") from error


def write_chunk(folder: Path, stem: str, steps: Sequence[int], tensors: dict[str, NDArray[Any]]) -> Chunk:
    """Write one safetensors file in one atomic rename; OSError if the disk is full or not writable.

    Parameters
    ----------
    folder : Path
        Folder of the series.
    stem : str
        Beginning of the file's name; the first and last step follow.
    steps : sequence of int
        Optimiser steps of the snapshots.
    tensors : dict of str to ndarray
        Content of the file.

    Returns
    -------
    Chunk
        The file's entry in the index.
    """
    path = folder / f"{stem}-{steps[0]:09d}-{steps[-1]:09d}.safetensors"
    temporary = path.with_name(path.name + ".part")
    try:
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, temporary)
    except SafetensorError as error:
        # Safetensors wraps the errors of the disk in a class of its own.
        raise OSError(f"{path}: {error}") from error
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    os.replace(temporary, path)
    return Chunk(path.name, steps[0], steps[-1], len(steps), path.stat().st_size, sha256_of(path))


@dataclass(frozen=True)
class Snapshots:
    """The snapshots of a series.

    Attributes
    ----------
    weights : ndarray
        Snapshots (n, d); of an isometric series coordinates (n, n) with the same norms and distances; of a sketch
        coordinates (n, m) with approximately the same.
    shared : ndarray or None
        Of an isometric series a sketch (n, m) in columns that all runs of one model share; None otherwise, where the
        columns of `weights` are already shared.
    """

    weights: NDArray[Any]
    shared: NDArray[Any] | None


def read_snapshots(folder: str | Path, index: SeriesIndex | None = None) -> Snapshots:
    """Read all snapshots of a series and check each chunk against its size and sha256.

    Parameters
    ----------
    folder : str or Path
        Folder of the series.
    index : SeriesIndex, optional
        Its index, if it was read before.

    Returns
    -------
    Snapshots

    Raises
    ------
    StoreError
        A chunk is missing, half-written or damaged; the message names it.
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
    """The `weights` of `read_snapshots`, which see for parameters and errors."""
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
    # JSON has no NaN: the way Python writes it breaks every other reader.
    return [float(value) if math.isfinite(value) else None for value in values]
