"""A long recording: whether memory and speed stay as they are at its beginning."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import mlflow
import numpy as np
import torch
from mlflow import MlflowClient

from benchmarks.table import Table
from mlflow_thermo import Schedule, SnapshotRecorder

STEPS, LOG_EVERY, CHUNK_EVERY, SNAPSHOT_EVERY, METRICS = 1_000_000, 100, 1000, 50, 15
#: Weights of the model, and parts of the recording that are compared.
WEIGHTS, PARTS = 100, 10


def resident() -> float:
    """Memory of this process in MiB, as it is now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main(quick: bool) -> None:
    """Write soak.md and soak.json."""
    torch.set_num_threads(1)
    steps = STEPS // 10 if quick else STEPS
    table = Table(
        "soak",
        "A long recording",
        f"{steps} steps of a model of {WEIGHTS} weights that are drawn anew at each; {METRICS} metrics every "
        f"{LOG_EVERY} of them, a snapshot every {SNAPSHOT_EVERY}, a chunk every {CHUNK_EVERY}, into an sqlite store. "
        "Memory of the process at the end of each tenth; steps a second in it.",
        ("steps", "MiB", "steps/s"),
        ("mlflow", "torch"),
    )
    with tempfile.TemporaryDirectory() as temporary:
        mlflow.set_tracking_uri(f"sqlite:///{temporary}/mlflow.db")
        client = MlflowClient()
        run_id = client.create_run(
            client.create_experiment("soak", artifact_location=f"{temporary}/artifacts")
        ).info.run_id
        weights = torch.nn.Parameter(torch.zeros(WEIGHTS))
        series = [Schedule("spaced", tuple(range(SNAPSHOT_EVERY, steps + 1, SNAPSHOT_EVERY)))]
        memory, speed = [], []
        with SnapshotRecorder([("w", weights)], series=series, run_id=run_id, lr=0.1) as recorder:
            outbox = recorder.outbox
            assert outbox is not None
            begin = time.perf_counter()
            for step in range(1, steps + 1):
                with torch.no_grad():
                    weights.normal_()
                recorder.step(0.5)
                if step % LOG_EVERY == 0:
                    outbox.metrics({f"m{i}": step / (i + 1) for i in range(METRICS)}, step)
                if step % CHUNK_EVERY == 0:
                    recorder.flush()
                if step % (steps // PARTS) == 0:
                    now = time.perf_counter()
                    memory.append(resident())
                    speed.append(steps / PARTS / (now - begin))
                    table.add(step, memory[-1], speed[-1])
                    begin = now
        points = len(client.get_metric_history(run_id, "m0"))
    # The first tenth pays for what is loaded once.
    growth, slower = memory[-1] / memory[1] - 1, 1 - np.mean(speed[-3:]) / np.mean(speed[1:4])
    table.notes.append(
        f"- From the second tenth to the last: memory {growth:+.1%}, and the last three tenths are {slower:.1%} slower "
        f"than the second to fourth; {points} log points of {steps // LOG_EVERY} are on the server."
    )
    if not quick:
        table.write()


if __name__ == "__main__":
    main(quick=False)
