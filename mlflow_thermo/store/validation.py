"""What an index and its parts may say together. Nothing is allocated before this passes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import accumulate
from operator import le
from typing import Any

from mlflow_thermo.schema import (
    DTYPES,
    FULL,
    ISOMETRIC,
    MAX_SNAPSHOTS,
    SCHEMA_VERSION,
    SKETCH,
    SPHERES,
    ParameterSlice,
    Part,
    SeriesIndex,
)
from mlflow_thermo.store.chunks import MAX_HEADER
from mlflow_thermo.store.fields import REMEDY, Attributes, Fields, PartEntry, PartFile, modelled
from mlflow_thermo.store.files import StoreError, shown
from mlflow_thermo.store.isometric import packed_size
from mlflow_thermo.store.parts import Entries, part_name

#: First version whose index carries its checksum, and first that may have parts.
CHECKSUM_VERSION, PARTS_VERSION = 4, 5
#: Most chunks of a series whose index has parts; one without them has room for no more.
_MAX_CHUNKS = 100_000
_NAME = re.compile(r"(?!\.)[^/\\\x00-\x1f\x7f]{1,200}")
_FILE = re.compile(r"(?!\.)[^/\\:\x00-\x1f\x7f]{1,200}\.safetensors")


def fields_of(raw: dict[str, Any], label: str) -> Fields:
    """The fields that JSON says, before the parts are read that they name.

    Parameters
    ----------
    raw : dict
        As `json.loads` gives it.
    label : str
        What it is, for messages.

    Returns
    -------
    Fields

    Raises
    ------
    StoreError
        A later version, a field that is missing, unknown or of another kind, or parts that are too many or have other
        names; the message names the field.
    """
    version = raw.get("schema_version")
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise StoreError(
            f"snapshot index has schema_version {shown(version)}, this release reads up to {SCHEMA_VERSION} ({label}, "
            "field schema_version): upgrade mlflow-thermo"
        )
    fields = modelled(Fields, raw, label)
    modelled(Attributes, fields.attributes, label)
    _agree(label, _of_version(fields))
    _agree(label, _of_parts(fields))
    return fields


def part_entries(raw: dict[str, Any], label: str, fields: Fields, number: int) -> Entries:
    """The entries in a part, which JSON says; StoreError unless it is the one that the index has there."""
    part, held = fields.parts[number], modelled(PartFile, raw, label)
    _agree(label, _of_part(held, part, fields.series, number))
    return held.typed()


def validated(fields: Fields, parts: list[Entries], label: str) -> SeriesIndex:
    """The index with what its parts hold; StoreError for fields that contradict each other."""
    index = _index_of(fields, Entries.joined([*parts, fields.typed()]))
    _agree(f"{label} with its parts" if parts else label, _disagreements(index))
    return index


def _agree(label: str, disagreements: Iterator[tuple[str, str]]) -> None:
    for field, reason in disagreements:
        raise StoreError(f"{label}: field {field}: {reason}: {REMEDY}")


def _index_of(fields: Fields, entries: Entries) -> SeriesIndex:
    return SeriesIndex(
        series=fields.series,
        d=fields.d,
        dtype=fields.dtype,
        protocol=fields.protocol,
        lr=fields.lr,
        seed=fields.seed,
        layout=tuple(ParameterSlice(p.name, tuple(p.shape), p.offset, p.size) for p in fields.layout),
        schema_version=fields.schema_version,
        complete=fields.complete,
        chains=fields.chains,
        **vars(entries),
        parts=tuple(Part(**vars(part)) for part in fields.parts),
        attributes=fields.attributes,
        storage=fields.storage,
        sketch_dim=fields.sketch_dim,
        sketch_error=fields.sketch_error,
    )


def _of_version(fields: Fields) -> Iterator[tuple[str, str]]:
    version = fields.schema_version
    if (fields.checksum is None) == (version >= CHECKSUM_VERSION):
        yield "checksum", f"version {version} has {'one' if fields.checksum is None else 'none'}"
    if fields.parts and version < PARTS_VERSION:
        yield "parts", f"version {version} has none"


def _of_parts(fields: Fields) -> Iterator[tuple[str, str]]:
    """Parts are opened only after this: their names, and how much they may hold altogether."""
    for i, part in enumerate(fields.parts):
        if part.file != part_name(i):
            yield f"parts.{i}.file", f"{shown(part.file)} is not {part_name(i)!r}"
    for field, most, own in (
        ("n_snapshots", MAX_SNAPSHOTS, len(fields.steps)),
        ("n_chunks", _MAX_CHUNKS, len(fields.chunks)),
    ):
        for i, total in enumerate(accumulate((getattr(part, field) for part in fields.parts), initial=own)):
            if i and total > most:
                yield f"parts.{i - 1}.{field}", f"with those before and in the index {total}, at most {most}"


def _of_part(held: PartFile, part: PartEntry, series: str, number: int) -> Iterator[tuple[str, str]]:
    if held.series != series:
        yield "series", f"it is that of {shown(held.series)}, not of {shown(series)}"
    if held.number != number:
        yield "number", f"{held.number}, and the index has it as part {number}"
    for field in ("steps", "loss", "loss_mean"):
        if len(getattr(held, field)) != part.n_snapshots:
            yield field, f"{len(getattr(held, field))} entries, and the index says {part.n_snapshots}"
    if len(held.chunks) != part.n_chunks:
        yield "chunks", f"{len(held.chunks)} of them, and the index says {part.n_chunks}"
    if (total := sum(chunk.n_snapshots for chunk in held.chunks)) != part.n_snapshots:
        yield "chunks", f"their n_snapshots add up to {total}, and the index says {part.n_snapshots}"


def _disagreements(index: SeriesIndex) -> Iterator[tuple[str, str]]:
    """Field and reason of everything in which the fields contradict each other, or say what cannot be."""
    if not _NAME.fullmatch(index.series):
        yield "series", f"{shown(index.series)} cannot be the name of a folder"
    try:
        json.dumps(index.attributes, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        yield "attributes", "a text that is not Unicode"
    except (ValueError, RecursionError) as error:
        yield "attributes", "nested too deeply" if isinstance(error, RecursionError) else "a number that is not finite"
    yield from _of_layout(index)
    n = len(index.steps)
    if n > MAX_SNAPSHOTS:
        yield "steps", f"{n} snapshots, a series has at most {MAX_SNAPSHOTS}"
    for field, values in (("loss", index.loss), ("loss_mean", index.loss_mean)):
        if len(values) != n:
            yield field, f"{len(values)} entries for the {n} of steps"
    if index.n_snapshots != n:
        yield "chunks", f"their n_snapshots add up to {index.n_snapshots}, and steps has {n} entries"
    if index.complete and not n:
        yield "complete", "true without a snapshot"
    yield from _of_steps(index)
    if (index.storage in (ISOMETRIC, SKETCH)) != (index.sketch_dim > 0):
        yield "sketch_dim", f"{index.sketch_dim} with storage {index.storage!r}"
    yield from _of_chunks(index)


def _of_layout(index: SeriesIndex) -> Iterator[tuple[str, str]]:
    end = 0
    for part in sorted(index.layout, key=lambda part: (part.offset, part.size)):
        where = f"layout of {shown(part.name)}"
        if part.size != math.prod(part.shape):
            yield where, f"size {part.size} is not that of shape {shown(part.shape)}"
        if part.offset != end:
            yield where, f"it begins at {part.offset}, and what comes before it ends at {end}"
        end += part.size
    if index.layout and end != index.d:
        yield "layout", f"it covers {end} of d = {index.d} weights"
    if index.protocol == SPHERES:
        if not index.layout or not all(part.size for part in index.layout):
            yield "layout", "the protocol 'spheres' needs one, of parameters that are not empty"
        if index.storage != FULL:
            yield "storage", f"{index.storage!r} does not keep the spheres of single units"


def _of_steps(index: SeriesIndex) -> Iterator[tuple[str, str]]:
    steps, chains = index.steps, index.chains
    if len(steps) % chains:
        yield "chains", f"{chains} do not divide the {len(steps)} entries of steps"
        return
    own = steps[::chains]
    if any(map(le, own[1:], own)):
        yield "steps", "they do not rise"
    if chains > 1 and any(steps[k::chains] != own for k in range(1, chains)):
        yield "steps", f"each does not stand {chains} times, once for each chain"


def _of_chunks(index: SeriesIndex) -> Iterator[tuple[str, str]]:
    if len({chunk.file.casefold() for chunk in index.chunks}) < len(index.chunks):
        yield "chunks", "two of them name one file"
    start = 0
    for i, chunk in enumerate(index.chunks):
        stop = start + chunk.n_snapshots
        if not _FILE.fullmatch(chunk.file) or not chunk.file.isascii():
            yield f"chunks.{i}.file", f"{shown(chunk.file)} is not a plain name that ends in .safetensors"
        if (chunk.first_step, chunk.last_step) != (index.steps[start], index.steps[stop - 1]):
            yield f"chunks.{i}.first_step", "it does not agree with steps, or last_step does not"
        spare = chunk.bytes - payload(index, start, stop)
        if not 8 < spare <= 8 + MAX_HEADER:
            yield f"chunks.{i}.bytes", f"{chunk.bytes} do not fit {chunk.n_snapshots} snapshots of this series"
        start = stop


def payload(index: SeriesIndex, start: int, stop: int) -> int:
    """Bytes that the snapshots from `start` to `stop` (exclusive) take in a chunk, without its header."""
    n = stop - start
    if index.storage == ISOMETRIC:
        return 8 * packed_size(start, stop) + 4 * n * index.sketch_dim
    return n * index.columns * DTYPES[index.dtype]
