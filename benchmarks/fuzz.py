"""Thousands of damaged and forged series: refused, or read as they were; never a traceback, a wait or a full memory."""

from __future__ import annotations

import json
import random
import re
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from analysis import from_folder
from benchmarks.isolated import FAILED, Job, rows_of
from benchmarks.mutations import MUTATIONS, mutations_of
from benchmarks.sample import STORAGES, write_sample
from benchmarks.table import Table
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.store import Snapshots, read_index, read_snapshots

CASES = 15_000
BATCH = 250
#: Seconds for one series of a few kilobytes, for the whole of a batch, and address space beyond that of the process.
SECONDS, BATCH_SECONDS, ROOM = 5, 300, 2**30
REFUSED, NO_EFFECT, FORGED = "refused", "no effect", "forged"
ALTERED, TRACEBACK, HANG, VAGUE = "altered", "traceback", "hang", "vague"
#: A refusal names a file, and its field or what of it is wrong.
NAMED = re.compile(
    r"(?=.*(index(-\d+)?\.json|\.safetensors|chunk )).*(field \S|sha256)"
    r"|has no index\.json|its folder is a link|is incomplete"
)


class Hung(BaseException):
    """Not an error that a reader would catch."""


def outcome(folder: Path, expected: tuple[Any, ...], forged: bool) -> tuple[str, str]:
    """What a reader makes of a series that was changed, and what it says."""
    try:
        index = read_index(folder, "spaced")
        found = (index, *_bytes(read_snapshots(folder, index)))
        # What the digests allow must not stop an analysis either.
        from_folder(folder.parent.parent)[0].load()
    except ThermoError as error:
        said = str(error)
        return (REFUSED if NAMED.search(said) and "\n" not in said and said.isprintable() else VAGUE), said
    except Hung:
        return HANG, ""
    except BaseException as error:
        return TRACEBACK, f"{type(error).__name__}: {error}"[:300]
    if found == expected:
        return NO_EFFECT, ""
    return (FORGED if forged else ALTERED), ""


def original(folder: Path) -> tuple[Any, ...]:
    """A series as it is read before it is changed."""
    index = read_index(folder)
    return (index, *_bytes(read_snapshots(folder, index)))


def _bytes(snapshots: Snapshots) -> tuple[bytes, bytes | None]:
    return snapshots.weights.tobytes(), None if snapshots.shared is None else snapshots.shared.tobytes()


def cases(storage: str, first: int, last: int) -> Iterator[list[Any]]:
    """Storage, number, mutation, outcome, words, seconds and MB beyond those of reading the series itself."""

    def hung(number: int, frame: FrameType | None) -> None:
        raise Hung

    signal.signal(signal.SIGALRM, hung)
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "source" / "spaced"
        write_sample(source, storage, parts=True)
        expected = original(source)
        names, weights = zip(*((name, often) for name, (_, often) in mutations_of(source).items()), strict=True)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
        for number in range(first, last):
            rng = random.Random(f"{storage} {number}")
            name = rng.choices(names, weights)[0]
            folder = Path(place) / "study" / "case" / "spaced"
            shutil.copytree(source, folder)
            forged = MUTATIONS[name][0](rng, folder)
            _forget_peak()
            before, start = _memory("VmRSS"), time.perf_counter()
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            result, said = outcome(folder, expected, forged)
            signal.setitimer(signal.ITIMER_REAL, 0)
            yield [storage, number, name, result, said, time.perf_counter() - start, _memory("VmHWM") - before]
            shutil.rmtree(folder.parent.parent)


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> float:
    """A line of this process' status, in MB."""
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 / 1e6 if found else float("nan")


def main(quick: bool) -> None:
    """Write fuzz.md and fuzz.json."""
    total = CASES // 10 if quick else CASES
    table = Table(
        "fuzz",
        "Damaged and forged snapshots",
        f"{total} times one of {len(MUTATIONS)} mutations of a small series, a third of them in each storage form, is "
        f"read in processes that may take {SECONDS} s for each and 1 GiB. Refused: one line that names file, field and "
        "reason. No effect: the series is read as it was. Forged: read with other content whose digests were all made "
        "to fit, which no checksum can tell. Altered, traceback, hang and vague, a refusal that does not say what it "
        "should, must not happen. MB: most memory at any time beyond that before reading. The indexes of full and "
        "sketched series have parts.",
        ("mutation", "cases", REFUSED, NO_EFFECT, FORGED, ALTERED, TRACEBACK, HANG, VAGUE, "slowest (s)", "MB"),
        ("numpy", "pydantic"),
    )
    rows: list[list[Any]] = []
    for storage in STORAGES:
        first, end = 0, total // len(STORAGES)
        while first < end:
            last = min(first + BATCH, end)
            for row in rows_of(Job((storage,), cases, (storage, first, last), BATCH_SECONDS), BATCH_SECONDS):
                if FAILED in row:
                    rows.append([storage, first, "process lost", HANG, str(row), float(BATCH_SECONDS), 0.0])
                    first += 1
                    break
                rows.append(row)
                first = row[1] + 1
            print(storage, first, dict(Counter(row[3] for row in rows)), flush=True)
    for name in sorted({row[2] for row in rows}):
        _add(table, name, [row for row in rows if row[2] == name])
    for storage in STORAGES:
        _add(table, f"all, {storage}", [row for row in rows if row[0] == storage])
    _add(table, "all", rows)
    bad = [row for row in rows if row[3] in (ALTERED, TRACEBACK, HANG, VAGUE)]
    for row in bad[:40]:
        print(json.dumps(row))
    if not quick:
        table.write()


def _add(table: Table, name: str, rows: list[list[Any]]) -> None:
    counts = Counter(row[3] for row in rows)
    told = [counts[kind] for kind in (REFUSED, NO_EFFECT, FORGED, ALTERED, TRACEBACK, HANG, VAGUE)]
    table.add(name, len(rows), *told, max(row[5] for row in rows), max(row[6] for row in rows))
