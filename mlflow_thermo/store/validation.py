"""What an index may say: every field on its own, then all of them together. Nothing is allocated before this passes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from operator import le
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, ValidationError

from mlflow_thermo.schema import (
    DTYPES,
    FULL,
    ISOMETRIC,
    MAX_SNAPSHOTS,
    PROTOCOLS,
    SCHEMA_VERSION,
    SKETCH,
    SPHERES,
    STORAGES,
    Chunk,
    ParameterSlice,
    SeriesIndex,
)
from mlflow_thermo.store.chunks import MAX_HEADER
from mlflow_thermo.store.files import StoreError, named, shown
from mlflow_thermo.store.isometric import packed_size

#: First version whose index carries its checksum.
CHECKSUM_VERSION = 4
_REMEDY = "fetch it again, or train the run again"
_NAME = re.compile(r"(?!\.)[^/\\\x00-\x1f\x7f]{1,200}")
_FILE = re.compile(r"(?!\.)[^/\\:\x00-\x1f\x7f]{1,200}\.safetensors")


def moderate(value: float) -> float:
    """A number whose square and inverse are numbers too, or 0."""
    if value and not 1e-100 <= abs(value) <= 1e100:
        raise ValueError("Input should lie between 1e-100 and 1e100")
    return value


Whole = Annotated[int, Field(ge=0, le=2**53)]
Positive = Annotated[int, Field(ge=1, le=2**53)]
#: No smaller than any seed of 64 bits, with or without a sign.
Seed = Annotated[int, Field(ge=-(2**63), lt=2**64)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Value = Annotated[float, Field(allow_inf_nan=False), AfterValidator(moderate)]
Above = Annotated[Value, Field(gt=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]
Steps = Annotated[list[Positive], FailFast()]
Losses = Annotated[list[Finite | None], FailFast()]


class _Strict(BaseModel):
    """No type is converted, no field ignored."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _Slice(_Strict):
    name: str
    shape: Annotated[list[Whole], Field(max_length=64)]
    offset: Whole
    size: Whole


class _Chunk(_Strict):
    file: str
    first_step: Positive
    last_step: Positive
    n_snapshots: Positive
    bytes: Positive
    sha256: Digest


class _Attributes(BaseModel):
    """What the analysis reads of the attributes; the others are the user's own."""

    model_config = ConfigDict(strict=True, extra="ignore")
    set_temperature: Above | None = None
    uniform_loss: Value | None = None
    uniform_loss_std: Annotated[Value, Field(ge=0)] | None = None
    minibatch_squares: Annotated[list[Value], FailFast()] = []


class _Index(_Strict):
    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)]
    series: str
    d: Positive
    dtype: Literal[tuple(DTYPES)]  # type: ignore[valid-type]
    protocol: Literal[PROTOCOLS]  # type: ignore[valid-type]
    lr: Above | None = None
    seed: Seed | None = None
    layout: Annotated[list[_Slice], FailFast()]
    complete: bool = False
    chains: Positive = 1
    steps: Steps
    loss: Losses
    loss_mean: Losses
    chunks: Annotated[list[_Chunk], FailFast()]
    attributes: dict[str, Any] = {}
    storage: Literal[STORAGES[1:]] = FULL  # type: ignore[valid-type]
    sketch_dim: Whole = 0
    sketch_error: Annotated[Value, Field(ge=0)] | None = None
    checksum: Digest | None = None


def validated(raw: dict[str, Any], label: str) -> SeriesIndex:
    """The index that JSON says.

    Parameters
    ----------
    raw : dict
        As `json.loads` gives it.
    label : str
        What it is, for messages.

    Returns
    -------
    SeriesIndex

    Raises
    ------
    StoreError
        A later version, a field that is missing, unknown or of another kind, or fields that contradict each other; the
        message names the field.
    """
    version = raw.get("schema_version")
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise StoreError(
            f"snapshot index has schema_version {shown(version)}, this release reads up to {SCHEMA_VERSION} ({label}, "
            "field schema_version): upgrade mlflow-thermo"
        )
    try:
        fields = _Index.model_validate(raw)
        _Attributes.model_validate(fields.attributes)
    except ValidationError as error:
        # Without its cause, which would hold the whole index.
        raise StoreError(f"{label}: {_first(error)}: {_REMEDY}") from None
    index = _index_of(fields)
    for field, reason in _disagreements(index, fields):
        raise StoreError(f"{label}: field {field}: {reason}: {_REMEDY}")
    return index


def _first(error: ValidationError) -> str:
    """Field and reason of the first error."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = [str(part) for part in first["loc"]]
    if error.title == _Attributes.__name__:
        place.insert(0, "attributes")
    given = "" if first["type"] == "missing" else f", got {shown(first['input'])}"
    return f"field {named('.'.join(place))}: {first['msg'].removeprefix('Value error, ')}{given}"


def _index_of(fields: _Index) -> SeriesIndex:
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
        steps=tuple(fields.steps),
        loss=tuple(fields.loss),
        loss_mean=tuple(fields.loss_mean),
        chunks=tuple(Chunk(**vars(chunk)) for chunk in fields.chunks),
        attributes=fields.attributes,
        storage=fields.storage,
        sketch_dim=fields.sketch_dim,
        sketch_error=fields.sketch_error,
    )


def _disagreements(index: SeriesIndex, fields: _Index) -> Iterator[tuple[str, str]]:
    """Field and reason of everything in which the fields contradict each other, or say what cannot be."""
    if (fields.checksum is None) == (index.schema_version >= CHECKSUM_VERSION):
        yield "checksum", f"version {index.schema_version} has {'one' if fields.checksum is None else 'none'}"
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
