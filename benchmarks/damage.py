"""What chance, a bad disk or bad intent does to the bytes of one file."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

# Chance: single bits and bytes.


def bit_flip(rng: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def bytes_deleted(rng: random.Random, path: Path) -> None:
    content, count = path.read_bytes(), rng.choice((1, 1, 2, 8, 100))
    start = rng.randrange(len(content))
    path.write_bytes(content[:start] + content[start + count :])


def bytes_inserted(rng: random.Random, path: Path) -> None:
    content = path.read_bytes()
    start, source = rng.randrange(len(content)), rng.randrange(len(content))
    fresh = rng.choice((rng.randbytes(3), content[source : source + 20], b"9" * 50, b"-", b"0", b"\n", b"e5"))
    path.write_bytes(content[:start] + fresh + content[start:])


def truncated(rng: random.Random, path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


# The text of the index.


def key_twice(rng: random.Random, path: Path) -> None:
    lines = path.read_text().split("\n")
    line = rng.choice(lines[1:-2]).rstrip(",")
    path.write_text("\n".join(["{", rng.choice((line, line.replace("1", "2"))) + ",", *lines[1:]]))


def literal(rng: random.Random, path: Path) -> None:
    """A value that JSON has no word for, a number of thousands of digits, brackets without end."""
    fresh = rng.choice(
        (
            "NaN", "Infinity", "-Infinity", "1e999", "1" * 6000, "0." + "3" * 10**5, "[" * 10**5, '{"a":' * 10**5,
            '"\\ud800"', '"\\udc00x"', '"\\u0000"', "01", "0x10", "'a'", "undefined", "/* */1", "1_000", "[1,]",
        )
    )  # fmt: skip
    text = path.read_text()
    keys = ("loss", "steps", "lr", "d", "attributes", "series", "chunks")
    key = rng.choice([key for key in keys if f'"{key}":' in text])
    head, _, tail = text.partition(f'"{key}":')
    path.write_text(f'{head}"{key}":{fresh},"again":{tail}' if rng.random() < 0.5 else f'{head}"{key}":{fresh}{tail}')


def invalid_text(rng: random.Random, path: Path) -> None:
    content = path.read_bytes()
    start = rng.randrange(len(content))
    fresh = rng.choice((b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\x00", b"\xef\xbb\xbf", b"\x1b"))
    path.write_bytes(
        rng.choice((content[:start] + fresh + content[start:], fresh + content, content.decode().encode("utf-16")))
    )


def bomb(rng: random.Random, path: Path) -> None:
    """Few bytes that become many objects, or very many bytes."""
    kind = rng.randrange(5)
    if kind == 0:
        with path.open("r+b") as handle:
            handle.truncate(rng.choice((2**28, 2**33, 2**37)))
    elif kind == 1:
        part = rng.choice((b"[],", b"{},", b'"ab",', b"1.5,"))
        path.write_bytes(b'{"schema_version":5,"steps":[' + part * rng.choice((1_500_000, 6_000_000)) + b"0]}")
    elif kind == 2:
        words = b",".join([b'"' + "ä😀".encode() * rng.choice((10, 40)) + b'"'] * 250_000)
        path.write_bytes(b'{"schema_version":5,"attributes":{"a":[' + words + b"]}}")
    elif kind == 3:
        path.write_bytes(b"{" + b",".join(b'"%d":0' % i for i in range(300_000)) + b"}")
    else:
        path.write_bytes(b'{"schema_version":5,"layout":' + b"[" * 5_000_000)


# Chunks.


def header_changed(rng: random.Random, path: Path) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    kind = rng.randrange(4)
    if kind == 0:
        fresh = rng.choice((0, 1, length - 1, length + 1, 2**16, 2**31, 2**63, 2**64 - 1))
        path.write_bytes(fresh.to_bytes(8, "little") + content[8:])
        return
    if kind == 1:
        path.write_bytes(content[:8] + rng.randbytes(length) + data)
        return
    if kind == 2:
        entry = rng.choice([*header.values()])
        entry[rng.choice([*entry])] = rng.choice(("", None, -1, [], {}, "F32", [None], 10**30, True))
    else:
        entry = rng.choice([*header.values()])
        field = rng.choice(("dtype", "shape", "data_offsets"))
        entry[field] = rng.choice(
            ("F64", "F16", "I32", "BF16", [len(data) // 4], [2, 2], [-1, -1], [0, 2**62], [8, len(data)], [2**62] * 4)
        )
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def header_long(rng: random.Random, path: Path) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    text = content[8 : 8 + length] + b" " * rng.choice((8, 4096, 2**17, 2**22))
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


# What is no file.


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_out(path: Path) -> None:
    """The same file, elsewhere."""
    target = path.parent.parent / f"moved-{path.name}"
    shutil.move(path, target)
    path.symlink_to(target)


def link_to_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def missing(path: Path) -> None:
    path.unlink()


def grown(path: Path) -> None:
    with path.open("r+b") as handle:
        handle.truncate(2**36)
