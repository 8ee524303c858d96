"""What reaches the tracking server, whatever happens to it on the way."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import mlflow
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from analysis.cli import cli
from benchmarks.proxy import Proxy
from mlflow_thermo import SnapshotRecorder, ThermoError, schema
from mlflow_thermo.delivery import Sign, courier, deliver
from mlflow_thermo.delivery.journal import FILE, KEEP, Journal
from mlflow_thermo.store import read_index, read_weights
from tests.mlflow_thermo.training import SERIES, make, train


@pytest.fixture
def proxy(server, monkeypatch):
    monkeypatch.setattr(Proxy, "DELAY", 0.3)
    monkeypatch.setattr(courier, "FIRST_PAUSE", 0.1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    found = Proxy(server.uri)
    mlflow.set_tracking_uri(found.uri)
    yield found
    found.state = "pass"
    found.close()
    mlflow.set_tracking_uri(None)


@pytest.fixture
def run_id(server, tmp_path):
    # Not the default experiment, whose artifacts the server does not keep.
    return server.client.create_run(server.client.create_experiment(str(tmp_path))).info.run_id


def points(client, run_id, key="loss"):
    return [(m.step, m.value) for m in client.get_metric_history(run_id, key)]


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("fault", ["refuse", "hang", "slow", "full"])
def test_a_server_in_trouble_holds_nobody_up_and_gets_everything_once(server, proxy, run_id, fault):
    w = make()
    recorder = SnapshotRecorder([("w", w)], series=SERIES, run_id=run_id)
    proxy.state = fault
    begin = time.monotonic()
    for step in range(1, 21):
        train(recorder, w, 1, first=step - 1)
        recorder.outbox.metrics({"loss": step / 2}, step)
    assert time.monotonic() - begin < 0.5
    time.sleep(0.5)
    proxy.state = "pass"
    recorder.close()
    assert points(server.client, run_id) == [(step, step / 2) for step in range(1, 21)]
    assert server.client.get_run(run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_COMPLETE
    (folder,) = server.artifacts.glob(f"*/{run_id}/artifacts/thermo")
    assert read_index(folder / "spaced").complete
    assert [row[0] for row in read_weights(folder / "spaced").tolist()] == [3, 7, 11, 15, 19]
    assert not recorder.directory.exists()


def test_metrics_are_on_the_server_while_the_training_goes_on(server, proxy, run_id):
    recorder = SnapshotRecorder([("w", make())], series=SERIES, run_id=run_id)
    recorder.outbox.metrics({"loss": 1.0}, 1)
    until(lambda: points(server.client, run_id) == [(1, 1.0)], 5.0)
    recorder.close()


def test_a_run_gives_signs_of_life_until_it_ends(server, proxy, run_id, monkeypatch):
    def sign():
        return Sign.read(server.client.get_run(run_id).data.tags[schema.TAG_ALIVE])

    monkeypatch.setattr(courier, "BEAT", 0.2)
    recorder = SnapshotRecorder([("w", make())], series=SERIES, run_id=run_id)
    first = sign()
    assert first.pid == os.getpid()
    until(lambda: sign().at > first.at)
    recorder.outbox.end("FINISHED")
    until(lambda: server.client.get_run(run_id).info.status == "FINISHED")
    last = sign()
    time.sleep(1.2)
    assert sign() == last
    recorder.close()


def test_a_server_that_is_gone_for_good(server, proxy, run_id):
    """The program ends within the stated time, with the one command that delivers the rest later."""
    w = make()
    recorder = SnapshotRecorder([("w", w)], series=SERIES, run_id=run_id, wait=0.5)
    recorder.outbox.metrics({"loss": 1.0}, 0)
    proxy.state = "hang"
    train(recorder, w, 20)
    recorder.outbox.metrics({"loss": 0.5}, 20)
    begin = time.monotonic()
    with pytest.raises(ThermoError) as caught:
        recorder.close()
    assert time.monotonic() - begin < 1.5
    folder = recorder.directory
    assert f"deliver it with 'mlflow-thermo deliver {folder} --tracking-uri {proxy.uri}'" in str(caught.value)
    assert server.client.get_run(run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_RECORDING
    recorder.outbox.end("FINISHED")
    recorder.outbox.close()
    # A request that hung may have arrived: what is sent again must not stand there twice.
    found = CliRunner().invoke(cli, ["deliver", str(folder), "--tracking-uri", server.uri])
    assert found.exit_code == 0, found.output
    assert f"run {run_id}:" in found.output
    assert sorted(points(server.client, run_id)) == [(0, 1.0), (20, 0.5)]
    run = server.client.get_run(run_id)
    assert (run.info.status, run.data.tags[schema.TAG_SNAPSHOTS]) == ("FINISHED", schema.SNAPSHOTS_COMPLETE)
    assert next(iter(deliver(folder, server.uri))).entries == 0
    proxy.state = "pass"


KILLED = """
    import os, signal, sys
    from tests.mlflow_thermo.training import SERIES, make, train
    from mlflow_thermo import SnapshotRecorder

    recorder = SnapshotRecorder([("w", (w := make()))], series=SERIES, run_id=sys.argv[1], directory=sys.argv[2])
    for step in range(1, 21):
        train(recorder, w, 1, first=step - 1)
        recorder.outbox.metrics({"loss": step / 2}, step)
    recorder.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_program_loses_no_metric(server, run_id, tmp_path):
    environment = {**os.environ, "MLFLOW_TRACKING_URI": server.uri}
    command = [sys.executable, "-c", textwrap.dedent(KILLED), run_id, str(tmp_path / "run")]
    assert subprocess.run(command, env=environment, timeout=200).returncode == -signal.SIGKILL
    # The folder of the folder serves too.
    (one,) = deliver(tmp_path, server.uri)
    assert (one.run_id, one.folder) == (run_id, tmp_path / "run")
    assert sorted(points(server.client, run_id)) == [(step, step / 2) for step in range(1, 21)]
    names = {item.path for item in server.client.list_artifacts(run_id, "thermo/spaced")}
    assert "thermo/spaced/index.json" in names


def test_a_run_that_was_deleted_meanwhile(server, proxy, run_id, tmp_path):
    recorder = SnapshotRecorder([("w", make())], series=SERIES, run_id=run_id, directory=tmp_path / "run")
    server.client.delete_run(run_id)
    recorder.outbox.metrics({"loss": 1.0}, 1)
    with pytest.raises(ThermoError, match=f"run {run_id} is deleted: restore it with") as caught:
        recorder.close()
    assert str(tmp_path / "run") in str(caught.value)
    with pytest.raises(ThermoError, match="is deleted: restore it"):
        list(deliver(tmp_path / "run", server.uri))
    server.client.restore_run(run_id)
    assert list(deliver(tmp_path / "run", server.uri))
    assert points(server.client, run_id) == [(1, 1.0)]


def test_an_index_is_never_ahead_of_its_chunks(store, monkeypatch):
    """A reader sees only the chunks that the index lists: while chunks are missing it sees an older index."""
    seen = []
    log_artifact = MlflowClient.log_artifact

    def watched(self, run_id, path, target):
        if path.endswith("index.json"):
            chunks = {chunk.file for chunk in read_index(os.path.dirname(path)).chunks}
            there = {item.path.rsplit("/", 1)[-1] for item in self.list_artifacts(run_id, target)}
            seen.append(chunks <= there)
        else:
            time.sleep(0.05)
        return log_artifact(self, run_id, path, target)

    monkeypatch.setattr(MlflowClient, "log_artifact", watched)
    w = make()
    with mlflow.start_run(), SnapshotRecorder([("w", w)], total_steps=400) as recorder:
        train(recorder, w, 400)
    assert len(seen) >= 3
    assert all(seen)


@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_nothing_to_deliver(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    found = CliRunner().invoke(cli, ["deliver", str(tmp_path / folder)])
    assert isinstance(found.exception, ThermoError)
    assert "give one that a recording has left behind" in str(found.exception)


def test_a_link_out_of_the_folder_is_not_sent(server, run_id, tmp_path):
    """A folder from a stranger must not send what else lies on this machine."""
    secret = tmp_path / "secret"
    secret.write_text("not for anybody")
    folder = tmp_path / "run"
    (folder / "spaced").mkdir(parents=True)
    (folder / "spaced" / "index.json").symlink_to(secret)
    journal = Journal(folder, run_id)
    journal.append(FILE, ["spaced/index.json", "thermo/spaced", "0" * 64, KEEP])
    journal.close()
    with pytest.raises(ThermoError, match="link that leads out of its folder"):
        list(deliver(folder, server.uri))
    assert server.client.list_artifacts(run_id) == []
