"""The paper's programme: what it trains, what it needs, where it goes on, and its report with holes in it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.tracking import RunRecord
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from projects.fixed_lr.presets import PRESETS
from projects.paper.claims import VERDICTS
from projects.paper.needs import require
from projects.paper.plan import FULL, LAPTOP, OVER, SUBSET, UNDER, Study, make_plan
from projects.paper.run import given_options
from projects.paper.studies import usable_runs
from projects.paper.training import done_runs
from tests.projects.fixed_lr.test_data import write_miniature

ROOT = Path(__file__).parents[3]


class TestPlan:
    def test_laptop_has_both_kinds_and_the_subset_sizes(self):
        plan = make_plan(LAPTOP, {})
        roles = [study.role for study in plan.studies]
        assert (roles.count(UNDER), roles.count(OVER)) == (2, 2)
        assert roles.count(SUBSET) >= 3
        assert all(
            len(study.seeds) == 3 for study in plan.studies if study.setting == "digits" and study.role != SUBSET
        )

    def test_full_has_the_eight_settings(self):
        plan = make_plan(FULL, {})
        eight = [study for study in plan.studies if study.role != SUBSET]
        assert {study.name for study in eight} == {name for name in PRESETS if "cifar" in name}
        assert len({study.setting for study in eight}) == 4
        assert set(plan.published) == {study.name for study in eight}
        # 22 to 30 learning rates, as published.
        assert all(22 <= len(study.lrs) <= 30 for study in eight)

    def test_what_the_user_gives_goes_first(self):
        plan = make_plan(LAPTOP, {"steps": 10}, "0.1,0.2", "7")
        assert {study.options["steps"] for study in plan.studies} == {10}
        assert all(study.lrs == (0.1, 0.2) and study.seeds == (7,) for study in plan.studies)

    def test_the_key_knows_the_parameters_but_not_the_grid(self):
        """More learning rates go on with the same study; other parameters begin another."""
        study = make_plan(LAPTOP, {}).studies[0]
        assert replace(study, lrs=(1.0,)).key(LAPTOP) == study.key(LAPTOP)
        assert replace(study, options={**study.options, "steps": 1}).key(LAPTOP) != study.key(LAPTOP)

    def test_unknown_scale(self):
        with pytest.raises(ThermoError, match="scale 'x' is unknown: choose one of laptop, full"):
            make_plan("x", {})


class TestNeeds:
    def test_laptop_needs_nothing(self):
        require(make_plan(LAPTOP, {}), {})

    def test_everything_that_is_missing_is_named_at_once(self, tmp_path, monkeypatch):
        monkeypatch.setattr("projects.paper.needs._has_gpu", lambda: False)
        given = {"data_folder": str(tmp_path)}
        with pytest.raises(ThermoError, match=r"cifar10 in .*cifar100 in .*a GPU") as caught:
            require(make_plan(FULL, given), given)
        assert "\n" not in str(caught.value)
        write_miniature(tmp_path)
        with pytest.raises(ThermoError, match="scale=full needs a GPU"):
            require(make_plan(FULL, given), given)
        require(make_plan(FULL, given), {**given, "device": "cpu"})

    def test_the_command_says_so_in_one_line_within_seconds(self, tmp_path):
        begin = time.monotonic()
        command = [sys.executable, "-m", "projects.paper.run", "--scale", "full", "--data_folder", str(tmp_path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        # 0.2 s alone on the machine that this was written on.
        assert time.monotonic() - begin < 20
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1
        assert done.stderr.startswith("error: scale=full needs cifar10")


def test_given_options():
    assert given_options(["--steps", "10", "--width=2", "--lrs="]) == {"steps": "10", "width": "2"}
    for words in (["steps"], ["--steps"], ["x", "y"]):
        with pytest.raises(ThermoError, match="write --name value"):
            given_options(words)


def record(lr, seed, ended="FINISHED", regime=""):
    return RunRecord(f"{lr}-{seed}-{ended}", lr, seed, ended, regime, None, None, folder=lambda: None)


def test_holes_are_named_and_a_run_that_was_trained_again_counts_once():
    study = Study("s", "x", UNDER, {}, (0.1, 0.2, 0.3), (0, 1))
    records = [
        record(0.1, 0, "FAILED"), record(0.1, 0), record(0.1, 1), record(0.2, 0, "FAILED", schema.DIVERGED),
        record(0.2, 1, "KILLED"), record(0.3, 0), record(0.7, 0),
    ]  # fmt: skip
    kept, holes = usable_runs(study, records)
    assert [(r.lr, r.seed, r.ended) for r in kept if r.lr == 0.1] == [(0.1, 0, "FINISHED"), (0.1, 1, "FINISHED")]
    assert all(r.lr != 0.7 for r in kept)
    assert holes == ["s lr=0.3 seed=1: not trained", "s lr=0.2 seed=0: diverged", "s lr=0.2 seed=1: killed"]


def test_only_finished_or_diverged_runs_are_done(store):
    experiment = store.get_experiment_by_name("study").experiment_id

    def log(lr, status, **tags):
        run = store.create_run(experiment, tags={schema.TAG_SWEEP: "key", **tags})
        store.log_metric(run.info.run_id, schema.METRIC_LR, lr)
        store.log_param(run.info.run_id, "seed", 0)
        store.set_terminated(run.info.run_id, status)

    whole = {schema.TAG_SNAPSHOTS: schema.SNAPSHOTS_COMPLETE}
    log(0.1, "FINISHED", **whole)
    log(0.2, "FINISHED", **{schema.TAG_SNAPSHOTS: schema.SNAPSHOTS_PARTIAL})
    log(0.3, "KILLED", **whole)
    log(0.4, "FAILED", **{schema.TAG_REGIME: schema.DIVERGED})
    log(0.5, "FAILED")
    assert set(done_runs(store, experiment, "key")) == {(0.1, 0), (0.4, 0)}


QUICK = ("--log_points", "3", "--noise_batches", "2", "--jobs", "2")


def paper(store, folder, *arguments):
    """The program in a process of its own, as a user starts it; the store is the test's."""
    command = [sys.executable, "-m", "projects.paper.run", "--experiment", "study", *QUICK, *arguments]
    environment = {"MLFLOW_TRACKING_URI": store.tracking_uri, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600
    )


@pytest.mark.slow
def test_full_scale_end_to_end_on_a_miniature(store, tmp_path):
    """All eight settings for a few steps, each with its own architecture, on files in CIFAR's format."""
    write_miniature(tmp_path / "data", n=20)
    done = paper(
        store, tmp_path, "--scale", "full", "--device", "cpu", "--width", "2", "--steps", "4", "--lrs", "1e-2",
        "--batch_size", "20", "--snapshots", "4", "--bursts", "0",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    runs = store.search_runs(["1"], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_TRAIN}'")
    assert {run.data.params["preset"] for run in runs} == {name for name in PRESETS if "cifar" in name}
    assert {run.info.status for run in runs} == {"FINISHED"}
    content = json.loads((tmp_path / "thermo-paper" / "claims.json").read_text())
    assert len(content["claims"]) == 4 * 8
    assert {claim["verdict"] for claim in content["claims"]} == {"cannot tell"}
    # One learning rate is no study, and the subsets are larger than the miniature: both are said.
    assert any("at least 3 learning rates" in hole for hole in content["holes"])
    assert any("samples_per_label=500 is more than" in hole for hole in content["holes"])
    rows = {row["name"]: row for row in content["exponents"]}
    assert rows["op-convnet-cifar10"]["published_exponent"] == "0.86"
    assert "not the published one" in done.stderr
    # Estimates come before the training.
    assert done.stderr.index("op-resnet-cifar100: 1 runs of 4 steps, d = ") < done.stderr.index("[1/11]")


@pytest.mark.slow
def test_laptop_scale_reports_with_holes_and_goes_on_where_it_stopped(store, tmp_path):
    arguments = ("--scale", "laptop", "--steps", "120", "--seeds", "0", "--snapshots", "40", "--burst_size", "12",
                 "--bursts", "4", "--width", "1")  # fmt: skip
    first = paper(store, tmp_path, *arguments, "--lrs", "1e-3,1e-2,0.1", "--toy", "1e-2,0.03,0.1")
    assert first.returncode == 0, first.stderr[-2000:]
    content = json.loads((tmp_path / "thermo-paper" / "claims.json").read_text())
    assert [claim["number"] for claim in content["claims"]] == [*range(1, 9)] * 2
    assert {claim["verdict"] for claim in content["claims"]} <= set(VERDICTS)
    assert len(content["toy"]) >= 5
    report = (tmp_path / "thermo-paper" / "paper.html").read_text()
    assert "The sphere toy" in report
    assert len(list((tmp_path / "thermo-paper" / "figures").glob("*.png"))) > 10
    own = store.search_runs(["1"], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_PAPER}'")
    assert {file.path for file in store.list_artifacts(own[0].info.run_id)} >= {"paper.html", "claims.json", "figures"}
    assert sum(own[0].data.metrics[f"thermo/claims_{v.replace(' ', '_')}"] for v in VERDICTS) == 16

    # A run is lost, and a learning rate is added: only those are trained.
    def trained():
        return store.search_runs(["1"], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_TRAIN}'", max_results=1000)

    before = {run.info.run_id for run in trained()}
    lost = next(run for run in trained() if run.data.tags[schema.TAG_SWEEP].startswith("paper-laptop-digits-up"))
    store.delete_run(lost.info.run_id)
    second = paper(store, tmp_path, *arguments, "--lrs", "1e-3,1e-2,0.1,0.3", "--toy", "none")
    assert second.returncode == 0, second.stderr[-2000:]
    assert "digits-up: 2 of 4 runs were there already" in second.stderr
    fresh = [run for run in trained() if run.info.run_id not in before]
    assert len(fresh) == 7 + 1  # the new learning rate in each of seven studies, and the lost run
