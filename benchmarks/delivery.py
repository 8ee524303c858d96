"""What a tracking server in trouble costs a training, and whether everything arrives."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import mlflow
import torch
from mlflow import MlflowClient

from benchmarks.proxy import Proxy
from benchmarks.table import Table
from mlflow_thermo import Schedule, SnapshotRecorder
from mlflow_thermo.store import read_index, read_snapshots
from mlflow_thermo.uploader import Undelivered
from projects.fixed_lr import make_update, prepare, resolve

#: Seconds that each fault lasts, between two spells without it that are as long.
FAULTS = {"none": 15.0, "slow": 15.0, "full": 15.0, "killed": 60.0, "frozen": 60.0, "frozen for good": 15.0}
#: Seconds between two log points, and metrics in each.
LOG_EVERY, METRICS = 0.5, 15
#: Steps between two snapshots.
EVERY = 20


class TrackingServer:
    """A real `mlflow server` on a port of its own, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port), "--workers",
            "1", "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}", "--artifacts-destination",
            str(self.folder / "artifacts"),
        ]  # fmt: skip
        with (self.folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=self.folder
            )
        for _ in range(240):
            with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return
            time.sleep(0.25)
        raise RuntimeError("mlflow server did not start")

    def signal(self, number: int) -> None:
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait()


def spell(take_step: Callable[[], None], log: Callable[[], None], seconds: float) -> float:
    """Train for so many seconds; returns steps a second."""
    begin = now = time.perf_counter()
    logged, steps = begin, 0
    while now - begin < seconds:
        take_step()
        steps += 1
        now = time.perf_counter()
        if now - logged > LOG_EVERY:
            logged = now
            log()
    return steps / (now - begin)


def trial(server: TrackingServer, proxy: Proxy, fault: str, seconds: float) -> tuple[object, ...]:
    """A training through a spell without, one with and one without the fault; the cells of its row."""
    mlflow.set_tracking_uri(proxy.uri)
    client = MlflowClient(server.uri)
    run_id = client.create_run(client.create_experiment(fault)).info.run_id
    setup = prepare(resolve({"preset": "digits-up", "lr": 0.01}), torch.device("cpu"))
    update = make_update(setup.config.protocol, 0.01, 0.0)
    batches = setup.training_batches(setup.generator)
    mean = torch.full((setup.config.batch_size,), 1 / setup.config.batch_size)
    series = [Schedule("spaced", tuple(range(EVERY, 10**6, EVERY)))]
    recorder = SnapshotRecorder(setup.model, series=series, run_id=run_id, lr=0.01, wait=30.0)
    outbox = recorder.outbox
    assert outbox is not None
    points = 0

    def step() -> None:
        x, y = next(batches)
        gradient, metrics = setup.weighted_gradient(x, y, mean)
        recorder.step(metrics[0])
        update(setup.weights, gradient)
        if recorder.steps_taken % 1000 == 0:
            recorder.flush()

    def log() -> None:
        nonlocal points
        points += 1
        outbox.metrics({f"m{i}": points + i / 100 for i in range(METRICS)}, recorder.steps_taken)

    def begin() -> None:
        if fault == "killed":
            server.kill()
        elif fault in ("frozen", "frozen for good"):
            server.signal(signal.SIGSTOP)
        elif fault != "none":
            proxy.state = fault

    def end() -> None:
        if fault == "killed":
            server.start()
        elif fault == "frozen":
            server.signal(signal.SIGCONT)
        elif fault != "frozen for good":
            proxy.state = "pass"

    spell(step, log, seconds / 6)
    before = spell(step, log, seconds)
    begin()
    during = spell(step, log, seconds)
    # The server may take seconds to start: that is not a part of the training.
    end()
    after = spell(step, log, seconds)
    recorder.end_here()
    closing, said = time.perf_counter(), "all"
    try:
        recorder.close()
    except Undelivered:
        said = "the rest by deliver"
    waited = time.perf_counter() - closing
    if said != "all":
        outbox.close()
        server.signal(signal.SIGCONT)
        command = [
            sys.executable,
            "-m",
            "analysis.cli",
            "deliver",
            str(recorder.directory),
            "--tracking-uri",
            server.uri,
        ]
        subprocess.run(command, check=True, capture_output=True)
    history = client.get_metric_history(run_id, "m0")
    (folder,) = (server.folder / "artifacts").glob(f"*/{run_id}/artifacts/thermo/spaced")
    index = read_index(folder)
    read_snapshots(folder, index)
    expected = list(range(EVERY, recorder.steps_taken + 1, EVERY))
    return (
        fault, seconds, round(before), round(during), during / ((before + after) / 2), points,
        len({m.step for m in history}), len(history), len(expected), len({*index.steps} & {*expected}), waited, said,
    )  # fmt: skip


def main(quick: bool) -> None:
    """Write delivery.md and delivery.json."""
    torch.set_num_threads(1)
    table = Table(
        "delivery",
        "A tracking server in trouble",
        f"A training of the ConvNet on digits that logs {METRICS} metrics every {LOG_EVERY:g} s and keeps every "
        f"{EVERY}th iterate, so many seconds with a sound server, with the fault, and with a sound one again: "
        "steps a second, those with the fault over the mean of those without; log points and snapshots that were "
        "taken, and that stand on the server in the end; seconds that the end of the recording waited, which gives up "
        "where nothing is taken for 30. "
        "`killed` and `frozen` are signals to the server, `slow` answers after 2 s, `full` is the answer 507.",
        (
            "fault", "s", "steps/s before", "during", "ratio", "log points", "on the server", "entries there",
            "snapshots", "there", "s waited", "delivered",
        ),
        ("mlflow", "torch"),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        server = TrackingServer(Path(temporary))
        proxy = Proxy(server.uri)
        try:
            for fault, seconds in FAULTS.items():
                table.add(*trial(server, proxy, fault, seconds / 10 if quick else seconds))
        finally:
            server.kill()
    if not quick:
        table.write()


if __name__ == "__main__":
    main(quick=False)
