"""The folder on this machine in which a run keeps what it needs to go on after a kill."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mlflow_thermo.disk import disk_error
from mlflow_thermo.errors import ThermoError
from projects.fixed_lr.checkpoint import State, load
from projects.fixed_lr.config import TrainConfig

#: Environment variable with the folder of all runs, where the parameter `work_dir` is not given, and the default.
WORK_VARIABLE, WORK_DEFAULT = "MLFLOW_THERMO_WORK", ".thermo"
_CHECKPOINT, _SERIES, _STACK = "checkpoint.safetensors", "thermo", "stack-"


def work_root(work_dir: str) -> Path:
    """The folder with one folder for each run that is not finished."""
    return Path(work_dir or os.environ.get(WORK_VARIABLE) or WORK_DEFAULT).absolute()


class WorkFolder:
    """The folder of one run: its checkpoint, and the snapshots that the recorder keeps until the end.

    Attributes
    ----------
    checkpoint, series : file and folder in it.
    """

    def __init__(self, work_dir: str, run_id: str) -> None:
        self.folder = work_root(work_dir) / run_id
        self.checkpoint = self.folder / _CHECKPOINT
        self.series = self.folder / _SERIES

    def state(self) -> State | None:
        """What the checkpoint holds; None where there is none."""
        return load(self.checkpoint) if self.checkpoint.exists() else None

    def facts(self) -> State:
        """The numbers and words of the checkpoint."""
        return load(self.checkpoint, facts_alone=True)

    @contextmanager
    def locked(self, patience: float = 0.0) -> Iterator[None]:
        """Keep other programs out; ThermoError where one stays in for more than `patience` seconds."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder.parent / f"{self.folder.name}.lock")
            lock.acquire(timeout=patience)
        except Timeout:
            raise ThermoError(f"run {self.folder.name} is being trained by another program: wait for it") from None
        except OSError as error:
            raise disk_error(error, f"the work_dir {self.folder.parent} cannot be used") from error
        try:
            yield
        finally:
            lock.release()
            if not self.folder.exists():
                # On a disk that is read-only since it stays; another error may be on its way.
                with suppress(OSError):
                    Path(lock.lock_file).unlink()

    def remove(self) -> None:
        """Remove the folder: all that is in it is on the server."""
        # First, so that what is half removed does not look as if it could go on.
        self.checkpoint.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def work_of(config: TrainConfig, run_id: str) -> WorkFolder | None:
    """The folder of a run; None where its config wants no checkpoints."""
    return WorkFolder(config.work_dir, run_id) if config.checkpoint_every else None


def stack_folder(work_dir: str, run_ids: Sequence[str]) -> WorkFolder:
    """The folder of the checkpoint of runs that are trained side by side."""
    return WorkFolder(work_dir, f"{_STACK}{run_ids[0]}")


def stacks(work_dir: str) -> list[State]:
    """Numbers and words of the checkpoints of stacks on this machine."""
    paths = sorted(work_root(work_dir).glob(f"{_STACK}*/{_CHECKPOINT}"))
    return [load(path, facts_alone=True) for path in paths]


def resumable(work_dir: str) -> list[str]:
    """Ids of the runs whose checkpoint is on this machine."""
    names = (path.parent.name for path in work_root(work_dir).glob(f"*/{_CHECKPOINT}"))
    return sorted(name for name in names if not name.startswith(_STACK))
