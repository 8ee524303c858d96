"""Snapshot chunks and their index on disk: append-only, checksummed, resumable.

A series is a folder with a handful of safetensors chunks and one ``index.json``, which has parts where there are many.
A chunk is written first, a part second and the index that lists them last, each in one atomic rename: a process that
dies in between leaves a file that no index names, which readers do not see and the next writer replaces. See
docs/format.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlflow_thermo.schema import (
    INDEX_NAME,
    ISOMETRIC,
    SCHEMA_VERSION,
    SHARED_KEY,
    TRIANGLE_KEY,
    WEIGHTS_KEY,
    Chunk,
    SeriesIndex,
)
from mlflow_thermo.store.chunks import check_sizes, read_chunk, write_chunk
from mlflow_thermo.store.files import StoreError
from mlflow_thermo.store.index import read_index, write_json
from mlflow_thermo.store.isometric import packed_size, unpacked_into
from mlflow_thermo.store.parts import CHUNKS_PER_PART, Entries, json_form, write_part


class _State(NamedTuple):
    """What a writer knows: facts of the series, without entries, those in its parts, and those after them."""

    facts: SeriesIndex
    closed: Entries
    rest: Entries


class SeriesWriter:
    """Appends chunks to the folder of one series; when a method returns, what it wrote is on disk.

    Parameters
    ----------
    folder : Path
        Folder of the series.
    index : SeriesIndex
        What is there.

    Attributes
    ----------
    on_disk : int
        Snapshots that the index on disk lists. `index` is ahead of it while that is being written.
    """

    chunks_per_part = CHUNKS_PER_PART

    def __init__(self, folder: Path, index: SeriesIndex) -> None:
        self.folder = folder
        closed, rest = Entries.of(index).split(sum(part.n_chunks for part in index.parts))
        # Replaced as one: another thread may look at it while a chunk is added.
        self._state = _State(replace(index, **vars(Entries())), closed, rest)
        self.on_disk = index.n_snapshots

    @property
    def facts(self) -> SeriesIndex:
        """The index without the entries of its chunks: quickly there, however many they are."""
        return self._state.facts

    @property
    def index(self) -> SeriesIndex:
        """The whole index."""
        facts, closed, rest = self._state
        return replace(facts, **vars(Entries.joined([closed, rest])))

    def chunks(self, start: int) -> tuple[Chunk, ...]:
        """The chunks from number `start` on."""
        _, closed, rest = self._state
        known = len(closed.chunks)
        return (*closed.chunks[start:], *rest.chunks[max(0, start - known) :])

    @classmethod
    def create(cls, folder: str | Path, index: SeriesIndex) -> SeriesWriter:
        """Start a new series in `folder`.

        Raises
        ------
        StoreError
            The folder already holds a series, or `index` says what a reader would refuse.
        """
        from mlflow_thermo.store.validation import fields_of, validated

        folder = Path(folder)
        if (folder / INDEX_NAME).exists():
            raise StoreError(f"{folder} already holds a series: resume it or choose another folder")
        index = replace(index, schema_version=SCHEMA_VERSION, complete=False)
        index = replace(index, parts=(), **vars(Entries()))
        # As a reader will see it: better here than after the training.
        raw, label = json.loads(json.dumps(json_form(index, Entries()))), f"series {index.series!r}"
        validated(fields_of({**raw, "checksum": "0" * 64}, label), [], label)
        folder.mkdir(parents=True, exist_ok=True)
        writer = cls(folder, index)
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
        return cls(folder, replace(index, schema_version=SCHEMA_VERSION))

    @property
    def last_step(self) -> int | None:
        """Step of the last snapshot on disk; None before the first chunk."""
        _, closed, rest = self._state
        steps = rest.steps or closed.steps
        return steps[-1] if steps else None

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
            Snapshots (n, d), or (n, m) in a sketch; written with the dtype of the index.
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
        facts, last = self.facts, self.last_step
        if weights.shape != (len(steps), facts.columns) or not steps:
            raise StoreError(
                f"series {facts.series!r}: a chunk of {len(steps)} steps needs weights of shape "
                f"({len(steps)}, {facts.columns}), got {weights.shape}"
            )
        chains = facts.chains
        if len(steps) % chains or any(len(set(steps[i : i + chains])) > 1 for i in range(0, len(steps), chains)):
            raise StoreError(
                f"series {facts.series!r}: each of its {chains} chains needs one snapshot at every step, got "
                f"steps {steps}"
            )
        ordered = [*([] if last is None else [last]), *steps[::chains]]
        if any(after <= before for before, after in pairwise(ordered)):
            raise StoreError(f"series {facts.series!r}: steps must increase, got {ordered}")
        weights = weights.astype(facts.dtype, copy=False)
        chunk = write_chunk(self.folder, WEIGHTS_KEY, steps, {WEIGHTS_KEY: weights})
        added = Entries(tuple(steps), _nullable(loss), _nullable(loss_mean), (chunk,))
        _, closed, rest = self._state
        self._state = _State(replace(facts, complete=False), closed, Entries.joined([rest, added]))
        self._write_index()
        return self.folder / chunk.file

    def close(self, complete: bool, **facts: Any) -> None:
        """Write the final index; `complete` says whether all snapshots are there, `facts` sets other fields."""
        self._state = self._state._replace(facts=replace(self.facts, complete=complete, **facts))
        try:
            self._write_index()
        except BaseException:
            # Then it is not complete.
            self._state = self._state._replace(facts=replace(self.facts, complete=False))
            raise

    @property
    def index_path(self) -> Path:
        """Path of the index."""
        return self.folder / INDEX_NAME

    def _write_index(self) -> None:
        while len(self._state.rest.chunks) > self.chunks_per_part:
            facts, closed, rest = self._state
            first, rest = rest.split(self.chunks_per_part)
            part = write_part(self.folder, facts.series, len(facts.parts), first)
            self._state = _State(replace(facts, parts=(*facts.parts, part)), Entries.joined([closed, first]), rest)
        facts, closed, rest = self._state
        write_json(self.index_path, json_form(facts, rest))
        self.on_disk = len(closed.steps) + len(rest.steps)


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
    # Before memory is taken: the files hold as much as their index says, so that no index can ask for more.
    check_sizes(folder, index.chunks)
    try:
        return _isometric(folder, index) if index.storage == ISOMETRIC else _in_columns(folder, index)
    except MemoryError:
        size = sum(chunk.bytes for chunk in index.chunks)
        raise StoreError(
            f"series {index.series!r}: field chunks: the memory does not hold their {size} bytes: read it on a larger "
            "machine"
        ) from None


def _in_columns(folder: Path, index: SeriesIndex) -> Snapshots:
    weights = np.empty((index.n_snapshots, index.columns), dtype=index.dtype)
    start = 0
    for chunk in index.chunks:
        stop = start + chunk.n_snapshots
        read_chunk(folder / chunk.file, chunk, {WEIGHTS_KEY: weights[start:stop]})
        start = stop
    return Snapshots(weights, None)


def _isometric(folder: Path, index: SeriesIndex) -> Snapshots:
    n = index.n_snapshots
    weights, shared = np.zeros((n, n)), np.empty((n, index.sketch_dim), dtype=np.float32)
    start = 0
    for chunk in index.chunks:
        stop = start + chunk.n_snapshots
        triangle = np.empty(packed_size(start, stop))
        read_chunk(folder / chunk.file, chunk, {TRIANGLE_KEY: triangle, SHARED_KEY: shared[start:stop]})
        unpacked_into(weights, triangle, start, stop)
        start = stop
    return Snapshots(weights, shared)


def read_weights(folder: str | Path, index: SeriesIndex | None = None) -> NDArray[Any]:
    """The `weights` of `read_snapshots`, which see for parameters and errors."""
    return read_snapshots(folder, index).weights


def _nullable(values: Sequence[float] | NDArray[Any]) -> tuple[float | None, ...]:
    # JSON has no NaN: the way Python writes it breaks every other reader.
    return tuple(float(value) if math.isfinite(value) else None for value in values)
