"""Snapshot chunks and their index on disk: append-only, checksummed, resumable.

A series is a folder with a handful of safetensors chunks and one ``index.json``. A chunk is written first and the index
that lists it second, each in one atomic rename: a process that dies in between leaves a chunk that no index lists,
which readers do not see and the next writer replaces. See docs/format.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlflow_thermo.schema import INDEX_NAME, ISOMETRIC, SHARED_KEY, TRIANGLE_KEY, WEIGHTS_KEY, SeriesIndex
from mlflow_thermo.store.chunks import StoreError, permitted, read_chunk, write_chunk, write_json
from mlflow_thermo.store.isometric import packed_size, unpacked_into


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
            Optimiser steps (n,), increasing, after those on disk; of K chains each step K times.
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
            The shapes disagree, the steps do not increase, or the chains have not one snapshot each at every step.
        OSError
            The disk is full or not writable.
        """
        steps = [int(step) for step in steps]
        if weights.shape != (len(steps), self.index.columns) or not steps:
            raise StoreError(
                f"series {self.index.series!r}: a chunk of {len(steps)} steps needs weights of shape "
                f"({len(steps)}, {self.index.columns}), got {weights.shape}"
            )
        chains = self.index.chains
        if len(steps) % chains or any(len(set(steps[i : i + chains])) > 1 for i in range(0, len(steps), chains)):
            raise StoreError(
                f"series {self.index.series!r}: each of its {chains} chains needs one snapshot at every step, got "
                f"steps {steps}"
            )
        ordered = [*self.index.steps[-1:], *steps[::chains]]
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
        with permitted(path):
            return SeriesIndex.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StoreError(f"{folder} has no {INDEX_NAME}: it is not a snapshot series") from None
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise StoreError(f"{path} is not valid JSON ({error}): the upload was interrupted, repeat it") from error


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
            tensors = read_chunk(folder / chunk.file, chunk, shapes)
            unpacked_into(weights, tensors[TRIANGLE_KEY], start, stop)
            shared[start:stop] = tensors[SHARED_KEY]
        else:
            shapes = {WEIGHTS_KEY: (stop - start, index.columns)}
            weights[start:stop] = read_chunk(folder / chunk.file, chunk, shapes)[WEIGHTS_KEY]
        start = stop
    return Snapshots(weights, shared)


def read_weights(folder: str | Path, index: SeriesIndex | None = None) -> NDArray[Any]:
    """The `weights` of `read_snapshots`, which see for parameters and errors."""
    return read_snapshots(folder, index).weights


def _nullable(values: Sequence[float] | NDArray[Any]) -> list[float | None]:
    # JSON has no NaN: the way Python writes it breaks every other reader.
    return [float(value) if math.isfinite(value) else None for value in values]
