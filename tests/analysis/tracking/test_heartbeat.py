"""Runs that a killed program has left RUNNING."""

import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from analysis.cli import cli
from analysis.tracking import orphans
from mlflow_thermo import ThermoError, schema
from mlflow_thermo.delivery import Sign
from projects.common import open_run

RECORDS = """
import sys, time
import torch
from mlflow_thermo import SnapshotRecorder
recorder = SnapshotRecorder([("w", torch.nn.Parameter(torch.zeros(3)))], total_steps=10, run_id=sys.argv[1])
print("recording", flush=True)
time.sleep(60)
"""


@pytest.fixture
def experiment(store):
    return store.get_experiment_by_name("study").experiment_id


def invoked(*arguments):
    return CliRunner().invoke(cli, ["doctor", "study", *arguments])


def test_a_killed_program_is_found_and_its_run_closed(store, experiment):
    run_id = store.create_run(experiment).info.run_id
    with subprocess.Popen([sys.executable, "-c", RECORDS, run_id], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "recording\n"
        assert orphans(store, experiment) == []
        assert invoked().exit_code == 0
        child.send_signal(signal.SIGKILL)
    found = invoked()
    assert found.output.startswith(f"run {run_id}")
    assert isinstance(found.exception, ThermoError)
    assert "--fix closes them" in str(found.exception)
    assert store.get_run(run_id).info.status == "RUNNING"
    found = invoked("--fix")
    assert (found.exit_code, "closed as KILLED" in found.output) == (0, True)
    assert store.get_run(run_id).info.status == "KILLED"


def test_the_next_command_closes_it(store, experiment, caplog):
    run_id = store.create_run(experiment, run_name="lost").info.run_id
    dead = Sign.of_this_process(beats=False)
    store.set_tag(run_id, schema.TAG_ALIVE, str(Sign(dead.host, 2**22 + 1, 0, 0)))
    mine = open_run("study", "next", schema.KIND_TRAIN, {})
    assert store.get_run(run_id).info.status == "KILLED"
    assert store.get_run(mine).info.status == "RUNNING"
    assert f"run {run_id} (lost) said RUNNING, but its program on this machine has ended" in caplog.text


@pytest.mark.parametrize(
    ("sign", "gone"),
    [
        ("elsewhere/pid:[1] 7 8 {old}", True),
        ("elsewhere/pid:[1] 7 8 {new}", False),
        # A program that never gives a sign, elsewhere: nobody can tell.
        ("elsewhere/pid:[1] 7 8 0", False),
        ("no sign at all", False),
        ("", False),
    ],
)
def test_programs_elsewhere(store, experiment, sign, gone):
    run_id = store.create_run(experiment).info.run_id
    store.set_tag(run_id, schema.TAG_ALIVE, sign.format(old=int(time.time() - 7200), new=int(time.time() - 60)))
    found = orphans(store, experiment)
    assert bool(found) == gone
    assert not gone or "no sign for 120 minutes" in found[0].why


def test_runs_of_other_tools_and_runs_that_ended_are_left_alone(store, experiment):
    store.create_run(experiment)
    ended = store.create_run(experiment).info.run_id
    store.set_tag(ended, schema.TAG_ALIVE, "elsewhere 7 8 9")
    store.set_terminated(ended)
    assert orphans(store, experiment) == []


def test_a_number_that_another_process_has_by_now():
    mine = Sign.of_this_process(beats=True)
    assert Sign.read(str(mine)) == mine
    assert mine.pid == os.getpid()
    assert mine.gone(time.time() + 1e6) == ""
    if mine.started:
        assert "has ended" in Sign(mine.host, mine.pid, mine.started - 1, mine.at).gone(time.time())
