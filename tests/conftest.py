"""Shared fixtures: a fresh sqlite store, made once and copied."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Set before torch or MLflow load: compute threads that spin on nets this small make everything slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# Of a tracking server: six more programs of a quarter of a gigabyte each, for jobs that no test has.
os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """An sqlite store with its tables; making them takes seconds, copying the file does not."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Reports and downloads of one test must not reach another one, nor the user's cache folder."""
    monkeypatch.setenv("MLFLOW_THERMO_CACHE", str(tmp_path / "thermo-cache"))


@pytest.fixture
def store(tmp_path, empty_database, monkeypatch):
    """A client of a fresh sqlite store that is also MLflow's default for this test."""
    import mlflow
    from mlflow import MlflowClient

    path = tmp_path / "mlflow.db"
    shutil.copyfile(empty_database, path)
    uri = f"sqlite:///{path}"
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_THERMO_SWEEP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    experiment = client.create_experiment("study", artifact_location=str(tmp_path / "artifacts"))
    # set_experiment() leaves it for child processes. As MLflow does not put it back, it would lead the next test to
    # another store: here it is put back to what it was.
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    mlflow.set_experiment(experiment_id=experiment)
    yield client
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)


@dataclass(frozen=True)
class Server:
    """A real `mlflow server` on loopback."""

    uri: str
    client: Any
    artifacts: Path
    log: Path


@pytest.fixture(scope="session")
def server(tmp_path_factory, empty_database):
    """One tracking server for all tests that need one, with our page; it proxies the artifacts, as shared ones do."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("server")
    shutil.copyfile(empty_database, folder / "mlflow.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    log = folder / "server.log"
    command = [
        sys.executable, "-m", "mlflow", "server", "--app-name", "thermo", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, cwd=folder)
        try:
            _wait_for(uri, process, log)
            yield Server(uri, MlflowClient(uri), folder / "artifacts", log)
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)


def _wait_for(uri, process, log):
    for _ in range(240):
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5):
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.5)
    raise RuntimeError(f"mlflow server did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def browser():
    """One headless Chromium for all tests that look at a page."""
    from playwright.sync_api import sync_playwright

    from tests.browser import CHROMIUM

    with sync_playwright() as playwright:
        # As root, as in a container, it starts without its sandbox only.
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes at a folder, which can be filled, made read-only and mended; needs root on Linux."""
    from benchmarks.places import Disk, can_mount

    if not can_mount():
        pytest.skip("only root on Linux can make a disk")
    disk = Disk(tmp_path / "disk", "2m")
    yield disk
    disk.mend()
    disk.remove()
