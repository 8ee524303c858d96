"""A recorder that nobody closes loses nothing, and says so."""

import gc
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from weakref import ref

import pytest
import torch
from torch import nn

from mlflow_thermo import Schedule, SnapshotRecorder, forgotten, schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.store import read_index
from tests.mlflow_thermo.training import SERIES, make, train

PROGRAM = """
import sys, torch
from mlflow_thermo import Schedule, SnapshotRecorder
where = sys.argv[1]
if where == "run":
    import mlflow
    run = mlflow.start_run()
    print(run.info.run_id)
series = (Schedule("spaced", tuple(range(1, 156))),)
recorder = SnapshotRecorder([("w", torch.nn.Parameter(torch.zeros(6)))], series=series, lr=0.1,
                            directory=None if where == "run" else where)
for _ in range(int(sys.argv[2])):
    recorder.step(0.5)
if where == "run":
    mlflow.end_run()
else:
    raise ValueError("it broke")
"""


def program(*arguments):
    """What a program with a forgotten recorder printed, and what its recorder said."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    shown = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "MLFLOW_EXPERIMENT_NAME": "study"}
    )
    return shown.stdout, [line for line in shown.stderr.splitlines() if "recorder" in line]


def test_a_program_that_forgets_close_loses_no_snapshot(store, tmp_path):
    out, (said,) = program("run", 155)
    run = store.get_run(out.split()[0])
    index = read_index(next((tmp_path / "artifacts").glob("*/artifacts/thermo/spaced")))
    assert (index.n_snapshots, index.complete) == (155, True)
    assert run.data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_COMPLETE
    assert said.startswith(f"the recorder of run {run.info.run_id} was never closed after step 155 and was closed now;")


def test_a_program_that_breaks_off_keeps_what_it_has(tmp_path):
    _, (said,) = program(tmp_path / "runs", 117)
    index = read_index(tmp_path / "runs" / "spaced")
    assert (index.n_snapshots, index.complete) == (117, False)
    assert "was never closed after step 117 and was closed now" in said


def recorder_of(folder, **options):
    return SnapshotRecorder([("w", make())], series=SERIES, directory=folder, **options)


def finish():
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "thermo-closer":
            thread.join()


def test_a_recorder_that_nothing_refers_to_is_closed(tmp_path, caplog):
    recorder = recorder_of(tmp_path)
    train(recorder, make(), 20)
    recorder.circle = recorder
    del recorder
    with caplog.at_level(logging.WARNING):
        finish()
    assert read_index(tmp_path / "spaced").complete
    assert f"the recorder of {tmp_path} was never closed" in caplog.text


def test_one_that_cannot_be_written_any_more_is_one_line(tmp_path, caplog):
    recorder = recorder_of(tmp_path / "gone")
    train(recorder, make(), 6)
    for path in sorted((tmp_path / "gone").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "gone").rmdir()
    del recorder
    finish()
    assert "was never closed after step 6 and could not be closed now: snapshots cannot be" in caplog.messages[-1]


def test_a_recorder_that_takes_the_place_of_another_is_not_disturbed(tmp_path, caplog):
    parameter = make()
    first = recorder_of(tmp_path)
    train(first, parameter, 10)
    first.flush()
    train(first, parameter, 3, first=10)
    with recorder_of(tmp_path, resume=True) as second:
        second.fast_forward(10)
        with pytest.raises(ThermoError, match="closed, or another one has taken its directory"):
            first.step(0.5)
        del first
        finish()
        train(second, parameter, 10, first=10)
    assert read_index(tmp_path / "spaced").complete
    assert caplog.messages == []


def child():
    gc.collect()


def test_a_forked_process_leaves_the_recorder_to_its_parent(tmp_path):
    """As the workers of a DataLoader do, whose end runs the hooks for the end of threads."""
    recorder = recorder_of(tmp_path)
    parameter = make()
    train(recorder, parameter, 10)
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    assert process.exitcode == 0
    assert forgotten._open
    train(recorder, parameter, 10, first=10)
    recorder.close()
    assert read_index(tmp_path / "spaced").complete


def test_no_closed_recorder_is_remembered(tmp_path):
    with recorder_of(tmp_path) as recorder:
        key, alive = id(recorder), ref(recorder)
        assert key in forgotten._needed
    assert key not in forgotten._needed
    del recorder
    gc.collect()
    assert alive() is None


def test_a_closed_recorder_takes_no_step(tmp_path):
    net = nn.Linear(2, 1)
    with SnapshotRecorder(net, series=(Schedule("spaced", (1, 2, 3, 4)),), directory=tmp_path) as recorder:
        recorder.step(torch.tensor(1.0))
    with pytest.raises(ThermoError, match="recorder is closed"):
        recorder.step(torch.tensor(1.0))


def test_an_attached_series_stays_in_the_directory(tmp_path):
    with recorder_of(tmp_path / "in") as recorder, pytest.raises(ThermoError, match=r"'\.\./evil' is not plain"):
        recorder.attach("../evil", [1], torch.zeros(1, 1, 6).numpy(), torch.zeros(1, 1).numpy())
    assert not (tmp_path / "evil").exists()


def test_a_recorder_that_was_never_made_needs_no_closing(tmp_path, caplog):
    with pytest.raises(ThermoError, match="did you mean 'sphere'"):
        recorder_of(tmp_path / "new", protocol="Sphere")
    finish()
    assert (caplog.messages, (tmp_path / "new").exists()) == ([], False)
