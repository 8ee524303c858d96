"""Reduces a series of full snapshots on disk to its isometric form, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from mlflow_thermo.store.chunks import MAX_CHUNK_BYTES, check_file, data_start, write_chunk
from mlflow_thermo.store.index import read_index, write_json
from mlflow_thermo.store.isometric import isometric_factor, packed
from mlflow_thermo.store.modes import SHARED_COLUMNS
from mlflow_thermo.store.parts import Entries, json_form
from mlflow_thermo.store.sketch import CountSketch

#: Values in a block of columns: 64 MiB of float64. With its copies and the n×n matrices the peak stays below 400 MiB
#: for a thousand snapshots.
_BLOCK = 2**23


def reduce_series(folder: Path, out: Path) -> SeriesIndex:
    """Write the isometric form of a full series.

    The index is replaced in one rename after the chunks that it lists have been written, and only then are the full
    snapshots removed from `out`: a process that dies in between leaves a readable series. A snapshot that is not finite
    becomes a row of NaN and does not affect the others.

    Parameters
    ----------
    folder : Path
        Folder of the full series.
    out : Path
        Folder to write into; may be the same.

    Returns
    -------
    SeriesIndex
        Index of the isometric series.

    Raises
    ------
    StoreError
        A chunk is missing or damaged.
    """
    index = read_index(folder)
    for chunk in index.chunks:
        check_file(folder / chunk.file, chunk)
    n, d = index.n_snapshots, index.d
    sketch = CountSketch(d, min(d, SHARED_COLUMNS))
    shared = np.zeros((n, sketch.m))

    def blocks() -> Iterator[NDArray[Any]]:
        shared[:] = 0.0
        for first, block in _column_blocks(folder, index):
            part = sketch.apply(block, first)
            # One NaN in a product of all rows would spread to all of them. The sketch shows which rows are not finite.
            block[~np.isfinite(part).all(axis=1)] = 0.0
            shared[:] += part
            yield block

    # Identical snapshots have identical sketches. Their rows must be equal to the last bit, or the analysis could not
    # recognise them as repeats.
    lower = isometric_factor(blocks, lambda: _first_alike(shared))
    first_of = _first_alike(shared)
    again = np.flatnonzero(first_of != np.arange(n))
    again = again[_identical(folder, index, again, first_of[again])]
    lower[again] = lower[first_of[again]]
    lower[~np.isfinite(shared).all(axis=1)] = np.nan
    out.mkdir(parents=True, exist_ok=True)
    chunks: list[Chunk] = []
    rows = max(1, MAX_CHUNK_BYTES // (8 * n + 4 * sketch.m))
    for first in range(0, n, rows):
        last = min(n, first + rows)
        tensors: dict[str, NDArray[Any]] = {
            TRIANGLE_KEY: packed(lower, first, last),
            SHARED_KEY: shared[first:last].astype(np.float32),
        }
        chunks.append(write_chunk(out, ISOMETRIC, index.steps[first:last], tensors))
    reduced = replace(
        index, schema_version=SCHEMA_VERSION, storage=ISOMETRIC, sketch_dim=sketch.m, chunks=tuple(chunks), parts=()
    )
    # Without parts: they would take the places of those of the index that is still there.
    write_json(out / INDEX_NAME, json_form(reduced, Entries.of(reduced)))
    for name in [chunk.file for chunk in index.chunks] + [part.file for part in index.parts]:
        (out / name).unlink(missing_ok=True)
    return reduced


def _first_alike(rows: NDArray[np.float64]) -> NDArray[np.intp]:
    """For every row the first row that equals it, (n,); rows that are not finite count as equal."""
    finite = np.isfinite(rows).all(axis=1, keepdims=True)
    _, first, groups = np.unique(np.where(finite, rows, np.inf), axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[groups.ravel()])


def _identical(folder: Path, index: SeriesIndex, left: NDArray[np.intp], right: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which pairs of snapshots are equal in every weight: in a sketch, differences can cancel."""
    same = np.ones(len(left), dtype=bool)
    if len(left):
        for _, block in _column_blocks(folder, index):
            same &= (block[left] == block[right]).all(axis=1)
    return same


def _column_blocks(folder: Path, index: SeriesIndex) -> Iterator[tuple[int, NDArray[Any]]]:
    """First column and block (n, width) of columns, over all columns, read with plain file reads.

    Not by a memory map, whose pages would count as memory of this process.
    """
    n, d, dtype = index.n_snapshots, index.d, np.dtype(index.dtype)
    starts = [
        data_start(folder / chunk.file, chunk, {WEIGHTS_KEY: ((chunk.n_snapshots, d), index.dtype)})
        for chunk in index.chunks
    ]
    width = max(4 * n, _BLOCK // n)
    with ExitStack() as stack:
        files = [stack.enter_context((folder / chunk.file).open("rb")) for chunk in index.chunks]
        for first in range(0, d, width):
            count = min(width, d - first)
            block = np.empty((n, count), dtype=dtype)
            row = 0
            for handle, start, chunk in zip(files, starts, index.chunks, strict=True):
                for i in range(chunk.n_snapshots):
                    handle.seek(start + (i * d + first) * dtype.itemsize)
                    block[row] = np.fromfile(handle, dtype=dtype, count=count)
                    row += 1
            yield first, block
