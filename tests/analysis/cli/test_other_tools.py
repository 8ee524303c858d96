"""Experiments that also hold what other tools have written, and runs that were cut short."""

import json

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from mlflow_thermo import schema


def autologged(store, where):
    """Runs of scikit-learn's autologging: a fit with its model, and a search with its children."""
    from sklearn.linear_model import Ridge, SGDClassifier
    from sklearn.model_selection import GridSearchCV

    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    mlflow.sklearn.autolog(log_datasets=False, silent=True, log_models=False)
    try:
        Ridge().fit(x, x @ [1.0, 2.0, 3.0])
        GridSearchCV(SGDClassifier(random_state=0), {"alpha": [1e-4, 1e-3]}, cv=2).fit(x, x[:, 0] > 0)
    finally:
        mlflow.sklearn.autolog(disable=True)


def nested(store, where):
    with mlflow.start_run(run_name="tuning"):
        for lr in ("0.1", "0,2", "fast"):
            with mlflow.start_run(run_name="trial", nested=True):
                mlflow.log_param("lr", lr)
                mlflow.log_metric("loss", 1.0)


def models_and_traces(store, where):
    store.create_registered_model("model")
    with mlflow.start_run(run_name="with a trace"), mlflow.start_span("span"):
        mlflow.log_text("text", "file.txt")


def unfinished(store, where):
    store.create_run(where, run_name="left running")
    store.set_terminated(store.create_run(where, run_name="failed").info.run_id, "FAILED")


KINDS = {"autologged": autologged, "nested": nested, "models": models_and_traces, "unfinished": unfinished}


@pytest.fixture
def all_runs(study, store):
    """The study, not as a sweep: every run of the experiment is meant."""
    where = store.get_experiment_by_name("study").experiment_id
    for folder, lr in zip(study.write_all(), study.lrs, strict=True):
        study.log_run(store, where, folder, lr)
    return where


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [pytest.param(one, marks=[pytest.mark.slow] * (one != "nested")) for one in KINDS])
def test_runs_of_other_tools(all_runs, store: MlflowClient, command, tmp_path, kind):
    """In one line however many they are; nothing of them is read, and nothing is written to them."""
    alone = command("doctor", "study")
    KINDS[kind](store, all_runs)
    runs = {run.info.run_id: run for run in store.search_runs([all_runs])}
    theirs = [run_id for run_id, run in runs.items() if schema.TAG_KIND not in run.data.tags]
    assert theirs
    code, out, err = command("analyze", "study", "--out", tmp_path / "out")
    assert code == 0, err
    assert "9 runs (9 stationary)" in out
    (said,) = [line for line in err.splitlines() if "other tool" in line or "another tool" in line]
    assert said.startswith(f"note: {len(theirs)} run")
    assert not any(run_id in err for run_id in theirs)
    assert len(json.loads((tmp_path / "out" / "result.json").read_text())["runs"]) == 9
    for run_id in theirs:
        after = store.get_run(run_id).data
        assert (after.tags, after.metrics) == (runs[run_id].data.tags, runs[run_id].data.metrics)
    code, out, err = command("doctor", "study")
    named = [line for line in out.splitlines() if line.endswith("of another tool, left out")]
    assert sorted(line.split()[1] for line in named) == sorted(theirs)
    # Of the study it says the same as before.
    rest = "".join(f"{line}\n" for line in out.splitlines() if line not in named)
    assert (code, rest, err) == alone


def test_an_experiment_of_other_tools_alone(store, command):
    where = store.get_experiment_by_name("study").experiment_id
    nested(store, where)
    code, _, err = command("analyze", "study")
    assert code == 1
    assert "holds no training runs, its 4 runs are those of other tools: record weights with a SnapshotRecorder" in err
    assert err.count("\n") == 1


def test_many_of_them_in_doctor(all_runs, store, command):
    for i in range(13):
        store.create_run(all_runs, run_name=f"other {i}")
    _, out, _ = command("doctor", "study")
    assert out.count("of another tool, left out") == 10
    assert "3 more runs of other tools, left out" in out


@pytest.mark.parametrize("status", [pytest.param("KILLED", marks=pytest.mark.slow), "FAILED", "RUNNING"])
def test_runs_that_were_cut_short(all_runs, study, store, command, tmp_path, status):
    """They are named, and the study of the others is sound: exit status 0."""
    weights, loss = study.samples(0.2)
    half = study.write_series(study.root / "half", 0.2, weights[:100], loss[:100], complete=False).parent
    cut = study.log_run(store, all_runs, half, 0.2, status=status)
    nothing = study.log_run(store, all_runs, None, 0.3, status=status)
    code, out, err = command("analyze", "study", "--out", tmp_path / "out")
    assert code == 0, err
    assert "11 runs (9 stationary)" in out
    by_id = {run["run_id"]: run for run in json.loads((tmp_path / "out" / "result.json").read_text())["runs"]}
    assert {by_id[run_id]["status"] for run_id in (cut, nothing)} == {"incomplete"}
    code, out, err = command("doctor", "study")
    for run_id in (cut, nothing):
        assert (f"run {run_id} (lr=" in out) == (status != "RUNNING")
    assert (", 2 still running" in out) == (status == "RUNNING" and code == 0)
    assert code == 0 or "of 11 runs" in err
