"""The parts of an index: files of their own with what it says of chunks that are long done.

An index in one piece would be written, hashed and sent as a whole for every chunk, and grow with each of them. Parts
are written once, before the first index that names them: a process that dies in between leaves a part that no index
names, which readers do not see and the next writer replaces.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from mlflow_thermo.schema import Chunk, Part, SeriesIndex
from mlflow_thermo.store.index import lines_of, write_lines

#: Chunks of one part. An index has the entries of up to so many, and names one part for each so many before: with some
#: thousands of chunks, that is the least text on average.
CHUNKS_PER_PART = 64


@dataclass(frozen=True)
class Entries:
    """What an index says of consecutive chunks; fields as in `SeriesIndex`."""

    steps: tuple[int, ...] = ()
    loss: tuple[float | None, ...] = ()
    loss_mean: tuple[float | None, ...] = ()
    chunks: tuple[Chunk, ...] = ()

    @classmethod
    def of(cls, index: SeriesIndex) -> Entries:
        """Those of all chunks of an index."""
        return cls(index.steps, index.loss, index.loss_mean, index.chunks)

    @classmethod
    def joined(cls, pieces: Iterable[Entries]) -> Entries:
        """Those of all pieces, one after the other."""
        pieces = list(pieces)
        return cls(*(tuple(chain.from_iterable(getattr(one, field.name) for one in pieces)) for field in fields(cls)))

    def split(self, n_chunks: int) -> tuple[Entries, Entries]:
        """Those of the first chunks, and the others."""
        n = sum(one.n_snapshots for one in self.chunks[:n_chunks])
        first = Entries(self.steps[:n], self.loss[:n], self.loss_mean[:n], self.chunks[:n_chunks])
        return first, Entries(self.steps[n:], self.loss[n:], self.loss_mean[n:], self.chunks[n_chunks:])

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**vars(self), "chunks": [vars(one) for one in self.chunks]}


def json_form(facts: SeriesIndex, entries: Entries) -> dict[str, Any]:
    """What ``index.json`` says: the facts of a series, its parts, and the entries that are in no part."""
    nested = {name: [vars(one) for one in getattr(facts, name)] for name in ("layout", "parts")}
    return {**vars(facts), **entries.to_dict(), **nested}


def part_name(number: int) -> str:
    """File name of a part, by its number from 0: no other name is one, so that no two parts share a file."""
    return f"index-{number:06d}.json"


def write_part(folder: Path, series: str, number: int, entries: Entries) -> Part:
    """Write a part in one atomic rename; OSError if the disk is full or not writable.

    Parameters
    ----------
    folder : Path
        Folder of the series.
    series : str
        Its name.
    number : int
        Number of the part, from 0.
    entries : Entries
        What it holds.

    Returns
    -------
    Part
        What the index says of it.
    """
    path = folder / part_name(number)
    content = write_lines(path, lines_of({**entries.to_dict(), "series": series, "number": number}))
    digest = hashlib.sha256(content).hexdigest()
    return Part(path.name, len(entries.chunks), len(entries.steps), len(content), digest)


def shortened(index: SeriesIndex, n_chunks: int) -> SeriesIndex:
    """The index of the first chunks of a series. Of its parts those stay that hold no other chunk."""
    ends = accumulate(part.n_chunks for part in index.parts)
    parts = tuple(part for part, end in zip(index.parts, ends, strict=True) if end <= n_chunks)
    first, _ = Entries.of(index).split(n_chunks)
    return replace(index, parts=parts, **vars(first))
