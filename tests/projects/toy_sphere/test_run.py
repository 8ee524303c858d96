"""The program of the sphere toy against a real store: runs, metrics by step, artifacts, and errors in one line."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analysis.tracking import SourceError, from_tracking
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from projects.toy_sphere.run import main

ROOT = Path(__file__).parents[3]
LRS = [0.01, 0.03, 0.1, 0.3, 1.5]


@pytest.fixture
def ran(store, tmp_path):
    """The store after a small run of the program, and its folder."""
    arguments = ["--lrs", ",".join(map(str, LRS)), "--steps", "1000", "--chains", "10", "--out", str(tmp_path / "toy")]
    main.main(arguments, standalone_mode=False)
    return store, tmp_path / "toy"


def runs_of(store):
    experiment = store.get_experiment_by_name("study").experiment_id
    found = store.search_runs([experiment], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_TOY}'", max_results=1000)
    own = [run for run in found if "data" not in run.data.params]
    return own, [run for run in found if "data" in run.data.params]


def test_what_it_leaves_behind(ran):
    store, folder = ran
    check_runs(store)
    check_tables_and_figures(store, folder)


def check_runs(store):
    own, runs = runs_of(store)
    assert len(own) == 1
    assert {run.info.status for run in own + runs} == {"FINISHED"}
    # An analysis of the newest sweep must not take the toy for it.
    assert all(schema.TAG_SWEEP not in run.data.tags for run in own + runs)
    assert sorted((run.data.params["data"], float(run.data.params["lr"])) for run in runs) == sorted(
        (data, lr) for data in ("op", "up") for lr in LRS
    )
    for run in runs:
        metrics, lr = run.data.metrics, float(run.data.params["lr"])
        assert (run.data.params["steps"], run.data.params["seed"]) == ("1000", "0")
        assert metrics[schema.METRIC_LR] == pytest.approx(lr)
        assert metrics[schema.METRIC_LOG10_LR] == pytest.approx(np.log10(lr))
        assert np.isfinite(metrics[schema.METRIC_LOSS])
        converged = run.data.params["data"] == "op" and lr in (0.1, 0.3)
        if converged:
            assert run.data.tags[schema.TAG_REGIME] == schema.CONVERGING
            assert metrics[schema.METRIC_TEMPERATURE] == 0
    course = store.get_metric_history(runs[0].info.run_id, schema.METRIC_TRAIN_LOSS)
    steps = [point.step for point in course]
    assert len(set(steps)) == len(steps) > 15
    assert max(steps) == 999
    for name in (schema.METRIC_GRADIENT_NORM, schema.METRIC_MINIBATCH_NORM, schema.METRIC_SNR):
        assert name in runs[0].data.metrics
    # Nor does it take the toy for a study where there is no sweep at all.
    with pytest.raises(SourceError, match="no training runs"):
        from_tracking("study")


def check_tables_and_figures(store, folder):
    own, _ = runs_of(store)
    kept = {file.path for file in store.list_artifacts(own[0].info.run_id)}
    assert {"toy.csv", "toy.json", "decay.csv", "figures"} <= kept
    figures = store.list_artifacts(own[0].info.run_id, "figures")
    assert {Path(file.path).stem for file in figures} >= {"sphere", "loss", "snr", "norms", "entropy", "temperature"}
    assert all(file.file_size > 10_000 for file in figures)
    with (folder / "toy.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 2 * len(LRS)
    # Strict: NaN and infinity are no JSON.
    content = json.loads((folder / "toy.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert content["facts"]["decay_slope_fixed_elr_d10"] == pytest.approx(-4.5, rel=0.02)
    assert content["facts"]["decay_slope_fixed_lr_d3"] == pytest.approx(-0.5, rel=0.02)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--lrs", "x"), ("--lrs", "0:1:3"), ("--lrs", "1e-3:10:0"), ("--lrs", "nan"), ("--lrs", ""),
        ("--steps", "999"), ("--steps", "nan"), ("--steps", "inf"), ("--chains", "0"), ("--seed", "-1"),
    ],
)  # fmt: skip
def test_bad_input(store, option, value):
    with pytest.raises(ThermoError, match=option[2:]):
        main.main([option, value], standalone_mode=False)
    assert runs_of(store) == ([], [])


def test_an_error_is_one_line_and_exit_status_1(store, tmp_path):
    command = [sys.executable, "-m", "projects.toy_sphere.run", "--chains", "0"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 1
    assert shown.stderr.strip().splitlines() == ["error: chains must be a whole number of at least 10, got '0'"]
