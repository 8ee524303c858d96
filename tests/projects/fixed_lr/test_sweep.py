"""Sweeps: real child processes against a fresh store that no process has opened yet."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from mlflow_thermo import schema
from mlflow_thermo.store import read_index, read_weights
from projects.common.workers import _explain

ROOT = Path(__file__).parents[3]
STALE = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_THERMO_SWEEP")


@pytest.fixture
def sweep(tmp_path):
    """Starts the sweep program in a process of its own, on a store that does not exist yet."""
    environment = {key: value for key, value in os.environ.items() if key not in STALE}
    environment |= {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'fresh.db'}", "PYTHONPATH": str(ROOT)}

    started = []

    def start(uri=environment["MLFLOW_TRACKING_URI"], **options):
        quick = {"preset": "digits-up", "steps": 60, "log_points": 2, "noise_batches": 2, "width": 1, **options}
        arguments = [f"--{name}={value}" for name, value in quick.items()]
        command = [sys.executable, "-m", "projects.fixed_lr.sweep", *arguments]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**environment, "MLFLOW_TRACKING_URI": uri},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    def ready_client():
        """A client to watch a sweep with: MLflow breaks a store that two processes make at the same moment."""
        client = start.client()
        client.search_experiments()
        return client

    start.client = lambda: MlflowClient(f"sqlite:///{tmp_path / 'fresh.db'}")
    start.ready_client = ready_client
    yield start
    # A test that fails must not leave pipes open: their warning would fail the next one.
    for process in started:
        process.kill()
        process.communicate()


def child_that_trains(parent, lrs):
    """Process id of the sweep's child with these learning rates; None while there is none."""
    # -ww: cut to a line of 80 characters, the command of a long path ends before its options.
    tree = subprocess.run(["ps", "-wweo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in tree.splitlines()[1:]]
    found = [int(pid) for pid, above, args in rows if int(above) == parent and re.search(f"--lrs? {lrs} ", args)]
    return found[0] if found else None


SLOW = pytest.mark.slow


def by_kind(client, kind):
    return client.search_runs(["0"], f"tags.`{schema.TAG_KIND}` = '{kind}'")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["process", "batched"])
def test_one_failed_run_does_not_stop_the_others(sweep, engine):
    process = sweep(lrs="0.001,0.01,1e30", seeds="0", jobs=1 if engine == "batched" else 2, engine=engine)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "error: sweep" in err.splitlines()[-1]
    assert "1 of 3 runs failed" in err
    assert "[3/3]" in err
    assert "s left" in err
    client = sweep.client()
    runs = by_kind(client, schema.KIND_TRAIN)
    assert sorted((float(r.data.params["lr"]), r.info.status) for r in runs) == [
        (0.001, "FINISHED"), (0.01, "FINISHED"), (1e30, "FAILED"),
    ]  # fmt: skip
    parent = by_kind(client, schema.KIND_SWEEP)[0]
    assert parent.info.status == "FAILED"
    sweeps = {r.data.tags[schema.TAG_SWEEP] for r in [*runs, parent]}
    assert len(sweeps) == 1
    table = client.download_artifacts(parent.info.run_id, "sweep.txt")
    for text in (Path(table).read_text(), out):
        assert "FAILED" in text
        assert "lr=1e+30 diverged" in text
        for run in runs:
            assert run.info.run_id in text


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["process", "batched"])
def test_an_ended_sweep_ends_its_runs(sweep, engine):
    client = sweep.ready_client()
    process = sweep(lrs="0.001,0.01,0.1", jobs=2, steps=1_000_000, engine=engine)
    started = 2 if engine == "process" else 3
    for _ in range(240):
        time.sleep(0.5)
        if len(by_kind(client, schema.KIND_TRAIN)) == started:
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "was ended: stopped by signal 15; finished runs are kept" in err
    runs = by_kind(client, schema.KIND_TRAIN)
    assert [r.info.status for r in runs] == ["KILLED"] * started
    assert by_kind(client, schema.KIND_SWEEP)[0].info.status == "KILLED"


@pytest.mark.slow
def test_a_killed_sweep_leaves_no_run_open(sweep):
    """Nobody tells the child, and nobody reads what it says: it must notice, and save what every run has."""
    client = sweep.ready_client()
    process = sweep(lrs="0.001,0.01,0.02", jobs=1, steps=1_000_000, engine="batched", bursts=20)
    child = None
    for _ in range(600):
        time.sleep(0.2)
        assert process.poll() is None, process.communicate()
        child = child or child_that_trains(process.pid, "0.02,0.01,0.001")
        runs = by_kind(client, schema.KIND_TRAIN)
        if len(runs) == 3 and all(r.data.tags.get(schema.TAG_SNAPSHOTS) == schema.SNAPSHOTS_RECORDING for r in runs):
            break
    assert child, "no process trains"
    process.kill()
    for _ in range(300):
        time.sleep(0.2)
        runs = by_kind(client, schema.KIND_TRAIN)
        if all(run.info.status != "RUNNING" for run in runs):
            break
    assert [run.info.status for run in runs] == ["KILLED"] * 3
    assert [run.data.tags[schema.TAG_SNAPSHOTS] for run in runs] == [schema.SNAPSHOTS_PARTIAL] * 3


@SLOW
def test_two_sweeps_that_start_together_on_a_fresh_store(sweep):
    both = [sweep(lrs="0.001,0.01", jobs=1, engine="batched", experiment="both") for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
    client = sweep.client()
    where = client.get_experiment_by_name("both").experiment_id
    runs = client.search_runs([where], f"tags.`{schema.TAG_KIND}` = 'train'")
    assert [run.info.status for run in runs] == ["FINISHED"] * 4


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["full", "isometric", "sketch"])
def test_a_member_that_diverges_late_costs_no_other(sweep, storage):
    """Its last snapshots are not finite, in whatever form they are kept."""
    process = sweep(
        lrs="0.001,0.01,1", jobs=1, engine="batched", storage=storage, protocol="fixed_lr", weight_decay=20,
        snapshots=20, bursts=2, burst_size=20,
    )  # fmt: skip
    process.communicate(timeout=600)
    runs = by_kind(sweep.client(), schema.KIND_TRAIN)
    assert sorted((float(r.data.params["lr"]), r.info.status) for r in runs) == [
        (0.001, "FINISHED"), (0.01, "FINISHED"), (1.0, "FAILED"),
    ]  # fmt: skip
    diverged = next(run for run in runs if run.info.status == "FAILED")
    assert diverged.data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_PARTIAL
    folder = sweep.client().download_artifacts(diverged.info.run_id, f"{schema.ARTIFACT_ROOT}/bursts")
    finite = np.isfinite(read_weights(folder)).all(axis=1)
    assert finite[:10].all()
    assert not finite[-1]


@SLOW
@pytest.mark.parametrize("engine", ["process", "batched"])
def test_a_killed_process_fails_its_runs_and_not_the_others(sweep, engine):
    """Out of memory, say: nobody is left to close the runs of that stack, so the sweep does."""
    client = sweep.ready_client()
    process = sweep(lrs="0.001,0.01,0.02", jobs=2, steps=4000, engine=engine)
    # With its params there, a run is about to train; the others' runs may come later.
    opened, victim = False, None
    for _ in range(600):
        time.sleep(0.2)
        victim = victim or child_that_trains(process.pid, "0.01")
        opened = any(run.data.params.get("lr") == "0.01" for run in by_kind(client, schema.KIND_TRAIN))
        if victim and opened:
            break
    assert victim, "no process trains lr=0.01"
    os.kill(victim, signal.SIGKILL)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "1 of 3 runs failed" in err
    runs = by_kind(client, schema.KIND_TRAIN)
    assert sorted((float(r.data.params["lr"]), r.info.status) for r in runs) == [
        (0.001, "FINISHED"), (0.01, "FAILED"), (0.02, "FINISHED"),
    ]  # fmt: skip
    text = Path(client.download_artifacts(by_kind(client, schema.KIND_SWEEP)[0].info.run_id, "sweep.txt")).read_text()
    assert "killed by signal 9" in text


@pytest.mark.slow
def test_batched_runs_are_complete_and_readable(sweep):
    process = sweep(lrs="0.001,0.01", jobs=1, seeds="0,1", engine="batched")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    client = sweep.client()
    runs = by_kind(client, schema.KIND_TRAIN)
    assert len(runs) == 4
    for run in runs:
        assert run.info.status == "FINISHED"
        assert run.data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_COMPLETE
        assert run.data.tags[schema.TAG_REGIME] in schema.REGIMES
        assert run.data.metrics[schema.METRIC_LR] == float(run.data.params["lr"])
        assert run.data.metrics[schema.METRIC_NOISE_BATCHES] == 2
        assert {"sums/wg", "sums/window_steps", schema.METRIC_SNR_STDERR, schema.METRIC_LOSS} <= set(run.data.metrics)
        folder = client.download_artifacts(run.info.run_id, f"{schema.ARTIFACT_ROOT}/spaced")
        index = read_index(folder)
        assert (index.lr, index.seed) == (float(run.data.params["lr"]), int(run.data.params["seed"]))
        assert read_weights(folder).shape == (30, index.d)


@pytest.mark.slow
def test_a_password_in_the_tracking_uri_is_shown_nowhere(sweep, server):
    """Neither on the screen nor in the table that is uploaded, where a run failed."""
    uri = server.uri.replace("://", "://user:secret@")
    process = sweep(uri=uri, lrs="1e30", jobs=1, engine="process", experiment="password")
    shown = "".join(process.communicate(timeout=600))
    assert "0 of 1 runs trained" in shown
    where = server.client.get_experiment_by_name("password").experiment_id
    found = server.client.search_runs([where], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_SWEEP}'")[0]
    table = server.client.download_artifacts(found.info.run_id, "sweep.txt")
    assert "secret" not in shown + Path(table).read_text()


def test_a_program_that_broke_off_puts_no_password_into_the_table():
    last = ["Traceback", "sqlalchemy.exc.ArgumentError: Could not parse URL from 'postgresql://user:secret@host:x/db'"]
    assert _explain(1, last) == "exit status 1: sqlalchemy.exc.ArgumentError: " + (
        "Could not parse URL from 'postgresql://host:x/db'"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lrs": "a"}, "lrs: cannot read 'a'"),
        ({"lrs": "0.1", "seeds": "x"}, "seeds must be whole numbers"),
        ({"lrs": "0.1", "model": "vgg"}, "model 'vgg' is unknown"),
        ({"lrs": "0.1", "jobs": "0"}, "jobs must be a whole number of at least 1, got '0'"),
        ({"preset": "nope"}, "preset 'nope' is unknown"),
        ({"lrs": "0.1", "engine": "gpu"}, "engine 'gpu' is unknown: choose one of auto, batched, process"),
    ],
)
def test_bad_parameters_start_nothing(options, message, monkeypatch, capsys, store):
    from projects.fixed_lr.sweep import main
    from projects.fixed_lr.train import entry

    monkeypatch.setattr("sys.argv", ["sweep", *(f"--{name}={value}" for name, value in options.items())])
    with pytest.raises(SystemExit) as end:
        entry(main)
    assert end.value.code == 1
    assert f"error: {message}" in capsys.readouterr().err
    assert by_kind(store, schema.KIND_SWEEP) == []


def test_an_experiment_that_is_not_there(monkeypatch, capsys, store):
    from projects.fixed_lr.sweep import main
    from projects.fixed_lr.train import entry

    monkeypatch.setattr("sys.argv", ["sweep", "--lrs=0.1"])
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    with pytest.raises(SystemExit):
        entry(main)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: experiment with id '77' does not exist: ")
