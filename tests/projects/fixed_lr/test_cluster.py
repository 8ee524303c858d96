"""Sweeps on the workers of an executor: real Dask schedulers and workers, one of which is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import mlflow
import pytest

from benchmarks.faults import SWEEP, Place, content_of, differences
from mlflow_thermo import schema
from mlflow_thermo.delivery import Sign
from projects.common import Outcome, ParentWatch
from projects.fixed_lr import assignment
from projects.fixed_lr.assignment import Assignment, Sweep, child_environment, train_anywhere
from projects.fixed_lr.crew import RemoteCrew, run_sweep
from projects.fixed_lr.unfinished import Part

ROOT = Path(__file__).parents[3]
TINY = {
    "preset": "digits", "steps": 300, "chains": 2, "log_points": 3, "noise_batches": 2, "snapshots": 40,
    "bursts": 2, "burst_size": 5, "full_gradients": 10,
}  # fmt: skip
LRS = "0.05,0.1,0.2"
OF_OTHERS = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_THERMO_SWEEP")
LONGER = {**TINY, "steps": 1500, "lrs": LRS, "engine": "process"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in OF_OTHERS:
        monkeypatch.delenv(name, raising=False)
    return Place(tmp_path)


class Cluster:
    """A scheduler and two workers of one thread each, all of them programs as a user starts them."""

    def __init__(self, address, programs):
        self.address, self._sessions = address, {program.pid for program in programs}

    def trainings(self):
        """Process ids of the trainings of its workers, each with that of its worker; other tests have such, too."""
        tree = subprocess.run(["ps", "-wweo", "pid,ppid,sid,args"], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 3) for line in tree.splitlines()[1:]]
        own = [(int(pid), int(above), args) for pid, above, session, args in rows if int(session) in self._sessions]
        return {pid: above for pid, above, args in own if "-m projects.fixed_lr.train " in args}


@pytest.fixture
def cluster(place):
    log = (place.folder / "dask.log").open("w")
    started = []

    def start(module, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments, "--no-dashboard"]
        started.append(subprocess.Popen(command, cwd=place.folder, stdout=log, stderr=log, start_new_session=True))

    file = place.folder / "scheduler.json"
    start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
    until(file.exists)
    for _ in range(2):
        start("dask_worker", "--scheduler-file", str(file), "--nthreads", "1")
    yield Cluster(json.loads(file.read_text())["address"], started)
    for process in reversed(started):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    log.close()


def until(true, seconds=300.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def sweeps_in(place):
    return [run.data.tags[schema.TAG_SWEEP] for run in place.runs(f"tags.`{schema.TAG_KIND}` = 'sweep'")]


def finished(process):
    _, errors = process.communicate(timeout=600)
    return process.returncode, errors


@pytest.fixture(scope="module")
def of_one_machine(tmp_path_factory):
    """What the runs of a sweep without workers hold, by their learning rate."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        for name in OF_OTHERS:
            patch.delenv(name, raising=False)
        place = Place(tmp_path_factory.mktemp("alone"))
    code, errors = finished(place.start(SWEEP, **LONGER))
    assert code == 0, errors
    (sweep,) = sweeps_in(place)
    return {lr: content_of(place.client, run_id) for lr, run_id in place.trained(sweep).items()}


@pytest.mark.slow
@pytest.mark.xdist_group("lost worker")
@pytest.mark.parametrize("checkpoint_every", [1e-6, 0])
def test_what_a_lost_worker_was_at_is_trained_again(place, cluster, of_one_machine, checkpoint_every):
    """By another worker, from the checkpoint if there is one; the runs equal those of one machine to the last bit."""
    process = place.start(SWEEP, scheduler=cluster.address, jobs=2, **LONGER, checkpoint_every=checkpoint_every)
    # The first chunk of a series is on disk: it trains.
    until(lambda: [*place.folder.glob(".thermo/*/thermo/bursts/weights-*.safetensors")] or not checkpoint_every)
    until(lambda: len(cluster.trainings()) == 2)
    time.sleep(0.0 if checkpoint_every else 5.0)
    before = cluster.trainings()
    os.kill(next(iter(before.values())), signal.SIGKILL)
    code, errors = finished(process)
    assert code == 0, errors
    (sweep,) = sweeps_in(place)
    found = place.trained(sweep)
    assert sorted(found) == sorted(of_one_machine) == ["0.05", "0.1", "0.2"]
    assert not place.runs("attributes.status = 'RUNNING'")
    for lr, run_id in found.items():
        assert differences(of_one_machine[lr], content_of(place.client, run_id)) == []


@pytest.mark.slow
def test_a_sweep_that_is_ended_ends_its_trainings(place, cluster):
    options = {**TINY, "steps": 1_000_000, "lrs": LRS, "engine": "process"}
    process = place.start(SWEEP, scheduler=cluster.address, jobs=2, **options)
    until(lambda: len(cluster.trainings()) == 2 and [*place.folder.glob(".thermo/*/thermo/bursts/*.safetensors")])
    process.send_signal(signal.SIGTERM)
    code, errors = finished(process)
    assert code == 1
    assert f"-P scheduler={cluster.address}" in errors
    until(lambda: not cluster.trainings(), assignment.LOOK + 30)
    until(lambda: not place.runs("attributes.status = 'RUNNING'"))


@pytest.mark.slow
def test_any_executor_trains(place, monkeypatch):
    mlflow.set_tracking_uri(place.client.tracking_uri)
    monkeypatch.chdir(place.folder)
    own = place.client.create_run(place.experiment).info.run_id
    place.client.set_tag(own, schema.TAG_ALIVE, str(Sign.of_this_process(beats=False)))
    sweep = Sweep.of_run(place.client, "one", own)
    parts = [Part((0.1, 0.05), 0, together=True), Part((0.2,), 0), Part((1e30,), 0)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        outcomes = run_sweep(parts, TINY, "one", 2, ParentWatch(), RemoteCrew(executor, 2, sweep, TINY))
    assert [(one.lr, one.ok) for one in outcomes] == [(0.05, True), (0.1, True), (0.2, True), (1e30, False)]
    assert sorted(place.trained("one")) == ["0.05", "0.1", "0.2", "1e+30"]
    # Once more: what is done is not trained again.
    again = train_anywhere(Assignment(parts[0], TINY, sweep))
    assert {one.run_id for one in again} == {one.run_id for one in outcomes if one.lr in parts[0].lrs}


def test_a_part_that_does_not_come_back_has_failed(place):
    """Its worker was lost too often: the other parts count."""
    sweep = Sweep("one", "run", "sign", "0", place.client.tracking_uri)

    class Broken:
        def submit(self, task):
            from concurrent.futures import Future

            future = Future()
            given = task.args[0]
            if given.part.lrs == (0.1,):
                future.set_exception(RuntimeError("Attempted to run task on 4 workers, but all of them died"))
            else:
                future.set_result([Outcome(0.2, 0, "id", True, "stationary", "", 1.0)])
            return future

    parts = [Part((0.1,), 0), Part((0.2,), 0)]
    outcomes = run_sweep(parts, {}, "one", 1, ParentWatch(), RemoteCrew(Broken(), 1, sweep, {}))
    assert [(one.lr, one.ok) for one in outcomes] == [(0.1, False), (0.2, True)]
    assert outcomes[0].message.startswith("RuntimeError: Attempted to run task on 4 workers")


def test_a_sweep_goes_on_until_it_is_ended_or_conducted_by_another(place):
    client = place.client
    own = client.create_run(place.experiment).info.run_id
    client.set_tag(own, schema.TAG_ALIVE, "host 1 2 0")
    sweep = Sweep.of_run(client, "one", own)
    assert sweep.goes_on()
    client.set_tag(own, schema.TAG_ALIVE, "host 3 4 0")
    assert not sweep.goes_on()
    assert Sweep.of_run(client, "one", own).goes_on()
    client.set_terminated(own, "KILLED")
    assert not Sweep.of_run(client, "one", own).goes_on()
    # A server that is away ends nothing.
    assert Sweep("one", own, "host 1 2 0", "0", "sqlite:////proc/nowhere/mlflow.db").goes_on()


def test_a_machine_without_the_store_says_so(place):
    own = place.client.create_run(place.experiment).info.run_id
    here = partial(Sweep, "one", own, "sign", place.experiment)
    assert assignment.trouble_here(here(place.client.tracking_uri)) == ""
    assert "MLFLOW_TRACKING_URI" in assignment.trouble_here(here(f"sqlite:///{place.folder / 'other.db'}"))


def test_a_training_writes_into_a_run_of_its_own(monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "that of the sweep")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    found = child_environment("one", "http://127.0.0.1:5000", "7")
    assert "MLFLOW_RUN_ID" not in found
    assert found["MLFLOW_EXPERIMENT_ID"] == "7"
    assert found["CUDA_VISIBLE_DEVICES"] == "3"
