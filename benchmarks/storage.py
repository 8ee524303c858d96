"""Bytes, time and memory of the forms in which a series is kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.table import Table

N = 1000
#: ConvNet(8) and ConvNet(64) of the paper on CIFAR-10.
SIZES = (24_408, 1_550_016)

#: In a process of its own: the peak of a process's memory never falls.
RECORD = """
import json, resource, sys, time
import numpy as np, torch
from mlflow_thermo import Schedule, SnapshotRecorder
n, d, mode, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
torch.set_num_threads(1)
torch.manual_seed(0)
weights = torch.nn.Parameter(torch.randn(d) / d**0.5)
noise = torch.randn(2 * d) * 1e-3 / d**0.5
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
recorder = SnapshotRecorder([("w", weights)], series=(Schedule("every", tuple(range(1, n + 1))),), directory=folder,
                            storage=mode, protocol="sphere")
before = peak()
start = time.perf_counter()
for i in range(n):
    recorder.step(0.5)
    with torch.no_grad():
        # A window of the same noise at another place: as good as new, without the time that new noise takes.
        at = int(torch.randint(d, ()))
        weights += noise[at:at + d]
        weights /= weights.norm()
middle = time.perf_counter()
recorder.close()
print(json.dumps({"record": middle - start, "close": time.perf_counter() - middle, "peak": peak() - before}))
"""
#: Entropies for the paper's numbers of neighbours, of a sample that was read back.
ENTROPY = """
import json, sys
from analysis.entropy import knn_graph_entropies
from mlflow_thermo.store import read_index, read_snapshots
index = read_index(sys.argv[1])
print(json.dumps(list(knn_graph_entropies(read_snapshots(sys.argv[1], index).weights, dim=index.d - 1))))
"""


def run(code: str, *arguments: object) -> object:
    """What the code prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(quick: bool) -> None:
    """Write storage.md and storage.json."""
    table = Table(
        "storage",
        "Forms of a series of snapshots",
        f"{N} iterates of a walk on the sphere, recorded one a step. `MB`: everything in the series' folder. `peak`: "
        "of the process beyond the model and the libraries, over recording and closing. `error`: largest deviation of "
        "the ten kNN entropies from those of the whole snapshots, in nats per dimension. Times are in seconds: of the "
        "recorder and the walk together, and of the close.",
        ("d", "storage", "MB", "peak MB", "record", "close", "error"),
        ("numpy", "torch", "safetensors"),
    )
    for d in SIZES[:1] if quick else SIZES:
        exact: list[float] = []
        for mode in ("full", "isometric", "sketch"):
            folder = Path(tempfile.mkdtemp())
            try:
                measured = run(RECORD, N, d, mode, folder)
                size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
                found = run(ENTROPY, folder / "every")
                assert isinstance(measured, dict)
                assert isinstance(found, list)
                exact = exact or found
                error = max(abs(a - b) / d for a, b in zip(found, exact, strict=True))
                table.add(d, mode, size, measured["peak"], measured["record"], measured["close"], error)
            finally:
                shutil.rmtree(folder)
    if not quick:
        table.write()
