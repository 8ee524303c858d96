"""Training processes of a sweep: a crash of one leaves the others alone, and all can be stopped at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from signal import SIGTERM
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlflow_thermo.errors import without_password
from projects import PARENT_VARIABLE

#: How many of a child's last lines are kept to explain its failure.
TAIL = 20


@dataclass(frozen=True)
class Outcome:
    """How one run of the sweep ended."""

    lr: float
    seed: int
    run_id: str
    ok: bool
    regime: str
    message: str
    seconds: float


#: Receives what a process says of its progress: `fraction` of its steps, seconds `spent`, seconds `left` or None.
Progress = Callable[[dict[str, Any]], None]


class Workers:
    """Starts training processes, and can stop all of them at once."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def train_one(
        self, lr: float, seed: int, options: dict[str, Any], progress: Progress, resume: str = ""
    ) -> list[Outcome]:
        """Train one run in a process of its own, or go on with the run `resume`."""
        begin = time.monotonic()
        child = self._start(
            "projects.fixed_lr.train",
            {"lr": lr, "seed": seed, "threads": 1, "summary": "false", "resume": resume, **options},
        )
        if child is None:
            return [Outcome(lr, seed, "", False, "", NOT_STARTED, 0.0)]
        assert child.stdout is not None
        tail: deque[str] = deque(maxlen=TAIL)
        run_id = ""
        for line in child.stdout:
            event = _event(line)
            if event.get("event") == "progress":
                progress(event)
            elif event.get("event") == "opened":
                run_id = event["run_id"]
            else:
                tail.append(line)
        code = self._wait(child)
        lines = [line.rstrip() for line in tail if line.strip()]
        regime = next((line.split()[1].rstrip(":") for line in lines if line.startswith("regime ")), "")
        message = "" if code == 0 else _explain(code, lines)
        if code:
            self._close(run_id)
        return [Outcome(lr, seed, run_id, code == 0, regime, message, time.monotonic() - begin)]

    def train_stack(
        self, lrs: Sequence[float], seed: int, options: dict[str, Any], progress: Progress, resume: str = ""
    ) -> list[Outcome]:
        """Train several learning rates of one seed side by side in one process, or go on with those of `resume`."""
        begin = time.monotonic()
        listed = ",".join(f"{lr:.6g}" for lr in lrs)
        child = self._start(
            "projects.fixed_lr.batched", {"lrs": listed, "seed": seed, "threads": 1, "resume": resume, **options}
        )
        if child is None:
            return [Outcome(lr, seed, "", False, "", NOT_STARTED, 0.0) for lr in lrs]
        assert child.stdout is not None
        opened: dict[float, str] = {}
        ended: dict[float, Outcome] = {}
        tail: deque[str] = deque(maxlen=TAIL)
        for line in child.stdout:
            event = _event(line)
            kind = event.get("event")
            if kind == "opened":
                opened[event["lr"]] = event["run_id"]
            elif kind == "progress":
                progress(event)
            elif kind == "ended":
                lr, ok = event["lr"], event["ok"]
                seconds = time.monotonic() - begin
                ended[lr] = Outcome(lr, seed, event["run_id"], ok, event["regime"], event["message"], seconds)
            elif kind is None and line.strip():
                tail.append(line.rstrip())
        code = self._wait(child)
        for lr in lrs:
            if lr not in ended:
                run_id = opened.get(lr, "")
                self._close(run_id)
                ended[lr] = Outcome(lr, seed, run_id, False, "", _explain(code, [*tail]), time.monotonic() - begin)
        return [ended[lr] for lr in lrs]

    def stop(self) -> None:
        """Ask every running training to end; each closes its own run."""
        with self._lock:
            self._stopped = True
            for child in self._running:
                child.send_signal(SIGTERM)

    def _start(self, module: str, options: dict[str, Any]) -> subprocess.Popen[str] | None:
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        with self._lock:
            if self._stopped:
                return None
            child = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={**self._environment, PARENT_VARIABLE: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self._running.add(child)
        return child

    def _wait(self, child: subprocess.Popen[str]) -> int:
        code = child.wait()
        with self._lock:
            self._running.discard(child)
        return code

    def _close(self, run_id: str) -> None:
        """End a run whose process was killed; it would stay RUNNING for ever."""
        if run_id:
            with suppress(MlflowException):
                client = MlflowClient(self._environment["MLFLOW_TRACKING_URI"])
                if client.get_run(run_id).info.status == "RUNNING":
                    client.set_terminated(run_id, "FAILED")


NOT_STARTED = "not started: the sweep was ended"


def _event(line: str) -> dict[str, Any]:
    with suppress(json.JSONDecodeError):
        content = json.loads(line)
        if isinstance(content, dict):
            return content
    return {}


def _explain(code: int, lines: list[str]) -> str:
    """Why a process failed, by its last lines: they go into the sweep's table, which is uploaded."""
    lines = [without_password(line) for line in lines]
    errors = [line for line in lines if line.startswith("error:")]
    if errors:
        return errors[-1].removeprefix("error: ")
    reason = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
    return f"{reason}: {lines[-1]}" if lines else reason
