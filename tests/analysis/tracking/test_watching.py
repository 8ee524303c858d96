"""Watching a run while it is trained in another process, in a notebook and in a terminal."""

import subprocess
import sys

import pytest

from analysis import watch
from analysis.tracking import look_at
from mlflow_thermo import ThermoError, schema

#: A training of the exact system whose snapshots reach the store chunk by chunk, and which waits to be let go on.
TRAINING = """
import sys
import time
from pathlib import Path
import numpy as np
import torch
from mlflow import MlflowClient
from mlflow_thermo import SnapshotRecorder, ThermoError, spaced
from mlflow_thermo.store import read_index
client, run_id, lr = MlflowClient(), sys.argv[1], float(sys.argv[2])
w = torch.nn.Parameter(torch.zeros(3))
rng = np.random.default_rng(0)
there = Path(client.get_run(run_id).info.artifact_uri) / "thermo" / "spaced"
def delivered():
    try:
        return len(read_index(there).steps) >= recorder.steps_taken
    except ThermoError:
        return False
recorder = SnapshotRecorder([("w", w)], series=[spaced(600, 600, 0.0)], lr=lr, run_id=run_id)
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        w.data = torch.as_tensor(rng.normal(size=3) * lr, dtype=torch.float32)
        recorder.step(float((w.detach() ** 2).sum()) / 2)
    for name, value in (("sampling/n_eff", recorder.steps_taken), ("sampling/n_eff_needed", 600)):
        client.log_metric(run_id, name, value, step=recorder.steps_taken)
    client.log_metric(run_id, "train/loss", float((w.detach() ** 2).sum()) / 2, step=recorder.steps_taken)
    recorder.flush()
    while not delivered():
        time.sleep(0.05)
    print("stepped", flush=True)
recorder.close()
client.set_terminated(run_id)
"""


class Training:
    def __init__(self, run_id, lr):
        self.process = subprocess.Popen(
            [sys.executable, "-c", TRAINING, run_id, str(lr)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def step(self, count):
        print(count, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "stepped\n"

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.process.stdout.close()


@pytest.fixture
def training(store):
    """A run that goes on, and its training."""
    where = store.get_experiment_by_name("study").experiment_id
    run_id = store.create_run(where, tags={schema.TAG_KIND: schema.KIND_TRAIN}).info.run_id
    training = Training(run_id, 0.1)
    yield run_id, training
    if training.process.poll() is None:
        training.process.kill()
        training.process.communicate()


def test_a_run_is_watched_until_it_ends(training, store):
    """Every look says what is there, and what is not there yet."""
    run_id, going = training
    looks = []

    def show(look):
        looks.append(look)
        if len(looks) < 4:
            going.step(150)
        elif going.process.poll() is None:
            going.step(150)
            going.end()

    last = watch(run_id, every=0.05, show=show)
    assert last.over
    (empty,), (first,), (second,), *_ = (look.runs for look in looks)
    assert (empty.ended, empty.loss, empty.temperature) == ("RUNNING", None, None)
    assert empty.missing == "no snapshots yet"
    for one, n in ((first, 150), (second, 300)):
        assert one.loss.value == pytest.approx(0.015, rel=0.2)
        assert one.n_eff == n
        assert one.needed == 600
        assert one.missing.startswith(f"n_eff {n} of 600; ")
        assert f"{n} of 600" in one.cells()
    assert last.runs[0].ended == "FINISHED"
    assert last.runs[0].n_eff > 200
    # Alone it has no dU/dS, and it says so.
    assert last.runs[0].missing == "T needs snapshots of at least 3 learning rates"


@pytest.mark.slow
def test_an_experiment_whose_last_run_goes_on(tracked, training):
    """Beside nine runs that have ended, one that goes on has a temperature."""
    run_id, going = training
    tracked.set_tag(run_id, schema.TAG_SWEEP, "first")
    going.step(600)
    looks = []

    def show(look):
        looks.append(look)
        if len(looks) == 1:
            going.end()

    watch("study", every=0.05, show=show)
    (at_work,) = [run for run in looks[0].runs if run.run_id == run_id]
    assert at_work.ended == "RUNNING"
    assert at_work.temperature is not None
    assert at_work.source == "dU/dS"
    assert sum(run.temperature is not None for run in looks[0].runs) == 10
    assert looks[-1].over


@pytest.mark.slow
def test_in_a_notebook_one_output_is_renewed(training, monkeypatch):
    """What a cell has shown is updated in place: one display and then updates with its id."""
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    run_id, going = training
    shell = InteractiveShell.instance()
    publisher = CapturingDisplayPublisher(shell=shell)
    monkeypatch.setattr(shell, "display_pub", publisher)
    try:
        shell.user_ns["step"] = lambda: going.step(200)
        going.step(100)
        shell.run_cell(
            "import analysis.tracking.watching as watching\n"
            "from analysis import watch\n"
            "show = watching._display()\n"
            "def stepping(look):\n"
            "    show(look)\n"
            "    if len(looks := shown) > 1:\n"
            "        raise KeyboardInterrupt\n"
            "    looks.append(look)\n"
            "    step()\n"
            "shown = []\n"
            f"last = watch('{run_id}', every=0.05, show=stepping)\n"
        ).raise_error()
        first, *later = publisher.outputs
        assert "100 of 600" in first["data"]["text/html"]
        assert later
        for one in later:
            assert one["update"]
            assert one["transient"]["display_id"] == first["transient"]["display_id"]
        assert "500 of 600" in later[-1]["data"]["text/html"]
        assert "<table>" in first["data"]["text/html"]
    finally:
        InteractiveShell.clear_instance()


@pytest.mark.slow
def test_interrupted_the_training_goes_on(training, command, monkeypatch):
    run_id, going = training
    going.step(50)

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("analysis.tracking.watching.time.sleep", interrupt)
    code, out, err = command("watch", run_id)
    assert (code, err) == (0, "")
    assert "50 of 600" in out
    going.step(50)


@pytest.mark.slow
def test_names_of_runs_are_no_html(training, store):
    run_id, _ = training
    store.set_tag(run_id, schema.TAG_SWEEP, "<script>")
    shown = look_at("study")._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_a_pause_that_is_none(store):
    with pytest.raises(ThermoError, match="every must be a positive number of seconds"):
        watch("study", every=0)
    with pytest.raises(ThermoError, match="experiment 'nope' does not exist"):
        watch("nope")
