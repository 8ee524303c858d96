"""Damage and forgery of a series on disk: what chance, a bad disk or somebody with bad intent can do to its files."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import damage

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
_INDEX, _PART, _CHUNK = "index.json", "index-*.json", "*.safetensors"


# Where: the index, a part of it, a chunk; with old digests, or with such as fit.


def _index_or_part(rng: random.Random, folder: Path, part: bool) -> Path:
    return rng.choice(sorted(folder.glob(_PART))) if part else folder / _INDEX


def _on_text(change: Callable[[random.Random, Path], None], part: bool = False, forged: bool = False) -> Mutation:
    def mutation(rng: random.Random, folder: Path) -> bool:
        path = _index_or_part(rng, folder, part)
        change(rng, path)
        if forged:
            _name_part(path)
        return forged

    return mutation


def _on_fields(change: Callable[[random.Random, dict[str, Any]], None], part: bool = False) -> Mutation:
    def mutation(rng: random.Random, folder: Path) -> bool:
        path = _index_or_part(rng, folder, part)
        raw = json.loads(path.read_text())
        change(rng, raw)
        forged = rng.random() < 0.5
        _write(path, raw, forged)
        return forged

    return mutation


def _on_chunk(change: Callable[[random.Random, Path], None], forged: bool = False) -> Mutation:
    def mutation(rng: random.Random, folder: Path) -> bool:
        path = rng.choice(sorted(folder.glob(_CHUNK)))
        change(rng, path)
        for place in (folder / _INDEX, *folder.glob(_PART)) if forged else ():
            raw = json.loads(place.read_text())
            for entry in raw["chunks"]:
                if entry["file"] == path.name:
                    entry.update(_digest_of(path))
                    _write(place, raw, forged=True)
        return forged

    return mutation


def _digest_of(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _write(path: Path, raw: dict[str, Any], forged: bool) -> None:
    if forged and path.name == _INDEX:
        # As docs/format.md says.
        rest = {key: value for key, value in raw.items() if key != "checksum"}
        canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
        raw["checksum"] = hashlib.sha256(canonical.encode()).hexdigest()
    path.write_text(json.dumps(raw, indent=1))
    if forged and path.name != _INDEX:
        _name_part(path)


def _name_part(path: Path) -> None:
    """Make what the index says of a part fit it."""
    raw = json.loads(path.with_name(_INDEX).read_text())
    (entry,) = (part for part in raw["parts"] if part["file"] == path.name)
    entry.update(_digest_of(path))
    _write(path.with_name(_INDEX), raw, forged=True)


# Fields.


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
    values = raw[rng.choice([key for key in ("steps", "loss", "loss_mean", "chunks", "layout") if key in raw])]
    values.insert(rng.randrange(len(values)), rng.choice(values))


def unknown_field(rng: random.Random, raw: dict[str, Any]) -> None:
    target = rng.choice([raw, *(rng.choice(raw[key]) for key in ("chunks", "layout", "parts") if raw.get(key))])
    target[rng.choice(("new", "Steps", "\x00", "__class__"))] = rng.choice(_ODD)


def path_trick(rng: random.Random, raw: dict[str, Any]) -> None:
    rng.choice([*raw["chunks"], *raw.get("parts", ())])["file"] = rng.choice(_PATHS)


def older_version(rng: random.Random, folder: Path) -> bool:
    """An index from before there were parts, or checksums."""
    raw = json.loads((folder / _INDEX).read_text())
    parts = [json.loads((folder / part["file"]).read_text()) for part in raw.pop("parts")]
    for key in ("steps", "loss", "loss_mean", "chunks"):
        raw[key] = [entry for part in (*parts, raw) for entry in part[key]]
    raw["schema_version"] = version = rng.choice((1, 2, 3, 4))
    del raw["checksum"]
    rng.choice((odd_value, number_changed, field_removed, entry_repeated, fields_swapped))(rng, raw)
    _write(folder / _INDEX, raw, forged=version == 4)
    return True


def everything_grown(rng: random.Random, folder: Path) -> bool:
    """A series of a size that no file here holds."""
    factor = rng.choice((10, 10**4, 10**9))
    for path in folder.glob(_PART):
        raw = json.loads(path.read_text())
        _grow_chunks(raw, factor)
        _write(path, raw, forged=True)
    raw = json.loads((folder / _INDEX).read_text())
    _grow_chunks(raw, factor)
    raw["d"] *= factor
    raw["layout"] = rng.choice(([], [{"name": "w", "shape": [raw["d"]], "offset": 0, "size": raw["d"]}]))
    raw["sketch_dim"] *= factor
    _write(folder / _INDEX, raw, forged=True)
    return True


def _grow_chunks(raw: dict[str, Any], factor: int) -> None:
    for chunk in raw["chunks"]:
        chunk["bytes"] = min(chunk["bytes"] * factor, 2**53)


def parts_moved(rng: random.Random, folder: Path) -> bool:
    """A part in the place of the other, or of both."""
    one, other = rng.sample(sorted(folder.glob(_PART)), 2)
    content = one.read_bytes()
    if rng.random() < 0.5:
        one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    if forged := rng.random() < 0.8:
        for path in (one, other):
            _name_part(path)
    return forged


def _in_place(change: Callable[[Path], None]) -> Mutation:
    def mutation(rng: random.Random, folder: Path) -> bool:
        path = rng.choice([folder / _INDEX, *sorted(folder.glob(_PART)), *sorted(folder.glob(_CHUNK))])
        change(path)
        return False

    return mutation


#: By name, with how often each is tried against the others.
MUTATIONS: dict[str, tuple[Mutation, int]] = {
    "index: bit flip": (_on_text(damage.bit_flip), 20),
    "index: bytes deleted": (_on_text(damage.bytes_deleted), 10),
    "index: bytes inserted": (_on_text(damage.bytes_inserted), 10),
    "index: truncated": (_on_text(damage.truncated), 5),
    "index: odd value": (_on_fields(odd_value), 20),
    "index: number changed": (_on_fields(number_changed), 15),
    "index: field removed": (_on_fields(field_removed), 5),
    "index: fields swapped": (_on_fields(fields_swapped), 10),
    "index: entry repeated": (_on_fields(entry_repeated), 5),
    "index: unknown field": (_on_fields(unknown_field), 5),
    "index: path trick": (_on_fields(path_trick), 5),
    "index: older version": (older_version, 10),
    "index: everything grown": (everything_grown, 5),
    "index: key twice": (_on_text(damage.key_twice), 5),
    "index: impossible literal": (_on_text(damage.literal), 8),
    "index: invalid text": (_on_text(damage.invalid_text), 5),
    "index: bomb": (_on_text(damage.bomb), 2),
    "part: bit flip": (_on_text(damage.bit_flip, part=True), 10),
    "part: bytes deleted": (_on_text(damage.bytes_deleted, part=True), 5),
    "part: truncated": (_on_text(damage.truncated, part=True), 3),
    "part: bit flip, digests made to fit": (_on_text(damage.bit_flip, part=True, forged=True), 20),
    "part: bytes inserted, digests made to fit": (_on_text(damage.bytes_inserted, part=True, forged=True), 10),
    "part: odd value": (_on_fields(odd_value, part=True), 20),
    "part: number changed": (_on_fields(number_changed, part=True), 15),
    "part: field removed": (_on_fields(field_removed, part=True), 5),
    "part: fields swapped": (_on_fields(fields_swapped, part=True), 10),
    "part: entry repeated": (_on_fields(entry_repeated, part=True), 5),
    "part: unknown field": (_on_fields(unknown_field, part=True), 5),
    "part: path trick": (_on_fields(path_trick, part=True), 5),
    "part: key twice, digests made to fit": (_on_text(damage.key_twice, part=True, forged=True), 5),
    "part: impossible literal, digests made to fit": (_on_text(damage.literal, part=True, forged=True), 8),
    "part: invalid text, digests made to fit": (_on_text(damage.invalid_text, part=True, forged=True), 5),
    "part: moved": (parts_moved, 5),
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


def mutations_of(folder: Path) -> dict[str, tuple[Mutation, int]]:
    """Those that the files of a series admit."""
    return {name: found for name, found in MUTATIONS.items() if any(folder.glob(_PART)) or not name.startswith("part")}
