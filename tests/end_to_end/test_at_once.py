"""Several commands at once on one experiment and one folder."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlflow_thermo import schema

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
SHORT = {"preset": "digits-up", "log_points": 2, "noise_batches": 2, "width": 1, "jobs": 1, "experiment": "study"}


def start(module, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments], env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(process):
    out, err = process.communicate(timeout=600)
    assert "Traceback" not in err
    return process.returncode, out, err


def sweep(**options):
    return start("projects.fixed_lr.sweep", *(f"--{name}={value}" for name, value in {**SHORT, **options}.items()))


def analyze(*options):
    return start("analysis.cli", "analyze", "--experiment", "study", "--out", "report", "--jobs", "1", *options)


def analyses(store):
    where = store.get_experiment_by_name("study").experiment_id
    return store.search_runs([where], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_ANALYSIS}'")


def estimator_of(folder):
    return json.loads((folder / "result.json").read_text())["estimator"]["name"]


@pytest.fixture
def trained(store):
    code, _, err = ended(sweep(lrs="1e-3:1e-1:4", steps=400))
    assert code == 0, err
    return store


def test_two_analyses_into_one_folder_and_one_experiment(trained, tmp_path):
    """At first, and where there is an analysis to be replaced: a whole report, on one run, with its own numbers."""
    for round_number in range(2):
        kinds = ("oas", "ledoit-wolf")
        both = [analyze("--entropy", kind, "--no-cache") for kind in kinds]
        said = [ended(one) for one in both]
        assert [code for code, _, _ in said] == [0, 0], said
        (found,) = analyses(trained)
        assert found.info.status == "FINISHED"
        for _, out, _ in said:
            assert f"analysis run {found.info.run_id}" in out
        kept = tmp_path / f"kept{round_number}"
        kept.mkdir()
        trained.download_artifacts(found.info.run_id, "", str(kept))
        names = {estimator_of(kept), estimator_of(tmp_path / "report")}
        assert names <= set(kinds)
        for folder in (kept, tmp_path / "report"):
            page = (folder / "report.html").read_text()
            assert f"S: entropy by {estimator_of(folder)}" in page
        # Nothing of either is left lying about.
        assert [path.name for path in (tmp_path / "report").iterdir() if path.name.startswith(".thermo-")] == [
            ".thermo-study.json"
        ]
    runs = trained.search_runs([found.info.experiment_id], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_TRAIN}'")
    for run in runs:
        # The numbers on the runs are those of the analysis that came last, whose report is on its run.
        raw = json.loads((kept / "result.json").read_text())["runs"]
        entropy = next(one["entropy"] for one in raw if one["run_id"] == run.info.run_id)
        assert run.data.metrics[schema.METRIC_ENTROPY] == pytest.approx(entropy, rel=1e-12)


def test_an_analysis_while_a_sweep_is_running(trained, tmp_path):
    """Runs that go on are named incomplete; the others are analysed; afterwards all are."""
    store = trained
    every = ("--entropy", "oas", "--filter", f"tags.`{schema.TAG_KIND}` = '{schema.KIND_TRAIN}'")
    going = sweep(lrs="0.01,0.03", steps=12_000, log_points=20, engine="process")
    where = store.get_experiment_by_name("study").experiment_id
    query = f"tags.`{schema.TAG_KIND}` = '{schema.KIND_TRAIN}'"
    try:
        for _ in range(1200):
            status = [run.info.status for run in store.search_runs([where], query)]
            if "RUNNING" in status:
                break
            assert going.poll() is None, going.communicate()
            time.sleep(0.1)
        # Of its sweep alone there is nothing yet.
        code, _, err = ended(analyze())
        assert code == 1
        assert "wait for it to finish" in err
        code, out, err = ended(analyze(*every))
        assert code == 0, err
        assert going.poll() is None, "the sweep was faster than the analysis"
        raw = json.loads((tmp_path / "report" / "result.json").read_text())["runs"]
        by_status = {run["status"]: run for run in raw}
        assert "incomplete" in by_status
        assert re.search(r"wait\s+for it to finish", by_status["incomplete"]["note"])
        assert any(run["entropy"] for run in raw)
        assert "incomplete" in out
    finally:
        code, _, err = ended(going)
    assert code == 0, err
    code, out, err = ended(analyze(*every))
    assert code == 0, err
    assert "incomplete" not in out
    assert "nothing has changed" not in err
    assert all(run["entropy"] for run in json.loads((tmp_path / "report" / "result.json").read_text())["runs"])
    assert len(analyses(store)) == 1
