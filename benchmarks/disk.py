"""What programs do where a disk is full, read-only or gone: what they say, and what is left."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from benchmarks.places import (
    ANALYZE,
    ARTIFACTS,
    CACHE,
    FILE,
    FULL,
    LONGEST,
    MIDDLE,
    MISSING,
    OUT,
    POINTS,
    PROCESSES,
    READ_ONLY,
    STACK,
    START,
    STORE,
    TEMPORARY,
    TRAIN,
    WORK,
    Case,
    Place,
    Stores,
    can_mount,
)  # fmt: skip
from benchmarks.table import Table
from mlflow_thermo import schema
from mlflow_thermo.delivery import ENTRIES, JOURNAL
from mlflow_thermo.errors import ThermoError

#: Points of the loss that a run has when a fault comes in the middle.
BEFORE = 8


@dataclass
class Found:
    """What a program did, and what there is when the disk is mended."""

    code: int | None
    seconds: float
    silence: float
    lines: list[str]
    kept: str = ""

    @property
    def says(self) -> str:
        """The line that says what is wrong, or that there is a traceback."""
        if any("Traceback" in line for line in self.lines):
            return "a traceback"
        errors = [line for line in self.lines if line.startswith("error: ")]
        return (errors or self.lines or [""])[-1]


def tried(place: Place) -> Found:
    """Start the program, break its disk, and see what it does."""
    case = place.case
    if case.when == START:
        place.break_it()
    begin = last = time.monotonic()
    silence, lines = 0.0, list[str]()
    log = place.root / "said"
    with log.open("wb") as out:
        process = subprocess.Popen(
            place.command(), cwd=place.root, env=place.environment, stdout=out, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    broken, size = case.when == START, 0
    while process.poll() is None and time.monotonic() - begin < LONGEST:
        time.sleep(0.05)
        if not broken and _is_under_way(place):
            place.break_it()
            broken, last = True, time.monotonic()
        if (now := log.stat().st_size) != size:
            size, last = now, time.monotonic()
        silence = max(silence, time.monotonic() - last) if broken else 0.0
    code = process.poll()
    if code is None:
        os.killpg(process.pid, 9)
        process.wait()
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return Found(code, time.monotonic() - begin, silence, lines)


def _is_under_way(place: Place) -> bool:
    if place.case.program == ANALYZE:
        return any(place.folders[CACHE].iterdir()) or any(place.folders[OUT].iterdir())
    journals = [path.read_text() for path in place.folders[WORK].glob(f"*/thermo/{JOURNAL}/{ENTRIES}")]
    return any(text.count(schema.METRIC_TRAIN_LOSS) >= BEFORE for text in journals)


def kept(place: Place) -> str:
    """Mend the disk, do what the program said is to be done, and say what there is then."""
    place.mend()
    said = []
    if place.case.program == ANALYZE:
        whole = (place.folders[OUT] / "report" / "result.json").exists()
        said.append("the report is there" if whole else "no report")
        done = place.start(place.command())
        return f"{said[0]}; again: {'done' if done.returncode == 0 else 'failed'}"
    if any(place.folders[WORK].rglob(ENTRIES)):
        done = place.start([sys.executable, "-m", "analysis.cli", "deliver", str(place.folders[WORK])])
        said.append("delivered" if done.returncode == 0 else "not delivered")
    client = MlflowClient(place.uri)
    known = client.get_experiment_by_name("disk")
    runs = [] if known is None else list(client.search_runs([known.experiment_id]))
    first = place.how_to_resume(runs)
    if first:
        done = place.start(first)
        said.append("resumed" if done.returncode == 0 else "could not be resumed")
    for run in [] if known is None else client.search_runs([known.experiment_id]):
        if run.data.tags.get(schema.TAG_KIND) != schema.KIND_SWEEP:
            history = client.get_metric_history(run.info.run_id, schema.METRIC_TRAIN_LOSS)
            snapshots = run.data.tags.get(schema.TAG_SNAPSHOTS, "no")
            steps = len({point.step for point in history})
            said.append(f"{run.info.status}, {steps} points, {snapshots} snapshots")
    return "; ".join(said) or "no run was begun"


CASES = [
    *(Case(TRAIN, STORE, fault, when) for fault in (READ_ONLY, FULL) for when in (START, MIDDLE)),
    Case(TRAIN, STORE, MISSING),
    Case(TRAIN, STORE, FILE),
    *(Case(TRAIN, ARTIFACTS, fault, when) for fault in (READ_ONLY, FULL) for when in (START, MIDDLE)),
    Case(TRAIN, ARTIFACTS, FILE),
    *(Case(TRAIN, WORK, fault, when) for fault in (READ_ONLY, FULL) for when in (START, MIDDLE)),
    Case(TRAIN, WORK, FILE),
    *(Case(TRAIN, TEMPORARY, fault) for fault in (FULL, MISSING)),
    *(
        Case(program, STORE, fault, when)
        for program in (PROCESSES, STACK)
        for fault, when in ((READ_ONLY, START), (FULL, MIDDLE))
    ),
    *(Case(program, ARTIFACTS, READ_ONLY, START) for program in (PROCESSES, STACK)),
    *(Case(program, WORK, FULL, when) for program in (PROCESSES, STACK) for when in (START, MIDDLE)),
    *(Case(program, WORK, READ_ONLY, MIDDLE) for program in (PROCESSES, STACK)),
    *(Case(ANALYZE, place, fault) for place in (OUT, CACHE) for fault in (READ_ONLY, FULL)),
    *(Case(ANALYZE, TEMPORARY, fault) for fault in (FULL, MISSING)),
    *(Case(ANALYZE, STORE, fault) for fault in (READ_ONLY, FULL)),
    *(Case(ANALYZE, ARTIFACTS, fault) for fault in (READ_ONLY, FULL)),
]


def main(quick: bool) -> None:
    """Write disk.md and disk.json."""
    if not can_mount():
        raise ThermoError("disk makes disks of its own, which root alone can do on Linux: run it as root")
    table = Table(
        "disk",
        "Disks that are full, read-only or gone",
        "Each program is run with one of its folders on a disk of its own, which is full, read-only, missing or has a "
        f"file in its place, from the start or after {BEFORE} points of the loss. What is kept: when the disk is "
        "mended, what waits is delivered with `mlflow-thermo deliver`, and what was cut off goes on with `-P resume`. "
        f"A whole run has {POINTS} points and complete snapshots.",
        ("program", "disk of", "fault", "when", "exit", "seconds", "longest silence", "lines", "last words", "kept"),
        ("torch", "mlflow"),
    )
    with tempfile.TemporaryDirectory() as folder:
        stores = Stores(Path(folder))
        for number, case in enumerate(CASES[::8] if quick else CASES):
            place = Place(Path(folder) / str(number), case)
            try:
                stores.put(place)
                found = tried(place)
                found.kept = kept(place)
            finally:
                place.close()
            says = found.says.replace(str(place.root), "").replace("|", "/")
            row = (found.code, found.seconds, found.silence, len(found.lines), says, found.kept)
            table.add(case.program, case.place, case.fault, case.when, *row)
    if not quick:
        table.write()
