"""Where artifacts lie: locations as MLflow's own client resolves them, and disks of other machines."""

import os
import subprocess
import sys
import time
import urllib.request

import pytest
from mlflow import MlflowClient

from analysis.results import NO_SNAPSHOTS, OUT_OF_REACH
from analysis.tracking import from_tracking
from analysis.trajectory import RunError
from mlflow_thermo import schema
from tests.end_to_end.conftest import free_port

COMPLETE = {schema.TAG_SNAPSHOTS: schema.SNAPSHOTS_COMPLETE}
#: Names of folders that a URI has to encode, or that look encoded.
NAMES = ("a b", "a#b", "a?b=c", "a%25b", "100%", "a%20b", "ä ö", "温度", "a+b;c&d", "a'b\"c", "a:b", "~", " lead")
#: What users write that is neither a path nor what `as_uri` makes of one.
ODD = (
    "file:{root}/one slash", "file://localhost{root}/host", "file://{root}/raw space", "file://{root}/raw%",
    "file:rel/x", "rel x", "./rel", "file:C:/x/y", "file://{root}//two//", "{root}/q?x=1#y",
    "file://{root}/%E6%B8%A9", "file://{root}/up/../down",
)  # fmt: skip


def locations(root):
    for name in NAMES:
        yield str(root / "paths" / name)
        yield (root / "uris" / name).as_uri()
    for one in ODD:
        yield one.format(root=root)


def test_odd_locations(study, store, tmp_path):
    """The files are where MLflow's client has put them, in place: nothing is copied."""
    folder = study.write_run("a", 0.1)
    for i, location in enumerate(locations(tmp_path / "odd")):
        where = store.create_experiment(f"odd {i}", artifact_location=location)
        study.log_run(store, where, folder, 0.1, tags=COMPLETE)
        (found,) = from_tracking(f"odd {i}")
        assert len(found.load()) == 600, location
        assert found.identity is not None, location
    assert not (tmp_path / "thermo-cache").exists()


@pytest.mark.parametrize("name", ["a b", "温度#?%25"])
def test_odd_locations_of_a_server(study, server, tmp_path, name):
    folder = study.write_run("a", 0.1)
    where = server.client.create_experiment(f"{tmp_path.name} {name}")
    study.log_run(server.client, where, folder, 0.1, tags=COMPLETE)
    assert len(from_tracking(f"{tmp_path.name} {name}", server.uri)[0].load()) == 600


@pytest.mark.parametrize("place", ["moved", "C:/Users/me/mlruns", "/Volumes/lab/mlruns", "file:///D:/my%20runs"])
def test_the_disk_of_another_machine(study, store, tmp_path, place):
    """The path and the cause are named; a run that never recorded anything is no such case."""
    folder = study.write_run("a", 0.1)
    location = str(tmp_path / "disk") if place == "moved" else place
    where = store.create_experiment("far", artifact_location=location)
    run_id = study.log_run(store, where, folder if place == "moved" else None, 0.1, tags=COMPLETE)
    study.log_run(store, where, None, 0.2)
    if place == "moved":
        (tmp_path / "disk").rename(tmp_path / "elsewhere")
    recorded, empty = from_tracking("far")
    with pytest.raises(RunError) as caught:
        recorded.load()
    said = str(caught.value)
    assert caught.value.status == OUT_OF_REACH
    assert said.startswith(f"run {run_id}: its snapshots are in ")
    # MLflow writes the letter of a drive small.
    assert ("my runs" if "%20" in place else location.removeprefix("C:")) in said
    assert "which this machine does not have" in said
    assert "mlflow server --artifacts-destination" in said
    with pytest.raises(RunError, match="holds no series 'spaced' of snapshots: train it") as caught:
        empty.load()
    assert caught.value.status == NO_SNAPSHOTS


def test_artifacts_that_a_server_has_lost(study, server, tmp_path):
    import shutil

    folder = study.write_run("a", 0.1)
    where = server.client.create_experiment(f"lost {tmp_path.name}")
    run_id = study.log_run(server.client, where, folder, 0.1, tags=COMPLETE)
    shutil.rmtree(server.artifacts / where / run_id)
    with pytest.raises(
        RunError, match=f"run {run_id}: its snapshots were removed from mlflow-artifacts:/.*: bring them"
    ):
        from_tracking(f"lost {tmp_path.name}", server.uri)[0].load()


@pytest.mark.slow
def test_a_server_that_serves_no_artifacts(study, empty_database, tmp_path):
    """Its root is a path of its own machine: here of a folder that is moved away."""
    (tmp_path / "m.db").write_bytes(empty_database.read_bytes())
    port, root = free_port(), tmp_path / "root"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--no-serve-artifacts", "--default-artifact-root", str(root), "--backend-store-uri", f"sqlite:///{tmp_path}/m.db",
    ]  # fmt: skip
    uri = f"http://127.0.0.1:{port}"
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=tmp_path)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.25)
        client = MlflowClient(uri)
        where = client.create_experiment("study")
        study.log_run(client, where, study.write_run("a", 0.1), 0.1, tags=COMPLETE)
        assert len(from_tracking("study", uri)[0].load()) == 600
        root.rename(tmp_path / "away")
        with pytest.raises(RunError, match=f"its snapshots are in {root}/.*, which this machine does not have"):
            from_tracking("study", uri)[0].load()
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)
