"""Sweeps: real child processes against a fresh store that no process has opened yet."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mlflow_thermo import schema

ROOT = Path(__file__).parents[2]
STALE = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_THERMO_SWEEP")


@pytest.fixture
def sweep(tmp_path):
    """Starts the sweep program in a process of its own, on a store that does not exist yet."""
    environment = {key: value for key, value in os.environ.items() if key not in STALE}
    environment |= {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'fresh.db'}", "PYTHONPATH": str(ROOT)}

    def start(**options):
        quick = {"steps": 60, "log_points": 2, "noise_batches": 2, "width": 1, **options}
        arguments = [f"--{name}={value}" for name, value in quick.items()]
        command = [sys.executable, "-m", "projects.fixed_lr.sweep", *arguments]
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    start.client = lambda: MlflowClient(f"sqlite:///{tmp_path / 'fresh.db'}")
    return start


def by_kind(client, kind):
    return client.search_runs(["0"], f"tags.`{schema.TAG_KIND}` = '{kind}'")


def test_one_failed_run_does_not_stop_the_others(sweep):
    process = sweep(lrs="0.001,0.01,1e30", seeds="0", jobs=2)
    out, err = process.communicate(timeout=300)
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


def test_an_ended_sweep_ends_its_runs(sweep):
    process = sweep(lrs="0.001,0.01,0.1", jobs=2, steps=1_000_000)
    client = sweep.client()
    try:
        for _ in range(240):
            time.sleep(0.5)
            if len(by_kind(client, schema.KIND_TRAIN)) == 2:
                break
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "was ended: stopped by signal 15; finished runs are kept" in err
    runs = by_kind(client, schema.KIND_TRAIN)
    assert [r.info.status for r in runs] == ["KILLED"] * 2
    assert by_kind(client, schema.KIND_SWEEP)[0].info.status == "KILLED"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lrs": "a"}, "lrs: cannot read 'a'"),
        ({"lrs": "0.1", "seeds": "x"}, "seeds must be whole numbers"),
        ({"lrs": "0.1", "model": "vgg"}, "model 'vgg' is unknown"),
        ({"lrs": "0.1", "jobs": "0"}, "jobs must be a whole number of at least 1, got '0'"),
        ({"preset": "nope"}, "preset 'nope' is unknown"),
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
    import mlflow.tracking.fluent

    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)
    with pytest.raises(SystemExit):
        entry(main)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: MLflow: ")
    assert "`77` does not exist" in lines[0]
