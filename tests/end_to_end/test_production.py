"""The user's commands against a tracking server as teams run it: PostgreSQL, an object store, passwords."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import mlflow
import pytest
from mlflow import MlflowClient

from mlflow_thermo import schema
from mlflow_thermo.schema import SNAPSHOTS_COMPLETE, TAG_SNAPSHOTS
from tests.end_to_end.test_commands import SHORT, SWEEP, check_sweep_and_analysis

#: Runs with few files: what is tried is that they begin and end together.
EIGHT = (
    "-e", "sweep", "-P", "preset=digits-up", "-P", "lrs=1e-3:1e-1:8", "-P", "snapshots=50", "-P", "bursts=0", *SHORT,
)  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("production")]


@pytest.fixture
def client(production, monkeypatch):
    for key, value in production.access.items():
        monkeypatch.setenv(key, value)
    mlflow.set_tracking_uri(production.uri)
    yield MlflowClient(production.uri)
    mlflow.set_tracking_uri(None)


def secrets_in(folder, words):
    """Files below a folder that hold one of the words."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and any(word.encode() in path.read_bytes() for word in words):
            found.append(path)
    return found


def test_sweep_and_analysis(user, production, client):
    done = user("mlflow", "run", ".", "--experiment-name", "team", *SWEEP, **production.access)
    assert done.returncode == 0, done.stderr
    out = user.folder / "report"
    found = user("mlflow-thermo", "analyze", "--experiment", "team", "--out", str(out), **production.access)
    assert found.returncode == 0, found.stderr
    where = client.get_experiment_by_name("team").experiment_id
    check_sweep_and_analysis(client, where, out, found.stdout)
    # The password reaches neither what the programs say, nor what they keep, nor what they upload.
    words = (production.password, "kT-of-the-store")
    said = done.stdout + done.stderr + found.stdout + found.stderr
    assert not any(word in said for word in words)
    assert secrets_in(user.folder.parent, words) == []
    for run in client.search_runs([where]):
        texts = [*run.data.tags.values(), *run.data.params.values()]
        assert not any(word in text for text in texts for word in words)


def test_credentials_that_are_wrong(user, production):
    wrong = {**production.access, "MLFLOW_TRACKING_PASSWORD": "not-the-password"}
    in_the_uri = {"MLFLOW_TRACKING_URI": production.uri.replace("//", "//physicist:not-the-password@")}
    for command, access in (
        (("mlflow-thermo", "analyze", "--experiment", "team"), wrong),
        (("mlflow-thermo", "doctor", "team"), wrong),
        (("mlflow-thermo", "watch", "team"), in_the_uri),
        (("mlflow-thermo", "export", "team"), {"MLFLOW_TRACKING_URI": production.uri}),
    ):
        done = user(*command, **access)
        assert done.returncode == 1
        lines = [line for line in done.stderr.splitlines() if line]
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith(
            "error: the tracking server needs a login, and that of now is missing or wrong: set "
        )
        shown = user(*command, MLFLOW_THERMO_DEBUG="1", **access)
        assert "Traceback" in shown.stderr
        assert "not-the-password" not in done.stdout + done.stderr + shown.stdout + shown.stderr


def test_two_sweeps_at_once(user, production, client):
    """Eight runs each, all of them complete."""
    command = ["mlflow", "run", ".", "--experiment-name", "both", *EIGHT]
    client.create_experiment("both")
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: user(*command, **production.access), range(2)))
    assert [one.returncode for one in done] == [0, 0], "".join(one.stderr + one.stdout for one in done)
    where = client.get_experiment_by_name("both").experiment_id
    runs = client.search_runs([where], f"tags.`{schema.TAG_KIND}` = 'train'")
    assert len(runs) == 16
    assert {(run.info.status, run.data.tags[TAG_SNAPSHOTS]) for run in runs} == {("FINISHED", SNAPSHOTS_COMPLETE)}
    assert len({run.data.tags[schema.TAG_SWEEP] for run in runs}) == 2


def test_two_sweeps_at_once_on_a_fresh_database(user):
    """MLflow itself makes a new sqlite file before our programs start, in each of the two commands: one goes first."""
    first = subprocess.run(
        ["mlflow", "db", "upgrade", "sqlite:///mlflow.db"], cwd=user.folder, env=user.environment, capture_output=True
    )
    assert first.returncode == 0, first.stderr
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: user("mlflow", "run", ".", *EIGHT), range(2)))
    assert [one.returncode for one in done] == [0, 0], "".join(one.stderr + one.stdout for one in done)
    runs = user.client().search_runs(["0"], f"tags.`{schema.TAG_KIND}` = 'train'")
    assert len(runs) == 16
    assert {(run.info.status, run.data.tags[TAG_SNAPSHOTS]) for run in runs} == {("FINISHED", SNAPSHOTS_COMPLETE)}
