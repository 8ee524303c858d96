"""`mlflow run` from another folder with a relative tracking URI: one line, nothing left there."""

import os
import subprocess

import pytest

from tests.end_to_end.conftest import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("entry", [("main", "-P", "lr=0.1"), ("sweep",), ("analyze",), ("calibrate", "-P", "dims=2")])
def test_mlflow_run_from_elsewhere(user, tmp_path, entry):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    before = sorted(os.listdir(user.folder))
    done = subprocess.run(
        ["mlflow", "run", str(user.folder), "-e", *entry], cwd=elsewhere, capture_output=True, text=True, timeout=600,
        env={**user.environment, "MLFLOW_TRACKING_URI": "sqlite:///rel.db", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode != 0
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "the tracking URI sqlite:///rel.db is relative and `mlflow run` has changed the folder" in said
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(user.folder)) == before
