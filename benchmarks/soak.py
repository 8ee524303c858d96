"""A long recording: whether memory and speed stay as they are at its beginning."""

from __future__ import annotations

import gc
import resource
import tempfile
import threading
import time
from pathlib import Path

import mlflow
import numpy as np
import torch
from mlflow import MlflowClient
from numpy.typing import NDArray

from benchmarks.table import Table
from mlflow_thermo import Schedule, SnapshotRecorder
from mlflow_thermo.store import SeriesWriter

STEPS, LOG_EVERY, CHUNK_EVERY, SNAPSHOT_EVERY, METRICS = 1_000_000, 100, 1000, 50, 15
#: Weights of the model, and parts of the recording that are compared.
WEIGHTS, PARTS = 100, 10
#: Chunks that the long recording and a new one record in turn, in whole parts of their indexes; those of the new one
#: before.
IN_TURN, BEFORE = 4 * SeriesWriter.chunks_per_part, 100
#: Where the database lies: in memory. On the disk of the recording it would compete with it for that, and the more, the
#: larger it is.
STORE = "/dev/shm"


class Recording:
    """A training without a model, of so many steps."""

    def __init__(self, client: MlflowClient, experiment: str, steps: int) -> None:
        self.weights = torch.nn.Parameter(torch.zeros(WEIGHTS))
        self.step = 0
        self.run_id = client.create_run(experiment).info.run_id
        series = [Schedule("spaced", tuple(range(SNAPSHOT_EVERY, steps + 1, SNAPSHOT_EVERY)))]
        self.recorder = SnapshotRecorder([("w", self.weights)], series=series, run_id=self.run_id, lr=0.1)
        assert self.recorder.outbox is not None
        self.outbox = self.recorder.outbox

    def chunk(self) -> NDArray[np.float64]:
        """The steps of one chunk, until that is on disk; what they cost, as `spent` has it."""
        begin = spent()
        for _ in range(CHUNK_EVERY):
            self.step += 1
            with torch.no_grad():
                self.weights.normal_()
            self.recorder.step(0.5)
            if self.step % LOG_EVERY == 0:
                self.outbox.metrics({f"m{i}": self.step / (i + 1) for i in range(METRICS)}, self.step)
        self.recorder.flush()
        return spent() - begin


def resident() -> float:
    """Memory of this process in MiB, as it is now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def spent() -> NDArray[np.float64]:
    """Seconds so far; processor time and MB written by all threads but the one that empties the outboxes."""
    threads = [thread for thread in threading.enumerate() if thread.name != "thermo-courier"]
    cpu = sum(time.clock_gettime(time.pthread_getcpuclockid(thread.ident or 0)) for thread in threads)
    files = [Path(f"/proc/self/task/{thread.native_id}/io") for thread in threads]
    return np.array([time.perf_counter(), cpu, sum(int(file.read_text().split()[3]) for file in files) / 1e6])


def main(quick: bool) -> None:
    """Write soak.md and soak.json."""
    torch.set_num_threads(1)
    chunks, in_turn = (STEPS // CHUNK_EVERY // (10 if quick else 1)), (IN_TURN // (10 if quick else 1))
    table = Table(
        "soak",
        "A long recording",
        f"{chunks * CHUNK_EVERY} steps of a model of {WEIGHTS} weights that are drawn anew at each; {METRICS} metrics "
        f"every {LOG_EVERY} of them, a snapshot every {SNAPSHOT_EVERY}, a chunk every {CHUNK_EVERY}, into an sqlite "
        "store in memory. Of each tenth: memory of the process at its end, and entries that wait for the store then, "
        "which takes them more slowly than steps without a model make them; steps a second, which the disk and other "
        "programs change; without the thread that empties the outbox, seconds of processor time, and megabytes "
        f"written. After that it and a recording that is {BEFORE} chunks old go on in turn, for {in_turn} chunks each, "
        "under the same load.",
        ("steps", "MiB", "entries", "steps/s", "CPU s", "MB"),
        ("mlflow", "torch"),
    )
    with tempfile.TemporaryDirectory() as temporary, tempfile.TemporaryDirectory(dir=STORE) as store:
        mlflow.set_tracking_uri(f"sqlite:///{store}/mlflow.db")
        client = MlflowClient()
        experiment = client.create_experiment("soak", artifact_location=f"{temporary}/artifacts")
        # A full collection goes over half a million objects of torch and MLflow, three or four times in all: the tenths
        # that have one would look slower.
        gc.collect()
        gc.freeze()
        long = Recording(client, experiment, (chunks + in_turn) * CHUNK_EVERY)
        memory, costs = [], []
        for _ in range(PARTS):
            cost = sum((long.chunk() for _ in range(chunks // PARTS)), np.zeros(3))
            memory.append(resident())
            costs.append(cost)
            speed = chunks // PARTS * CHUNK_EVERY / cost[0]
            table.add(long.step, memory[-1], len(long.outbox.journal), speed, cost[1], cost[2])
        new = Recording(client, experiment, (BEFORE + in_turn) * CHUNK_EVERY)
        for _ in range(BEFORE):
            new.chunk()
        pairs = np.array([(long.chunk(), new.chunk()) for _ in range(in_turn)])
        long.recorder.close()
        new.recorder.close()
        points = len(client.get_metric_history(long.run_id, "m0"))
    # In the first tenth less is sent: metrics wait for others to go with, until a thousand entries wait.
    late, early = np.mean(costs[-3:], axis=0), np.mean(costs[1:4], axis=0)
    table.notes.append(
        f"- From the second tenth to the last: memory {memory[-1] / memory[1] - 1:+.1%}. The last three tenths against "
        "the second to fourth: " + ", ".join(map("{} {:+.1%}".format, _NAMES, late / early - 1)) + "."
    )
    mean = pairs.mean(axis=0)
    error = np.std(pairs[:, 0] - pairs[:, 1], axis=0) / np.sqrt(in_turn) / mean[1]
    table.notes.append(
        "- In turn, the long recording against the new one: "
        + ", ".join(map("{} {:+.1%} ± {:.1%}".format, _NAMES, mean[0] / mean[1] - 1, error))
        + f". {points} log points of {(chunks + in_turn) * CHUNK_EVERY // LOG_EVERY} are on the server."
    )
    if not quick:
        table.write()


_NAMES = ("time", "processor time", "bytes written")


if __name__ == "__main__":
    main(quick=False)
