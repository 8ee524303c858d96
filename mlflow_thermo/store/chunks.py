"""Files of a series on disk: each is written in one atomic rename, and checked when it is read."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import Chunk

#: Largest chunk, in bytes; a few large files upload forty times faster than many small ones.
MAX_CHUNK_BYTES = 256 * 2**20
#: A series is split into about this many chunks: a killed run loses at most one of them.
CHUNKS_PER_SERIES = 4


class StoreError(ThermoError):
    """A series on disk is missing, half-written or damaged, or cannot be written."""


@contextmanager
def permitted(path: Path) -> Iterator[None]:
    """Turn the refusal to read `path` into a StoreError that says how its owner can allow it."""
    try:
        yield
    except PermissionError as error:
        where = error.filename or path
        raise StoreError(
            f"{where} cannot be read (permission denied): its owner can allow it with 'chmod -R a+rX {path.parent}'"
        ) from error


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
    # Safetensors lets nobody else read what it writes: the chunk gets the mode of a file that is made here.
    temporary.unlink(missing_ok=True)
    temporary.touch()
    mode = temporary.stat().st_mode
    try:
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, temporary)
    except SafetensorError as error:
        # Safetensors wraps the errors of the disk in a class of its own.
        raise OSError(f"{path}: {error}") from error
    temporary.chmod(stat.S_IMODE(mode))
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    os.replace(temporary, path)
    return Chunk(path.name, steps[0], steps[-1], len(steps), path.stat().st_size, sha256_of(path))


def check_file(path: Path, chunk: Chunk) -> None:
    """Raise StoreError unless the file at `path` is the one that its index lists as `chunk`."""
    with permitted(path):
        _check_file(path, chunk)


def _check_file(path: Path, chunk: Chunk) -> None:
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


def read_chunk(path: Path, chunk: Chunk, shapes: dict[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """The tensors of a chunk that passes `check_file`; StoreError unless they have the names and `shapes` given."""
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
