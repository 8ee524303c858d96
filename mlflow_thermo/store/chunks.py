"""Files of a series on disk: each is written in one atomic rename, and checked when it is read."""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from mlflow_thermo.schema import DTYPES, Chunk
from mlflow_thermo.store.files import StoreError, opened, parsed_json, printable, shown

#: Largest header of a safetensors file of ours, in bytes; they have about a hundred.
MAX_HEADER = 2**16
#: Largest chunk, in bytes; a few large files upload forty times faster than many small ones.
MAX_CHUNK_BYTES = 256 * 2**20
#: A series is split into about this many chunks: a killed run loses at most one of them.
CHUNKS_PER_SERIES = 4
#: Bytes that are read and hashed at once: they stay in the cache.
_PIECE = 2**18
#: What safetensors calls the dtypes of snapshots.
_CODES = {"float16": "F16", "float32": "F32", "float64": "F64"}
#: Shape and dtype of each tensor, by name.
Tensors = Mapping[str, tuple[tuple[int, ...], str]]
_AGAIN = "train the run again"
_REPAIR = "upload it again or train the run again"


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
    with _opened(path, chunk) as handle:
        _check_digest(handle, hashlib.sha256(), chunk)


def check_sizes(folder: Path, chunks: Sequence[Chunk]) -> None:
    """Raise StoreError unless every file is there and as large as its index says: memory for less is then safe."""
    for chunk in chunks:
        with _opened(folder / chunk.file, chunk):
            pass


def read_chunk(path: Path, chunk: Chunk, into: dict[str, NDArray[Any]]) -> None:
    """Read the tensors of a chunk into arrays, and check it against its size and sha256.

    Parameters
    ----------
    path : Path
        The file.
    chunk : Chunk
        Its entry in the index.
    into : dict of str to ndarray
        C-contiguous arrays to fill, with the names, shapes and dtypes that the tensors must have.

    Raises
    ------
    StoreError
        The file is missing, half-written or damaged, or holds other tensors; the arrays then hold anything.
    """
    digest = hashlib.sha256()
    with _opened(path, chunk) as handle:
        try:
            order = _tensors(handle, chunk, {k: (v.shape, v.dtype.name) for k, v in into.items()}, digest)
        except StoreError:
            # Where the file is damaged, that is the reason.
            handle.seek(0)
            _check_digest(handle, hashlib.sha256(), chunk)
            raise
        for name in order:
            rest = into[name].reshape(-1).view(np.uint8).data
            while rest and (count := handle.readinto(rest[:_PIECE])):  # type: ignore[attr-defined]
                digest.update(rest[:count])
                rest = rest[count:]
        _check_digest(handle, digest, chunk)


def data_start(path: Path, chunk: Chunk, expected: Tensors) -> int:
    """Where the data of a chunk begin in its file; StoreError as `read_chunk`."""
    with _opened(path, chunk) as handle:
        _tensors(handle, chunk, expected, hashlib.sha256())
        return handle.tell()


def _tensors(handle: BinaryIO, chunk: Chunk, expected: Tensors, digest: Any) -> list[str]:
    """Names of the tensors in the order of their data, at whose beginning the file is left.

    A safetensors file is 8 bytes of header length, the header, then the data without a gap.
    """
    label = f"chunk {printable(chunk.file)}"
    first = handle.read(8)
    length = int.from_bytes(first, "little")
    if length > MAX_HEADER:
        raise StoreError(
            f"{label} is not a snapshot chunk: field header: {length} bytes, it has at most {MAX_HEADER}: {_AGAIN}"
        )
    content = handle.read(length)
    digest.update(first + content)
    header = parsed_json(content, f"{label} is not a snapshot chunk: its header", _AGAIN)
    header.pop("__metadata__", None)
    if header.keys() != expected.keys():
        raise StoreError(
            f"{label} is not a snapshot chunk: field header: it holds {shown(sorted(header))} instead of "
            f"{', '.join(expected)}: {_AGAIN}"
        )
    spans = {}
    for name, (shape, dtype) in expected.items():
        entry = header[name] if isinstance(header[name], dict) else {}
        if entry.get("shape") != list(shape):
            raise StoreError(
                f"{label} has shape {shown(entry.get('shape'))} in field {name}, its index says {shape}: {_AGAIN}"
            )
        if entry.get("dtype") != _CODES[dtype]:
            raise StoreError(
                f"{label} has dtype {shown(entry.get('dtype'))} in field {name}, its index says {dtype}: {_AGAIN}"
            )
        size = math.prod(shape) * DTYPES[dtype]
        span: Any = entry.get("data_offsets")
        whole = isinstance(span, list) and len(span) == 2 and all(type(place) is int for place in span)
        if not whole or span[1] - span[0] != size:
            raise StoreError(f"{label}: field {name}: its data_offsets {shown(span)} are not {size} apart: {_AGAIN}")
        spans[name] = span
    order = sorted(spans, key=lambda name: spans[name][0])
    ends = [0, *(spans[name][1] for name in order)]
    if [spans[name][0] for name in order] != ends[:-1] or handle.tell() + ends[-1] != chunk.bytes:
        raise StoreError(f"{label}: field data_offsets: {shown(spans)} do not fill the file: {_AGAIN}")
    return order


@contextmanager
def _opened(path: Path, chunk: Chunk) -> Iterator[BinaryIO]:
    """The file of a chunk, of the size that its index says."""
    label = f"chunk {printable(chunk.file)}"
    try:
        with opened(path, label) as handle:
            size = os.fstat(handle.fileno()).st_size
            if size != chunk.bytes:
                kind = "half-written" if size < chunk.bytes else "another file"
                raise StoreError(f"{label} is {kind} (field bytes: {size} of {chunk.bytes} bytes): {_REPAIR}")
            yield handle
    except FileNotFoundError:
        raise StoreError(f"{label} is missing (field file): {_REPAIR}") from None


def _check_digest(handle: BinaryIO, digest: Any, chunk: Chunk) -> None:
    """Raise StoreError unless `digest`, with the rest of the file, is the one that the index says."""
    while piece := handle.read(_PIECE):
        digest.update(piece)
    if digest.hexdigest() != chunk.sha256:
        raise StoreError(f"chunk {printable(chunk.file)} is damaged (sha256 differs): {_REPAIR}")
