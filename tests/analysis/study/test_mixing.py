"""Runs that differ in more than learning rate and seed are not mixed without a word."""

import numpy as np
import pytest

from analysis.results import MIXED, OK
from analysis.study import analyze
from analysis.study.mixing import differences
from analysis.tracking import from_folder, from_tracking
from analysis.trajectory import Trajectory

LRS = tuple(np.geomspace(0.02, 0.5, 5))


def tracked(study, store, params):
    """A study on a server, in which the i-th run has also logged `params(i)`."""
    experiment = store.get_experiment_by_name("study").experiment_id
    for i, lr in enumerate(LRS):
        run_id = study.log_run(store, experiment, study.write_run(f"run{i}", lr), lr, seed=i)
        for name, value in params(i).items():
            store.log_param(run_id, name, value)
    return analyze(from_tracking("study"))


def test_batch_sizes_that_differ_are_named_and_no_temperature_is_ok(study, store):
    result = tracked(study, store, lambda i: {"batch_size": 128 if i < 2 else 64, "dataset": "digits"})
    assert "the runs differ in batch_size: 64 in 3 runs, 128 in 2" in result.notes
    assert not any("dataset" in note for note in result.notes)
    warm = [run for run in result.runs if run.temperature is not None]
    assert len(warm) == 5
    assert {run.status for run in warm} & {OK} == set()
    assert MIXED in {run.status for run in warm}
    tentative = next(run for run in warm if run.status == MIXED)
    assert tentative.temperature.status == MIXED
    assert "--sweep or --filter" in tentative.note


def run(params):
    return Trajectory(np.arange(1, 3), np.zeros((2, 3)), np.zeros(2), params=params)


def test_what_does_not_enter_the_state_is_a_note_only():
    runs = [run({"logger": "a" if i < 4 else "b"}) for i in range(5)]
    assert differences(runs) == (["the runs differ in logger: a in 4 runs, b in 1"], False)
    many = [run({"width": str(i // 2)}) for i in range(12)]
    assert differences(many) == (["the runs differ in width: 0 in 2 runs, 1 in 2, 2 in 2, 3 in 2, 2 more values"], True)


@pytest.mark.parametrize(
    "params",
    [
        # Written in two ways; lengths, machines and seeds; a name for every run; logged by some only; no number.
        lambda i: {"weight_decay": ["0.1", "1e-1"][i % 2]},
        lambda i: {
            "steps": str(i % 2),
            "device": "cuda" if i else "cpu",
            "init_seed": str(i % 2),
            "chains": str(i % 2),
        },
        lambda i: {"wait": str(60 * (i % 2)), "work_dir": f"folder {i % 2}", "checkpoint_every": str(i % 2)},
        lambda i: {"label": f"run {i}"},
        lambda i: {"momentum": "0.9"} if i else {},
        lambda i: {"momentum": "nan"},
    ],
)
def test_what_may_differ_is_not_mentioned(params):
    assert differences([run(params(i)) for i in range(5)]) == ([], False)


def test_folders_say_what_they_know(study):
    for i, lr in enumerate(LRS):
        study.write_run(f"run{i}", lr, attributes={"batch_size": 64 << (i > 2), "uniform_loss": 0.1 * i})
    result = analyze(from_folder(study.root))
    assert [note for note in result.notes if "differ" in note] == [
        "the runs differ in batch_size: 64 in 3 runs, 128 in 2"
    ]
    assert MIXED in {run.status for run in result.runs}
