"""The parts of an index on their way to the server: each once, after its chunks and before the index that names it."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from mlflow_thermo import Schedule, SnapshotRecorder, schema
from mlflow_thermo.delivery import deliver
from mlflow_thermo.store import SeriesWriter, read_index, read_weights, sha256_of
from tests.mlflow_thermo.training import make, train

SERIES = (Schedule("spaced", tuple(range(1, 31))),)


@pytest.fixture(autouse=True)
def pairs(monkeypatch):
    """Parts of two chunks."""
    monkeypatch.setattr(SeriesWriter, "chunks_per_part", 2)


@pytest.fixture
def sent(monkeypatch):
    """Names of the files that are sent, in their order."""
    found = []
    log_artifact = MlflowClient.log_artifact

    def watched(self, run_id, path, target):
        log_artifact(self, run_id, path, target)
        found.append(os.path.basename(path))

    monkeypatch.setattr(MlflowClient, "log_artifact", watched)
    return found


@pytest.fixture
def run_id(store):
    return store.create_run(store.get_experiment_by_name("study").experiment_id).info.run_id


def record(recorder, w, steps, first=0):
    """A chunk for every two steps."""
    for step in range(first, first + steps, 2):
        train(recorder, w, 2, first=step)
        recorder.flush()


def there(store, run_id):
    return Path(store.download_artifacts(run_id, "thermo/spaced"))


def check(store, run_id, folder=None):
    """The run has every snapshot, and the digest that its index and so its parts are checked by."""
    found = there(store, run_id)
    tags = store.get_run(run_id).data.tags
    index = read_index(found, sha256=json.loads(tags[schema.TAG_DIGEST])["spaced"])
    assert (index.complete, index.steps) == (True, SERIES[0].steps)
    assert [part.n_chunks for part in index.parts] == [2] * ((len(index.chunks) - 1) // 2)
    np.testing.assert_array_equal(read_weights(found)[:, 0], np.arange(30))
    return index


@pytest.mark.parametrize("kept", [True, False])
def test_each_is_sent_once_and_before_its_index(store, run_id, sent, tmp_path, kept):
    """Without a directory of the user's no chunk stays on this machine."""
    w = make()
    recorder = SnapshotRecorder([("w", w)], series=SERIES, run_id=run_id, directory=tmp_path / "run" if kept else None)
    record(recorder, w, 30)
    assert recorder.outbox.wait(20)
    folder = recorder.directory / "spaced"
    assert len(list(folder.glob("*.safetensors"))) == (15 if kept else 0)
    assert len(list(folder.glob("index-*.json"))) == 7
    recorder.close()
    index = check(store, run_id)
    counted = Counter(sent)
    names = [*(chunk.file for chunk in index.chunks), *(part.file for part in index.parts)]
    assert {name: counted[name] for name in names} == dict.fromkeys(names, 1)
    for i, part in enumerate(index.parts):
        chunks = [chunk.file for chunk in index.chunks[2 * i : 2 * i + 2]]
        assert max(map(sent.index, chunks)) < sent.index(part.file)
    assert sent[-1] == "index.json"


def test_an_index_on_the_server_is_never_ahead_of_its_parts(store, run_id, monkeypatch):
    seen = []
    log_artifact = MlflowClient.log_artifact

    def watched(self, run_id, path, target):
        log_artifact(self, run_id, path, target)
        found = there(self, run_id)
        if (found / "index.json").exists():
            seen.append(len(read_index(found).parts))

    monkeypatch.setattr(MlflowClient, "log_artifact", watched)
    w = make()
    with SnapshotRecorder([("w", w)], series=SERIES, run_id=run_id) as recorder:
        record(recorder, w, 30)
    assert seen[-1] == 7
    assert seen == sorted(seen)


KILLED = """
    import os, signal, sys, time
    import mlflow_thermo.delivery.courier as courier
    from mlflow_thermo import SnapshotRecorder
    from mlflow_thermo.store import SeriesWriter
    from tests.mlflow_thermo.delivery.test_parts import SERIES, make, record

    SeriesWriter.chunks_per_part = 2
    given, deliver_some, count = int(sys.argv[3]), courier.Outbox.deliver_some, 0

    def some(self):
        global count
        count += 1
        if count > given:
            raise OSError("the server is away")
        deliver_some(self)

    courier.Outbox.deliver_some = some
    recorder = SnapshotRecorder([("w", (w := make()))], series=SERIES, run_id=sys.argv[1], directory=sys.argv[2])
    record(recorder, w, 16)
    while count <= given:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(run_id, folder, given):
    """A program that dies after 16 steps, of whose outbox the server has taken the first `given` entries."""
    command = [sys.executable, "-c", textwrap.dedent(KILLED), run_id, str(folder), str(given)]
    path = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, timeout=200, capture_output=True, text=True, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("given", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (9, 12))])
def test_what_a_killed_program_left_is_delivered(store, run_id, sent, tmp_path, given):
    killed(run_id, tmp_path / "run", given)
    list(deliver(tmp_path / "run"))
    found = there(store, run_id)
    index = read_index(found)
    assert (index.n_snapshots, len(index.parts)) == (16, 3)
    assert sha256_of(found / "index.json") == sha256_of(tmp_path / "run" / "spaced" / "index.json")
    assert not [name for name, count in Counter(sent).items() if count > 1 and name != "index.json"]


@pytest.mark.parametrize(
    ("given", "at"),
    [(12, 7), *(pytest.param(*one, marks=pytest.mark.slow) for one in ((0, 16), (12, 16), (17, 16), (17, 6), (17, 3)))],
)
def test_a_run_that_goes_on_has_all_of_them_once(store, run_id, sent, tmp_path, given, at):
    """From a checkpoint of the end, or of an earlier step: what is recorded again is sent again where it differs."""
    w = make()
    before = SnapshotRecorder([("w", w)], series=SERIES, directory=tmp_path / "states")
    for step in range(0, at, 2):
        train(before, w, min(2, at - step), first=step)
        if at - step >= 2:
            before.flush()
    state = before.state_dict()
    before.close()
    killed(run_id, tmp_path / "run", given)
    known = {path.name: sha256_of(path) for path in there(store, run_id).iterdir()} if given else {}
    again = SnapshotRecorder([("w", w)], series=SERIES, run_id=run_id, directory=tmp_path / "run", resume=True)
    again.load_state_dict(state)
    record(again, w, 30 - at, first=at)
    again.close()
    index = check(store, run_id)
    counted = Counter(sent)
    for one in (*index.chunks, *index.parts):
        assert counted[one.file] == (known.get(one.file) != one.sha256)
    assert given < 17 or at < 16 or not counted["index-000000.json"]
