"""Disks that are full, read-only or gone, under a recorder and its way to the server."""

import errno
import logging
import sqlite3
from contextlib import suppress

import pytest
import torch
from safetensors.numpy import save_file

from mlflow_thermo import SnapshotRecorder, ThermoError, schema
from mlflow_thermo.delivery import Outbox, deliver
from mlflow_thermo.disk import DiskError, disk_errors, disk_trouble
from mlflow_thermo.failures import Failures
from mlflow_thermo.said import say_once
from mlflow_thermo.store import read_index, read_weights

FULL, READ_ONLY = (
    "the disk is full: free some space",
    "the disk is read-only: make it writable, or choose another place",
)


def raised(action):
    with pytest.raises(Exception) as error:  # whatever a library makes of it
        action()
    return error.value


def test_what_libraries_say_of_a_full_disk():
    def write():
        with open("/dev/full", "wb", buffering=0) as file:
            file.write(b"x")

    assert disk_trouble(raised(write)) == FULL


def test_what_libraries_say_of_real_disks(small_disk):
    import numpy as np

    path = small_disk.folder / "some.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE a (x)")
    database.close()

    def insert():
        connection = sqlite3.connect(path)
        try:
            connection.execute("INSERT INTO a VALUES (zeroblob(100000))")
            connection.commit()
        finally:
            connection.close()

    def save():
        save_file({"a": np.zeros(100_000)}, small_disk.folder / "a.safetensors")

    small_disk.fill()
    assert {disk_trouble(raised(insert)), disk_trouble(raised(save))} == {FULL}
    small_disk.mend()
    small_disk.lock()
    assert {disk_trouble(raised(insert)), disk_trouble(raised(save))} == {READ_ONLY}


@pytest.mark.parametrize("error", [ConnectionRefusedError(errno.ECONNREFUSED, "refused"), KeyError("disk"), OSError()])
def test_other_errors_are_not_about_a_disk(error):
    assert disk_trouble(error) == ""


def test_a_disk_is_said_once(tmp_path, caplog):
    """Not once for each file on it; another disk's trouble, and any other error, is said as well."""

    def fail(number, name):
        with disk_errors(tmp_path / name):
            raise OSError(number, "why")

    failures = Failures()
    for number, name in ((errno.ENOSPC, "a"), (errno.ENOSPC, "b"), (errno.EROFS, "c"), (errno.EROFS, "d")):
        failures.attempt(fail, number, name)
    failures.add(ThermoError("something else"))
    with pytest.raises(DiskError, match="snapshots cannot be written to .*/a: the disk is full: free some space"):
        failures.raise_first()
    said = [record.getMessage().split(":")[0] for record in caplog.records]
    assert said == [f"snapshots cannot be written to {tmp_path / 'c'}", "something else"]
    caplog.clear()
    quiet = Failures(told=DiskError("no trouble known"))
    quiet.attempt(fail, errno.ENOSPC, "a")
    quiet.log()
    assert "/a: the disk is full" in caplog.text


def loop(recorder, model, steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        loss = model(torch.randn(8, 1000)).square().mean()
        loss.backward()
        recorder.step(loss)
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("fault", ["fill", "lock"])
def test_a_loop_whose_disk_takes_no_more(small_disk, fault, caplog):
    """One error, everything from before is whole on disk, and the same folder goes on when there is room again."""
    model, folder = torch.nn.Linear(1000, 1), small_disk.folder / "run"
    recorder = SnapshotRecorder(model, total_steps=40, lr=0.1, directory=folder)
    loop(recorder, model, 30)
    recorder.flush()
    state = recorder.state_dict()
    before = {name: read_index(folder / name).n_snapshots for name in ("spaced", "consecutive", "bursts")}
    getattr(small_disk, fault)()
    with pytest.raises(DiskError, match=FULL if fault == "fill" else READ_ONLY):
        loop(recorder, model, 10)
        recorder.close()
    with suppress(ThermoError):
        recorder.close()
    assert len([one for one in caplog.records if one.levelno >= logging.ERROR]) == 0
    for name, count in before.items():
        index = read_index(folder / name)
        assert index.n_snapshots >= count
        assert len(read_weights(folder / name)) == index.n_snapshots
        assert not index.complete
    small_disk.mend()
    again = SnapshotRecorder(model, total_steps=40, lr=0.1, directory=folder, resume=True)
    again.load_state_dict(state)
    loop(again, model, 40 - again.steps_taken)
    again.close()
    assert all(read_index(folder / name).complete for name in before)


def test_a_series_whose_last_index_finds_no_room_is_not_complete(small_disk, store):
    """Not on disk, and not by the run's tag either."""
    run_id = store.create_run("1").info.run_id
    model = torch.nn.Linear(10, 1)
    recorder = SnapshotRecorder(
        model, total_steps=4, lr=0.1, run_id=run_id, directory=small_disk.folder / "run", wait=20
    )
    for _ in range(4):
        recorder.step(0.5)
    recorder.flush()
    small_disk.lock()
    with pytest.raises(DiskError, match=READ_ONLY):
        recorder.close()
    assert store.get_run(run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_PARTIAL
    assert not recorder.index("spaced").complete
    small_disk.mend()


@pytest.mark.parametrize("fault", ["fill", "lock"])
def test_what_is_on_a_disk_that_takes_no_more_is_delivered(small_disk, fault, store):
    """Though nothing can be copied there, and nothing noted."""
    run_id = store.create_run("1").info.run_id
    folder = small_disk.folder / "run"
    (folder / "spaced").mkdir(parents=True)
    chunk, index = folder / "spaced" / "weights", folder / "spaced" / "index.json"
    chunk.write_text("weights")
    index.write_text("index")
    outbox = Outbox(store, run_id, folder)
    outbox.wait(20)
    getattr(small_disk, fault)()
    outbox.file(chunk, "thermo/spaced", "0" * 64, delete=True)
    outbox.version(index, "thermo/spaced")
    outbox.end("FAILED")
    assert outbox.wait(20), outbox.trouble
    outbox.close()
    assert {one.path for one in store.list_artifacts(run_id, "thermo/spaced")} == {
        "thermo/spaced/weights",
        "thermo/spaced/index.json",
    }
    assert store.get_run(run_id).info.status == "FAILED"
    small_disk.mend()
    assert not list(folder.rglob("version-*"))


def test_artifacts_that_cannot_be_written_are_named_and_wait(small_disk, store, tmp_path, caplog):
    experiment = store.create_experiment("on a small disk", artifact_location=str(small_disk.folder / "artifacts"))
    run_id = store.create_run(experiment).info.run_id
    small_disk.lock()
    recorder = SnapshotRecorder(
        torch.nn.Linear(10, 1), total_steps=4, lr=0.1, run_id=run_id, directory=tmp_path / "run", wait=4
    )
    for _ in range(4):
        recorder.step(0.5)
    with pytest.raises(ThermoError, match=f"has not taken everything .*artifacts.*{READ_ONLY}.*deliver it with"):
        recorder.close()
    assert caplog.text.count("not delivered, will try again") == 1
    recorder.outbox.close()
    small_disk.mend()
    assert [one.run_id for one in deliver(tmp_path / "run", store._tracking_client.tracking_uri)] == [run_id]
    assert store.get_run(run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_COMPLETE


def test_what_mlflow_logs_of_errors_that_are_said_anyway(caplog, monkeypatch):
    from mlflow_thermo import said

    fresh = said._SaidElsewhere()
    monkeypatch.setattr(said, "_FILTER", fresh)
    theirs = logging.getLogger("mlflow.store.db.utils")
    monkeypatch.setattr(theirs, "filters", [])
    monkeypatch.setattr(theirs, "propagate", True)
    say_once(["another thread"])
    theirs.error("seen: a thread that nobody spoke for")
    say_once()
    theirs.error("gone")
    theirs.warning("could not be created.\n(psycopg2) at postgresql://me:secret@host/db\nRetried in %.1f s", 0.1)
    assert [record.getMessage() for record in caplog.records] == [
        "seen: a thread that nobody spoke for",
        "could not be created. (psycopg2) at postgresql://host/db",
    ]
