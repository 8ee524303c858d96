"""The index of a series as files: each is written in one atomic rename, and refused where it is wrong."""

from __future__ import annotations

import hashlib
import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any

from mlflow_thermo.schema import INDEX_NAME, MAX_SNAPSHOTS, SeriesIndex
from mlflow_thermo.store.files import StoreError, opened, parsed_json, printable, shown

#: Largest index with its parts, in bytes: a million snapshots take 50 MB.
MAX_INDEX_BYTES = 64 * 2**20
#: Most of each sign in an index, so that parsing it cannot take much more memory than that of a million snapshots:
#: values in lists, brackets of both kinds, and quotes.
_MOST = {b",": 3 * MAX_SNAPSHOTS + 500_000, b"[": 100_000, b"{": 100_000, b'"': 1_000_000}
_CHECKSUM = "checksum"
_REMEDY = "the upload was interrupted, repeat it"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an index with its checksum, atomically: readers see the old file or the new one, never half of one."""
    # Encoding it once gives the file and its checksum.
    lines = lines_of({key: content[key] for key in content if key != _CHECKSUM})
    checksum = _sha256("{" + ",".join(lines[key] for key in sorted(lines)) + "}")
    write_lines(path, {**lines, **lines_of({_CHECKSUM: checksum})})


def lines_of(content: dict[str, Any]) -> dict[str, str]:
    """The fields of a JSON object in canonical form, by their names."""
    # One field a line: indenting inside the fields would use the encoder written in Python, which holds the GIL and
    # slows the training.
    return {key: f"{_canonical(key)}:{_canonical(value)}" for key, value in content.items()}


def write_lines(path: Path, lines: dict[str, str]) -> bytes:
    """Write such an object in one atomic rename, and return what the file holds."""
    content = ("{\n" + ",\n".join(lines[key] for key in sorted(lines)) + "\n}\n").encode("ascii")
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)
    return content


def read_index(folder: str | Path, series: str | None = None, sha256: str | None = None) -> SeriesIndex:
    """Read the index of a series and check all that it says.

    Parameters
    ----------
    folder : str or Path
        Folder of the series.
    series : str, optional
        Name that the series must have.
    sha256 : str, optional
        Hex digest that the file must have.

    Returns
    -------
    SeriesIndex

    Raises
    ------
    StoreError
        The index or one of its parts is missing, no regular file, too large, not valid JSON, of a later version, or
        says what cannot be; a checksum or a name differs. The message names file, field and reason.
    """
    # Imported here: a training that writes snapshots needs no validation.
    from mlflow_thermo.store.validation import fields_of, part_entries, validated

    path = Path(folder) / INDEX_NAME
    label = _label(path)
    try:
        with opened(path, label) as handle:
            size = os.fstat(handle.fileno()).st_size
            if size > MAX_INDEX_BYTES:
                raise StoreError(
                    f"{label}: field (all): {size} bytes, an index has at most {MAX_INDEX_BYTES}: remove it"
                )
            content = handle.read(size)
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise StoreError(f"{label}: field sha256: it is not the one that the run's tag names: fetch it again")
        raw, of_lines = _parsed(content, label), _of_lines(content)
        # Freed, since a million snapshots take 50 MB in each form.
        del content
        fields = fields_of(raw, label)
        if fields.checksum is not None and of_lines != fields.checksum != _of_fields(raw):
            raise StoreError(f"{label}: field {_CHECKSUM}: the other fields have another one: fetch it again")
        del raw
        size += sum(part.bytes for part in fields.parts)
        if size > MAX_INDEX_BYTES:
            raise StoreError(
                f"{label}: field parts: {size} bytes with the index, at most {MAX_INDEX_BYTES}: fetch it again"
            )
        parts = []
        for number, part in enumerate(fields.parts):
            place = path.with_name(part.file)
            parts.append(part_entries(_part(place, part.bytes, part.sha256), _label(place), fields, number))
        index = validated(fields, parts, label)
    except FileNotFoundError:
        raise StoreError(f"{printable(str(folder))} has no {INDEX_NAME}: it is not a snapshot series") from None
    except MemoryError:
        raise StoreError(f"{label}: field (all): the memory does not hold it: read it on a larger machine") from None
    if series is not None and index.series != series:
        raise StoreError(
            f"{label}: field series: it is that of {shown(index.series)}, not of {series!r}: fetch it again"
        )
    return index


def _label(path: Path) -> str:
    return f"snapshot index {printable(path.parent.name)}/{path.name}"


def _part(path: Path, size: int, sha256: str) -> dict[str, Any]:
    """What the part at `path` says, which has to be the file that its index names."""
    label = _label(path)
    try:
        with opened(path, label) as handle:
            found = os.fstat(handle.fileno()).st_size
            if found != size:
                raise StoreError(f"{label}: field bytes: {found}, and {INDEX_NAME} says {size}: {_REMEDY}")
            content = handle.read(size)
    except FileNotFoundError:
        raise StoreError(f"{label}: field file: it is missing: {_REMEDY}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise StoreError(f"{label}: field sha256: it is not the one that {INDEX_NAME} names: {_REMEDY}")
    return _parsed(content, label)


def _parsed(content: bytes, label: str) -> dict[str, Any]:
    for sign, most in _MOST.items():
        # To count what there is a lot of takes time.
        if len(content) > most and (found := content.count(sign)) > most:
            raise StoreError(
                f"{label}: field (all): {found} of the sign {sign.decode()}, an index has at most {most}: remove it"
            )
    return parsed_json(content, label, _REMEDY)


def _of_lines(content: bytes) -> str:
    """The checksum of an index that is in canonical form but for its line breaks, as ours are: eight times as fast."""
    digest = hashlib.sha256()
    for line in BytesIO(content):
        if not line.startswith(b'"checksum":'):
            digest.update(line.rstrip(b"\n"))
    return digest.hexdigest()


def _of_fields(raw: dict[str, Any]) -> str:
    """The checksum of any index."""
    return _sha256(_canonical({key: value for key, value in raw.items() if key != _CHECKSUM}))


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
