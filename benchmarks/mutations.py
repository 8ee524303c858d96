"""Damage and forgery of a series on disk: what chance, a bad disk or somebody with bad intent can do to its files."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import damage
from mlflow_thermo.schema import FULL, ISOMETRIC, SKETCH, ParameterSlice, SeriesIndex
from mlflow_thermo.store import CountSketch, SeriesWriter, reduce_series, sketch_rows

STORAGES = (FULL, ISOMETRIC, SKETCH)
#: Every kind changes the files in a folder; True where the digests were made to fit, so that no checksum can tell.
Mutation = Callable[[random.Random, Path], bool]

_HUGE = 10**30
#: What stands in the place of something else.
_ODD: tuple[Any, ...] = (
    None, True, False, "", "abc", "float99", "\ud800", "\x1b[31m", "<script>", "9" * 400, [], [[]], {}, {"a": None},
    -1, 0, 1, 2, 7, 1.5, -0.0, 1e308, float("nan"), float("inf"), -float("inf"), 2**31, 2**53 + 1, 2**63, 2**64, _HUGE,
    -_HUGE, 10**400, [1] * 5000, {"set_temperature": "abc"}, {"uniform_loss": []}, {"minibatch_squares": [[1], 2]},
)  # fmt: skip
_PATHS = (
    "../other.safetensors", "/etc/hostname", "a/b.safetensors", ".hidden.safetensors", "..", ".", "", "x\0.safetensors",
    "index.json", "C:\\x.safetensors", "con.safetensors", "ä.safetensors", "a" * 5000 + ".safetensors",
)  # fmt: skip
_CHUNK = "*.safetensors"


def write_sample(folder: Path, storage: str, seed: int = 0) -> None:
    """A small complete series of two chains in one of the storage forms."""
    rng = np.random.default_rng(seed)
    n, d, chains = 24, 60, 2
    layout = (ParameterSlice("weight", (5, 10), 0, 50), ParameterSlice("bias", (10,), 50, 10))
    index = SeriesIndex("spaced", d, "float32", "fixed_lr", lr=0.1, seed=3, layout=layout, chains=chains)
    index = replace(index, attributes={"uniform_loss": 2.5, "uniform_loss_std": 0.1, "note": "a text", "more": [1, {}]})
    weights = rng.normal(size=(n, d)).astype(np.float32)
    if storage == SKETCH:
        index = replace(index, storage=SKETCH, sketch_dim=16, sketch_error=0.2)
        weights = sketch_rows(CountSketch(d, 16), weights, keep_norms=False)
    writer = SeriesWriter.create(folder, index)
    for part in np.split(np.arange(n), 3):
        loss = rng.random(len(part))
        loss[0] = np.nan
        writer.append(part // chains + 1, weights[part], loss, rng.random(len(part)))
    writer.close(complete=True)
    if storage == ISOMETRIC:
        reduce_series(folder, folder)


def _on_index(change: Callable[[random.Random, Path], None]) -> Mutation:
    def mutation(rng: random.Random, folder: Path) -> bool:
        change(rng, folder / "index.json")
        return False

    return mutation


def _on_chunk(change: Callable[[random.Random, Path], None], forged: bool = False) -> Mutation:
    def mutation(rng: random.Random, folder: Path) -> bool:
        path = rng.choice(sorted(folder.glob(_CHUNK)))
        change(rng, path)
        if forged:
            raw = json.loads((folder / "index.json").read_text())
            (entry,) = (chunk for chunk in raw["chunks"] if chunk["file"] == path.name)
            entry.update(bytes=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
            _write(folder, raw, forged=True)
        return forged

    return mutation


# Fields of the index, with its old checksum or one made to fit.


def _write(folder: Path, raw: dict[str, Any], forged: bool) -> None:
    if forged:
        # As docs/format.md says.
        rest = {key: value for key, value in raw.items() if key != "checksum"}
        canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
        raw["checksum"] = hashlib.sha256(canonical.encode()).hexdigest()
    (folder / "index.json").write_text(json.dumps(raw, indent=1))


def _places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Ways to everything inside of a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, part in inside for place in ((*above, key), *_places(part, (*above, key)))]


def _pick(rng: random.Random, raw: dict[str, Any]) -> tuple[Any, Any]:
    """A list or object and a key in it; whole fields as often as single numbers."""
    ways = _places(raw)
    way = rng.choice([way for way in ways if len(way) == 1] if rng.random() < 0.5 else ways)
    parent: Any = raw
    for key in way[:-1]:
        parent = parent[key]
    return parent, way[-1]


def _on_fields(change: Callable[[random.Random, dict[str, Any]], None]) -> Mutation:
    def mutation(rng: random.Random, folder: Path) -> bool:
        raw = json.loads((folder / "index.json").read_text())
        change(rng, raw)
        forged = rng.random() < 0.5
        _write(folder, raw, forged)
        return forged

    return mutation


def odd_value(rng: random.Random, raw: dict[str, Any]) -> None:
    parent, key = _pick(rng, raw)
    parent[key] = rng.choice(_ODD)


def number_changed(rng: random.Random, raw: dict[str, Any]) -> None:
    for _ in range(100):
        parent, key = _pick(rng, raw)
        if type(parent[key]) in (int, float):
            factor = rng.choice((-1, 0, 2, 10, 1e3, 1e9, 1e15, 1e300))
            changed = parent[key] * factor + rng.choice((0, 1, -1))
            parent[key] = int(changed) if type(parent[key]) is int and rng.random() < 0.8 else changed
            return


def field_removed(rng: random.Random, raw: dict[str, Any]) -> None:
    parent, key = _pick(rng, raw)
    del parent[key]


def fields_swapped(rng: random.Random, raw: dict[str, Any]) -> None:
    (one, i), (other, j) = _pick(rng, raw), _pick(rng, raw)
    if isinstance(one[i], dict | list) and one is not other:
        # A list inside of itself could not be written.
        i, one = rng.choice([(key, raw) for key in raw if not isinstance(raw[key], dict | list)])
        other, j = raw, rng.choice([*raw])
    one[i], other[j] = other[j], one[i]


def entry_repeated(rng: random.Random, raw: dict[str, Any]) -> None:
    values = raw[rng.choice(("steps", "loss", "loss_mean", "chunks", "layout"))]
    values.insert(rng.randrange(len(values)), rng.choice(values))


def unknown_field(rng: random.Random, raw: dict[str, Any]) -> None:
    target = rng.choice((raw, rng.choice(raw["chunks"]), rng.choice(raw["layout"])))
    target[rng.choice(("new", "Steps", "\x00", "__class__"))] = rng.choice(_ODD)


def path_trick(rng: random.Random, raw: dict[str, Any]) -> None:
    rng.choice(raw["chunks"])["file"] = rng.choice(_PATHS)


def older_version(rng: random.Random, folder: Path) -> bool:
    """An index from before there were checksums."""
    raw = json.loads((folder / "index.json").read_text())
    raw["schema_version"] = rng.choice((1, 2, 3))
    del raw["checksum"]
    rng.choice((odd_value, number_changed, field_removed, entry_repeated, fields_swapped))(rng, raw)
    _write(folder, raw, forged=False)
    return True


def everything_grown(rng: random.Random, raw: dict[str, Any]) -> None:
    """A series of a size that no file here holds."""
    factor = rng.choice((10, 10**4, 10**9))
    raw["d"] *= factor
    raw["layout"] = rng.choice(([], [{"name": "w", "shape": [raw["d"]], "offset": 0, "size": raw["d"]}]))
    raw["sketch_dim"] *= factor
    for chunk in raw["chunks"]:
        chunk["bytes"] = min(chunk["bytes"] * factor, 2**53)


def _in_place(change: Callable[[Path], None]) -> Mutation:
    def mutation(rng: random.Random, folder: Path) -> bool:
        path = rng.choice([folder / "index.json", *sorted(folder.glob(_CHUNK))])
        change(path)
        return False

    return mutation


#: By name, with how often each is tried against the others.
MUTATIONS: dict[str, tuple[Mutation, int]] = {
    "index: bit flip": (_on_index(damage.bit_flip), 20),
    "index: bytes deleted": (_on_index(damage.bytes_deleted), 10),
    "index: bytes inserted": (_on_index(damage.bytes_inserted), 10),
    "index: truncated": (_on_index(damage.truncated), 5),
    "index: odd value": (_on_fields(odd_value), 20),
    "index: number changed": (_on_fields(number_changed), 15),
    "index: field removed": (_on_fields(field_removed), 5),
    "index: fields swapped": (_on_fields(fields_swapped), 10),
    "index: entry repeated": (_on_fields(entry_repeated), 5),
    "index: unknown field": (_on_fields(unknown_field), 5),
    "index: path trick": (_on_fields(path_trick), 5),
    "index: older version": (older_version, 10),
    "index: everything grown": (_on_fields(everything_grown), 5),
    "index: key twice": (_on_index(damage.key_twice), 5),
    "index: impossible literal": (_on_index(damage.literal), 8),
    "index: invalid text": (_on_index(damage.invalid_text), 5),
    "index: bomb": (_on_index(damage.bomb), 2),
    "chunk: bit flip": (_on_chunk(damage.bit_flip), 10),
    "chunk: bytes deleted": (_on_chunk(damage.bytes_deleted), 5),
    "chunk: truncated": (_on_chunk(damage.truncated), 5),
    "chunk: header changed": (_on_chunk(damage.header_changed), 5),
    "chunk: header changed, digests made to fit": (_on_chunk(damage.header_changed, forged=True), 10),
    "chunk: long header, digests made to fit": (_on_chunk(damage.header_long, forged=True), 3),
    "chunk: bit flip, digests made to fit": (_on_chunk(damage.bit_flip, forged=True), 10),
    "file: FIFO": (_in_place(damage.fifo), 2),
    "file: link that leads out": (_in_place(damage.link_out), 2),
    "file: link to a device": (_in_place(damage.link_to_device), 2),
    "file: link to itself": (_in_place(damage.link_to_itself), 1),
    "file: folder": (_in_place(damage.directory), 2),
    "file: missing": (_in_place(damage.missing), 1),
    "file: 64 GiB without content": (_in_place(damage.grown), 1),
}
