"""A training that was recorded several times counts once."""

import json
import shutil

import numpy as np
import pytest

from analysis.report import text_table
from analysis.results import DUPLICATE_RUN, StudyResult, run_row
from analysis.study import analyze
from analysis.tracking import from_folder, from_tracking
from mlflow_thermo import schema

LRS = tuple(np.geomspace(0.02, 0.5, 4))


def experiment_id(client):
    return client.get_experiment_by_name("study").experiment_id


def same_numbers(found, expected):
    """The runs that count, and the law, are those of the study without copies."""
    counted = [run_row(run) for run in found.runs if run.status != DUPLICATE_RUN]
    rows = [run_row(run) for run in expected.runs]
    names = ["lr", "loss", "temperature", "temperature_lower", "temperature_upper", "status"]
    assert [[row[name] for name in names] for row in counted] == [[row[name] for name in names] for row in rows]
    assert found.power_law == expected.power_law


def test_a_study_that_was_recorded_three_times_weighs_as_much_as_once(study):
    folders = [study.write_run(f"run{i}", lr, seed=1) for i, lr in enumerate(LRS)]
    once = analyze(from_folder(study.root))
    for folder in folders:
        for copy in range(2):
            shutil.copytree(folder, study.root / f"{folder.name}-{copy}")
    result = analyze(from_folder(study.root))
    same_numbers(result, once)
    assert sum(run.status == DUPLICATE_RUN for run in result.runs) == 8
    assert [note for note in result.notes if "recorded again" in note] == [
        "8 of 12 runs are left out as the training of another recorded again, which counts once; kept are run0, run1, "
        "run2, run3"
    ]
    copy = next(run for run in result.runs if run.run_id == "run3-1")
    assert copy.note == "run run3-1 is the training of run run3 recorded again, which counts once"
    assert (copy.temperature, copy.entropy, copy.regime) == (None, None, "")
    assert StudyResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    assert "duplicate-run" in text_table(result)


def test_a_repeated_sweep_on_a_server_counts_once(study, store):
    where = experiment_id(store)
    runs = [study.log_run(store, where, study.write_run(f"a{i}", lr), lr) for i, lr in enumerate(LRS)]
    # Repeated with other bits, as a card gives them, and once cut off: every parameter is the same, the seed too.
    runs += [study.log_run(store, where, study.write_run(f"b{i}", lr), lr) for i, lr in enumerate(LRS)]
    # Another seed, or a seed of another kind, makes another training.
    for name, value in (("seed", 1), ("data_seed", 1)):
        again = study.log_run(store, where, study.write_run(name, LRS[0]), LRS[0], seed=value if name == "seed" else 0)
        store.log_param(again, name, value)
    cut = study.root / "cut"
    study.write_series(cut, LRS[0], *study.samples(LRS[0], 200), complete=False)
    study.log_run(store, where, cut, LRS[0], status="KILLED")
    result = analyze(from_tracking("study"))
    assert sum(run.entropy is not None for run in result.runs) == 6
    out = [run.run_id for run in result.runs if run.status == DUPLICATE_RUN]
    assert len(out) == 4
    assert set(out) < set(runs)
    (note,) = [note for note in result.notes if "recorded again" in note]
    assert note.startswith("4 of 11 runs are left out")


def test_of_two_lengths_the_longer_recording_is_kept(study):
    for i, lr in enumerate(LRS):
        study.write_run(f"run{i}", lr)
    weights, loss = study.samples(LRS[2], 900)
    study.write_series(study.root / "short", LRS[2], weights[:500], loss[:500])
    study.write_series(study.root / "long", LRS[2], weights, loss)
    result = analyze(from_folder(study.root))
    left_out = [run.run_id for run in result.runs if run.status == DUPLICATE_RUN]
    assert left_out == ["short"]
    assert "kept is long" in " ".join(result.notes)


@pytest.mark.parametrize("seeds", [(0, 1), (None, None)])
def test_seeds_and_runs_that_do_not_name_one_are_not_copies(study, seeds):
    for i, lr in enumerate(LRS):
        for k, seed in enumerate(seeds):
            study.write_run(f"run{i}-{k}", lr, seed=seed)
    result = analyze(from_folder(study.root))
    assert DUPLICATE_RUN not in {run.status for run in result.runs}
    assert sum(run.entropy is not None for run in result.runs) == 8
    assert not any("recorded again" in note for note in result.notes)


def test_a_resumed_digest_is_no_identity_of_an_empty_run(study, store):
    """Runs without snapshots have no bits in common."""
    where = experiment_id(store)
    for i, lr in enumerate(LRS):
        study.log_run(store, where, study.write_run(f"a{i}", lr), lr, seed=i)
    for seed in (7, 7):
        study.log_run(store, where, None, LRS[0], seed=seed, tags={schema.TAG_REGIME: schema.DIVERGED})
    assert DUPLICATE_RUN not in {run.status for run in analyze(from_tracking("study")).runs}
