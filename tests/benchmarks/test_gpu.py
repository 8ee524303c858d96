"""The GPU benchmark on the CPU, where nothing is installed that a borrowed machine may lack."""

import json
import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu_rows import COMPILED, EAGER, FLOAT32, GRAPHS
from benchmarks.gpu_training import TINY
from benchmarks.isolated import FAILED, Job, rows_of
from mlflow_thermo.errors import ThermoError
from tests.benchmarks import measurements

ROOT = Path(__file__).parents[2]

#: Python loads it in every process, those of the measurements too. (What torch itself asks for is there.)
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mlflow", "altair", "vl_convert", "arviz_stats"):
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
"""


def python(*arguments, path, **environment):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, path)), **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu")
    (folder / "sitecustomize.py").write_text(BLOCKER)
    path = (folder, ROOT)
    assert "mlflow is blocked" in python("-c", "import mlflow", path=path).stderr
    assert python("-m", "benchmarks", "--help", path=path).returncode == 0
    out = folder / "out"
    shown = python("-m", "benchmarks", "gpu", "--device", "cpu", "--tiny", path=path, OUT=str(out))
    assert shown.returncode == 0, shown.stdout + shown.stderr
    return out


@pytest.fixture(scope="module")
def rows(table):
    return json.loads((table / "gpu.json").read_text())["rows"]


@pytest.mark.slow
@pytest.mark.xdist_group("gpu")
def test_every_row_is_measured(rows, table):
    assert {row["value"] for row in rows if not isinstance(row["value"], float)} == {gpu.NEEDS_A_GPU}
    assert all(row["value"] >= 0 for row in rows if isinstance(row["value"], float) and row["unit"][0] != "%")
    trained = {(row["models"], row["how"]): row["value"] for row in rows if row["what"] == "training"}
    assert set(trained) == set(product(TINY.models, (EAGER, COMPILED, GRAPHS)))
    assert {how for (_, how), value in trained.items() if value == gpu.NEEDS_A_GPU} == {GRAPHS}
    remembered = {(row["models"], row["how"]) for row in rows if row["what"].startswith("memory")}
    assert remembered == set(product(TINY.models, (EAGER, COMPILED)))
    recorded = {(row["models"], row["how"]) for row in rows if row["what"] == "every iterate recorded"}
    assert recorded == set(product(TINY.models[:2], ("while it trains", "with the end on disk")))
    kernels = [row["what"] for row in rows if row["what"].endswith(f"of {TINY.snapshots} snapshots")]
    assert any("training" in kernel for kernel in kernels)
    assert any("Gram" in kernel for kernel in kernels)
    assert any("kNN" in kernel for kernel in kernels)
    text = (table / "gpu.md").read_text()
    assert "No GPU" in text
    assert text.count("\n|") == len(rows) + 2


@pytest.mark.slow
@pytest.mark.xdist_group("gpu")
def test_the_device_agrees_with_the_cpu(rows):
    found = [row for row in rows if "device against CPU" in row["what"]]
    together = [row for row in found if row["how"] == f"{FLOAT32}, side by side"]
    alone = [row for row in found if row not in together]
    assert (len(together), len(alone)) == (2, 8)
    # The device is the CPU here: the same operations in the same order.
    assert [row["value"] for row in alone] == [0.0] * 8
    for row in together:
        assert 0 < float(row["remark"].rsplit(maxsplit=1)[1]) < 1e-4
    (losses,) = (row for row in together if "losses" in row["what"])
    assert losses["value"] < 1e-4


class TestRowsOf:
    """A measurement that fails costs its own row."""

    def rows(self, measure, *arguments, seconds=60.0):
        return list(rows_of(Job(("what", 1, "how"), measure, arguments, 60.0), seconds))

    def test_an_error_is_a_row_after_those_before_it(self):
        assert self.rows(measurements.breaks) == [
            ["a", 1],
            ["what", 1, "how", FAILED, "-", "RuntimeError: first second / third"],
        ]

    def test_a_process_that_dies(self):
        (row,) = self.rows(measurements.dies)
        assert row == ["what", 1, "how", FAILED, "-", "its process ended with code -9"]

    @pytest.mark.slow
    def test_one_that_hangs_is_stopped_with_its_children(self, tmp_path):
        told = tmp_path / "pid"
        before = time.monotonic()
        (row,) = self.rows(measurements.hangs, str(told), seconds=8.0)
        assert row[3:] == [FAILED, "-", "stopped after 8 s"]
        assert time.monotonic() - before < 30
        pid = int(told.read_text())
        deadline = time.monotonic() + 10
        while _runs(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _runs(pid)


def _runs(pid):
    """Whether it does, and is no zombie that nobody waits for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_what_is_not_there_is_said_in_one_line(tmp_path):
    import torch

    if not torch.cuda.is_available():
        shown = python("-m", "benchmarks", "gpu", path=(ROOT,), OUT=str(tmp_path))
        assert (shown.returncode, shown.stderr) == (
            1,
            "Error: there is no GPU that torch can use: try --device cpu --tiny\n",
        )
    shown = python("-m", "benchmarks", "sweep", "--tiny", path=(ROOT,))
    assert "belong to gpu" in shown.stderr


def test_a_trial_leaves_the_table_of_a_card_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("OUT", str(tmp_path))
    (tmp_path / "gpu.json").write_text('{"card": "NVIDIA H100"}')
    with pytest.raises(ThermoError, match="measured on NVIDIA H100"):
        gpu.main(device="cpu", tiny=True)
    assert [path.name for path in tmp_path.iterdir()] == ["gpu.json"]


def test_what_there_is_no_time_for_has_its_row(monkeypatch):
    monkeypatch.setattr(gpu, "LIMIT", 1.0)
    rows = list(gpu._rows(TINY, "cuda"))
    assert {row[3] for row in rows} == {gpu.NOT_MEASURED}
    assert {row[1] for row in rows if row[0] == "training"} == set(TINY.models)
