"""Folders on disks of their own, in which programs are run and their disks break."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_thermo import schema

#: What is trained; a run has so many points of its loss.
POINTS = 50
OPTIONS: dict[str, Any] = {
    "preset": "digits-up", "width": 1, "steps": 4_000, "log_points": 40, "noise_batches": 2,
    "full_gradients": 0, "checkpoint_every": 0.2, "wait": 5,
}  # fmt: skip
SHORT = {"lrs": "1e-3:1e-1:4", "steps": 400, "log_points": 2}
SWEEP = {"lrs": "0.01,0.02", "jobs": 1}
#: Size of a disk, and seconds after which a program counts as hanging.
DISK, LONGEST = "64m", 180
#: Places that a disk can be, and what can be wrong with it.
STORE, ARTIFACTS, WORK, OUT, CACHE, TEMPORARY = "store", "artifacts", "work", "out", "cache", "tmp"
FULL, READ_ONLY, MISSING, FILE = "full", "read-only", "missing", "a file"
#: When.
START, MIDDLE = "from the start", "in the middle"
TRAIN, PROCESSES, STACK, ANALYZE = "main", "sweep, process", "sweep, batched", "analyze"


@dataclass(frozen=True)
class Case:
    """One program with one fault of one disk."""

    program: str
    place: str
    fault: str
    when: str = START


class Disk:
    """A disk of its own at a folder, which can be filled and made read-only; root alone can make one."""

    def __init__(self, folder: Path, size: str = DISK) -> None:
        self.folder, self._locked = folder, False
        folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)

    def fill(self) -> None:
        """Leave no byte."""
        with (self.folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(4096))

    def lock(self) -> None:
        """Let nobody write any more; a file that a program has open takes what it writes to the end."""
        # A mount with a file that is being written cannot be made read-only. One that is above it can, before anybody
        # opens a file there.
        with tempfile.TemporaryDirectory() as aside:
            subprocess.run(["mount", "--bind", str(self.folder), aside], check=True)
            subprocess.run(["mount", "-o", "remount,ro,bind", aside], check=True)
            subprocess.run(["mount", "--bind", aside, str(self.folder)], check=True)
            subprocess.run(["umount", aside], check=True)
        self._locked = True

    def mend(self) -> None:
        """As it was."""
        if self._locked:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)
            self._locked = False
        (self.folder / "filler").unlink(missing_ok=True)

    def remove(self) -> None:
        """Take the disk away with all that is on it."""
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


def can_mount() -> bool:
    """Whether this machine lets us make disks."""
    if sys.platform != "linux" or os.getuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False)
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
    return done.returncode == 0


#: Folder of the project.
ROOT = Path(__file__).parent.parent


class Stores:
    """Stores that cases begin with: an empty one, and one with runs to be analysed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.empty, self.trained = folder, folder / "empty.db", folder / "trained.db"
        MlflowClient(f"sqlite:///{self.empty}").create_experiment("disk", artifact_location=str(folder / "artifacts"))
        shutil.copy(self.empty, self.trained)
        environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{self.trained}", "PYTHONPATH": str(ROOT)}
        options = {**OPTIONS, **SHORT, "experiment": "disk", "jobs": 1, "checkpoint_every": 0}
        command = [sys.executable, "-m", "projects.fixed_lr.sweep", *_flags(options)]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)

    def put(self, place: Place) -> None:
        """What the program of a case finds; a new user has no store."""
        case, target = place.case, place.folders[STORE] / "mlflow.db"
        if case.program != ANALYZE and case.place == STORE and case.when == START:
            return
        shutil.copy(self.trained if case.program == ANALYZE else self.empty, target)
        artifacts = str(place.folders[ARTIFACTS])
        if case.program == ANALYZE:
            shutil.copytree(self.folder / "artifacts", artifacts, dirs_exist_ok=True)
        with closing(sqlite3.connect(target)) as database, database:
            for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
                change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
                database.execute(change, (str(self.folder / "artifacts"), artifacts))


class Place:
    """Folders of one case: one of them is a disk of its own."""

    def __init__(self, root: Path, case: Case) -> None:
        self.root, self.case = root, case
        self.folders = {name: root / name for name in (STORE, ARTIFACTS, WORK, OUT, CACHE, TEMPORARY)}
        self.disk = Disk(self.folders[case.place])
        for folder in self.folders.values():
            folder.mkdir(exist_ok=True)
        self.uri = f"sqlite:///{self.folders[STORE] / 'mlflow.db'}"

    @property
    def environment(self) -> dict[str, str]:
        """Of the program."""
        left_out = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
        return {
            **{name: value for name, value in os.environ.items() if name not in left_out},
            "MLFLOW_TRACKING_URI": self.uri,
            # The programs start in a folder of their own.
            "PYTHONPATH": str(ROOT),
            "MLFLOW_THERMO_CACHE": str(self.folders[CACHE]),
            "TMPDIR": str(self.folders[TEMPORARY]),
        }

    def break_it(self) -> None:
        """Let the fault happen."""
        {FULL: self.disk.fill, READ_ONLY: self.disk.lock, MISSING: self._lose, FILE: self._file}[self.case.fault]()

    def _lose(self) -> None:
        self.disk.remove()
        shutil.rmtree(self.disk.folder)

    def _file(self) -> None:
        self._lose()
        self.disk.folder.touch()

    def mend(self) -> None:
        """Let the disk be as it was, with what is on it."""
        if self.case.fault in (FULL, READ_ONLY):
            self.disk.mend()
        elif self.case.fault == FILE:
            self.disk.folder.unlink()

    def close(self) -> None:
        """Remove everything."""
        if self.case.fault in (FULL, READ_ONLY):
            self.disk.mend()
            self.disk.remove()
        shutil.rmtree(self.root, ignore_errors=True)

    def command(self) -> list[str]:
        """Of the program."""
        python, program = [sys.executable, "-m"], self.case.program
        if program == ANALYZE:
            out = ["--out", str(self.folders[OUT] / "report"), "--jobs", "1", "--entropy", "oas"]
            return [*python, "analysis.cli", "analyze", "--experiment", "disk", *out]
        options = {**OPTIONS, "experiment": "disk", "work_dir": self.folders[WORK]}
        if program == TRAIN:
            return [*python, "projects.fixed_lr.train", *_flags(options, lr=0.02, summary=self.case.place == TEMPORARY)]
        engine = program.rsplit(" ", 1)[1]
        return [*python, "projects.fixed_lr.sweep", *_flags(options, **SWEEP, engine=engine)]

    def how_to_resume(self, runs: Sequence[Run]) -> list[str]:
        """The command that goes on with what was cut off; nothing where all is finished."""
        python = [sys.executable, "-m"]
        for run in runs:
            tags, run_id = run.data.tags, run.info.run_id
            if run.info.status == "FINISHED" or (self.case.when == START and self.case.place == WORK):
                continue
            more: dict[str, Any] = {"work_dir": self.folders[WORK]}
            if self.case.program == TRAIN and (self.folders[WORK] / run_id / "checkpoint.safetensors").exists():
                return [*python, "projects.fixed_lr.train", *_flags(more, resume=run_id, summary="false")]
            if tags.get(schema.TAG_KIND) == schema.KIND_SWEEP:
                return [*python, "projects.fixed_lr.sweep", *_flags(more, resume=tags[schema.TAG_SWEEP], jobs=1)]
        return []

    def start(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run another program in the same place, to its end."""
        quiet = {"capture_output": True, "text": True, "check": False}
        return subprocess.run(command, cwd=self.root, env=self.environment, timeout=4 * LONGEST, **quiet)


def _flags(options: dict[str, Any], **more: Any) -> list[str]:
    return [f"--{name}={value}" for name, value in {**options, **more}.items()]
