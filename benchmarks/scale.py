"""Time and memory of an analysis over the number of runs, on a real tracking server of this machine."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from benchmarks.table import Table
from mlflow_thermo import schema
from mlflow_thermo.schema import SeriesIndex
from mlflow_thermo.store import SeriesWriter, sha256_of

#: Learning rates of a study; its other runs are further seeds.
LRS = np.geomspace(1e-3, 1e-1, 20)
SNAPSHOTS, D = 200, 20
COMMAND = """
import atexit, resource, sys
atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr))
from analysis.cli import main
main()
"""


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """URI of a tracking server that keeps everything in `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            uri = f"http://127.0.0.1:{port}"
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{uri}/health", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.5)
            yield uri
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)


def fill(uri: str, experiment: str, runs: int) -> None:
    """Runs of an isotropic quadratic at T = lr, each with its two series, as a training leaves them."""
    client = MlflowClient(uri)
    experiment_id = client.create_experiment(experiment)
    rng = np.random.default_rng(0)
    for i in range(runs):
        lr = float(LRS[i % len(LRS)])
        with tempfile.TemporaryDirectory() as name:
            digests = {}
            for series in (schema.SPACED, schema.CONSECUTIVE):
                weights = (rng.normal(size=(SNAPSHOTS, D)) * np.sqrt(lr)).astype(np.float32)
                loss = (weights.astype(float) ** 2).sum(axis=1) / 2
                writer = SeriesWriter.create(Path(name) / series, SeriesIndex(series, D, "float32", "fixed_lr", lr=lr))
                writer.append(range(10, 10 * SNAPSHOTS + 10, 10), weights, loss, loss)
                writer.close(complete=True)
                digests[series] = sha256_of(writer.index_path)
            tags = {schema.TAG_KIND: schema.KIND_TRAIN, schema.TAG_DIGEST: json.dumps(digests)}
            run_id = client.create_run(experiment_id, tags=tags).info.run_id
            client.log_batch(run_id, [Metric(schema.METRIC_LR, lr, 0, 0)], [Param("seed", str(i // len(LRS)))])
            client.log_artifacts(run_id, name, schema.ARTIFACT_ROOT)
            client.set_terminated(run_id)


def analyse(uri: str, experiment: str, folder: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of the command that a user gives."""
    environment = {**os.environ, "MLFLOW_THERMO_CACHE": str(folder / "cache")}
    command = [sys.executable, "-c", COMMAND, "analyze", "--experiment", experiment, "--tracking-uri", uri]
    start = time.perf_counter()
    shown = subprocess.run(
        [*command, "--out", str(folder / "out")], env=environment, check=True, capture_output=True, text=True
    )
    return time.perf_counter() - start, float(shown.stderr.split()[-1]) * 1024 / 1e6


def main(quick: bool) -> None:
    """Write scale.md and scale.json."""
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    sizes = (20, 40) if quick else (10, 100, 1000)
    table = Table(
        "scale",
        "Analysis of many runs",
        f"`mlflow-thermo analyze` of experiments of {SNAPSHOTS} snapshots of {D} weights a run, at {len(LRS)} learning "
        "rates, on a real tracking server of the same machine: from start to finish with downloads, report and the "
        "metrics that it writes back; then once more. The server shares the cores.",
        ("runs", "first, s", "again, s", "first / again", "peak MB"),
        ("numpy", "mlflow"),
    )
    seconds = []
    folder = Path(tempfile.mkdtemp())
    try:
        with server(folder) as uri:
            for runs in sizes:
                fill(uri, str(runs), runs)
                first, memory = analyse(uri, str(runs), folder)
                again = float(np.median([analyse(uri, str(runs), folder)[0] for _ in range(3)]))
                seconds.append(first)
                table.add(runs, first, again, first / again, memory)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    growth = np.log(seconds[-1] / seconds[-2]) / np.log(sizes[-1] / sizes[-2])
    table.notes.append(f"Growth of the first analysis in runs, from {sizes[-2]} to {sizes[-1]}: exponent {growth:.2f}.")
    if not quick:
        table.write()
