"""Programs that are killed outright, and resumed: what they leave is what an uninterrupted one leaves, once."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.faults import RUN, SWEEP, Place, content_of, differences, until_it_ends
from mlflow_thermo import schema
from projects.fixed_lr import batched, train

ROOT = Path(__file__).parents[3]
TINY = {
    "preset": "digits", "steps": 300, "chains": 2, "log_points": 3, "noise_batches": 2, "snapshots": 40,
    "bursts": 2, "burst_size": 5, "full_gradients": 10, "checkpoint_every": 1e-6,
}  # fmt: skip


@pytest.fixture
def program(store, monkeypatch, capsys):
    """Runs a program in this process; returns exit status, stdout and the error."""

    def run(command, **options):
        arguments = [f"--{name}={value}" for name, value in options.items()]
        monkeypatch.setattr("sys.argv", ["program", "--experiment=study", *arguments])
        before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
        try:
            train.entry(command)
            code = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            torch.set_num_threads(1)
            for number, handler in before.items():
                signal.signal(number, handler)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def killed(store, module, folder, **options):
    """Start a program in a process of its own, and kill it a moment after it has begun to train."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    environment = {"MLFLOW_TRACKING_URI": store.tracking_uri, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", module, "--experiment=study", *arguments],
        cwd=folder, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        # The first chunk of a series is on disk: it trains.
        while not [*folder.glob(".thermo/*/thermo/bursts/weights-*.safetensors")]:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(random.uniform(0.0, 0.2))
        process.kill()


def newest(store, n=1):
    experiment = store.get_experiment_by_name("study").experiment_id
    return [run.info.run_id for run in store.search_runs([experiment])][:n]


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on(program, store, tmp_path):
    killed(store, "projects.fixed_lr.train", tmp_path, lr=0.1, **{**TINY, "steps": 600})
    (run_id,) = newest(store)
    code, out, err = program(train.main, resume=run_id, summary="false")
    assert (code, err) == (0, "")
    assert f"run       {run_id}" in out
    # Killed before its first word to the server, a run begins where it goes on.
    whole = store.create_run(store.get_experiment_by_name("study").experiment_id).info.run_id
    code, _, _ = program(train.main, resume=whole, lr=0.1, summary="false", **{**TINY, "steps": 600})
    assert code == 0
    assert store.get_run(whole).data.tags[schema.TAG_KIND] == schema.KIND_TRAIN
    assert differences(content_of(store, whole), content_of(store, run_id)) == []
    assert not [*tmp_path.glob(".thermo/*")]
    assert program(train.main, resume=run_id)[2] == f"error: run {run_id} is finished: there is nothing to resume\n"


@pytest.mark.slow
def test_a_stack_that_is_killed_goes_on(program, store, tmp_path):
    options = {**TINY, "steps": 600, "lrs": "0.2,0.1", "compile": "never"}
    killed(store, "projects.fixed_lr.batched", tmp_path, **options)
    second, first = newest(store, 2)
    code, _, err = program(batched.main, resume=first)
    assert (code, err) == (0, "")
    code, _, _ = program(batched.main, **options)
    assert code == 0
    others = newest(store, 2)
    for whole, again in zip(others, (second, first), strict=True):
        assert differences(content_of(store, whole), content_of(store, again)) == []
    assert not [*tmp_path.glob(".thermo/*")]


def test_a_run_that_is_told_to_stop_goes_on(program, store, tmp_path, monkeypatch):
    """Between two steps, whatever else it is told; and nothing but the run's own parameters go on with it."""
    asked = []
    # Who started the tests may have had it ignored.
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def due(self):
        asked.append(1)
        if len(asked) == 200:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
        return len(asked) == 1

    with monkeypatch.context() as patched:
        patched.setattr("projects.fixed_lr.checkpoint.Checkpoints.due", property(due))
        code, _, err = program(train.main, lr=0.1, summary="false", **TINY)
    signal.signal(signal.SIGHUP, hang_up)
    (run_id,) = newest(store)
    assert code == 1
    assert err.endswith(
        f"error: run {run_id} was ended: stopped by signal {signal.SIGHUP.value}; go on with mlflow run . -P lr=0.1 "
        f"-P resume={run_id}\n"
    )
    run = store.get_run(run_id)
    assert (run.info.status, run.data.tags[schema.TAG_SNAPSHOTS]) == ("KILLED", schema.SNAPSHOTS_PARTIAL)
    assert "has width=10, but width=4 was given" in program(train.main, resume=run_id, width=4)[2]
    assert f"did you mean {run_id}?" in program(train.main, resume=run_id + "0")[2]
    assert f"has {run_id}" in program(train.main, resume="nothing")[2]
    assert "has no checkpoint in" in program(train.main, resume=run_id, work_dir=tmp_path / "other")[2]
    assert store.get_run(run_id).info.status == "KILLED"
    assert program(train.main, resume=run_id, summary="false")[0] == 0
    run = store.get_run(run_id)
    assert (run.info.status, run.data.tags[schema.TAG_SNAPSHOTS]) == ("FINISHED", schema.SNAPSHOTS_COMPLETE)
    steps = [point.step for point in store.get_metric_history(run_id, schema.METRIC_TRAIN_LOSS)]
    assert steps == sorted(set(steps))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "grid", "ways"),
    [
        (
            RUN,
            {"lr": 0.1, "storage": "isometric", "preset": "digits-up", "sampling": "epochs", "chains": 1},
            ["itself"],
        ),
        (RUN, {"lr": 0.1, "until": 60, "max_steps": 4000}, ["itself"]),
        (SWEEP, {"lrs": "0.1,0.2", "engine": "process"}, ["itself", "its child", "both"]),
        (SWEEP, {"lrs": "0.1,0.2", "engine": "batched"}, ["itself", "its child", "both"]),
    ],
    ids=["isometric", "until", "process", "batched"],
)
def test_killed_again_and_again(tmp_path, monkeypatch, module, grid, ways):
    monkeypatch.setattr("benchmarks.faults.KILLS_EACH", 4)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    place, options = Place(tmp_path), {**TINY, "steps": 2000, **grid}
    place.start(module, **options).communicate(timeout=600)
    known = {run.info.run_id for run in place.runs()} | {run.data.tags.get(schema.TAG_SWEEP) for run in place.runs()}
    whole = {run.data.params["lr"]: content_of(place.client, run.info.run_id) for run in place.runs() if _trains(run)}
    name, _ = until_it_ends(place, module, random.Random(), ways, options, known)
    there = {"0.1": name} if module == RUN else place.trained(name)
    for lr, content in whole.items():
        assert differences(content, content_of(place.client, there[lr])) == []
    assert "RUNNING" not in {run.info.status for run in place.runs()}


def _trains(run):
    return run.data.tags.get(schema.TAG_KIND) == schema.KIND_TRAIN
