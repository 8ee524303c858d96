"""The programs in examples/ and the blocks in docs/loops.md run as they stand, and their recordings can be read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_thermo import SnapshotRecorder
from mlflow_thermo.store import read_index

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "loops.md").read_text(), re.S)


def run(name, folder):
    """What an example prints; its warnings are shown by it, as they would be to a user."""
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), str(folder)]
    shown = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def rows(table):
    """Learning rate, entropy and status of each line of a printed table."""
    found = re.findall(r"^ *(0\.\d+) +\S+ +(-?\d+\.\d+) .* ([a-z-]+)$", table, re.M)
    return [(float(lr), float(entropy), status) for lr, entropy, status in found]


@pytest.mark.slow
def test_own_loop(tmp_path):
    table = run("own_loop", tmp_path)
    found = rows(table)
    assert len(found) == 6
    assert [status for *_, status in found].count("ok") >= 4, table
    entropies = [entropy for _, entropy, _ in found]
    assert entropies == sorted(entropies)
    # At small learning rates T = lr·tr Σ/2D, which is lr·2σ²/B for the squared error of normal inputs.
    law = re.search(r"T = (\S+)·lr\^\((\S+) ±", table)
    assert float(law.group(1)) * 0.12 ** float(law.group(2)) == pytest.approx(0.12 * 2 / 128, rel=0.3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "learning_rates"), [("chains", 5), ("lightning_callback", 4), ("transformers_trainer", 4)]
)
def test_an_example(tmp_path, name, learning_rates):
    found = rows(run(name, tmp_path))
    assert len(found) == learning_rates
    entropies = [entropy for _, entropy, _ in found]
    assert entropies == sorted(entropies)


def test_mixed_precision(tmp_path):
    shown = run("mixed_precision", tmp_path)
    found = re.match(r"(\d+) attempts, (\d+) updates, 200 snapshots, complete: True", shown)
    attempts, updates = map(int, found.groups())
    assert updates == 400 < attempts


def test_there_are_no_others():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == {
        "own_loop", "chains", "lightning_callback", "transformers_trainer", "mixed_precision",
    }  # fmt: skip


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the first block of the document defines."""
    monkeypatch.chdir(tmp_path)
    defined = {}
    exec(BLOCKS[0], defined)
    yield defined
    for one in defined.values():
        # The block of the first process leaves it open: what it says when it is forgotten would reach another test.
        if isinstance(one, SnapshotRecorder):
            one.close(complete=False)


def marks(block):
    return [
        pytest.mark.slow,
        pytest.mark.filterwarnings("ignore:.*LeafSpec"),
        pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    ] if "lightning" in block else []  # fmt: skip


@pytest.mark.parametrize("block", [pytest.param(block, marks=marks(block)) for block in BLOCKS[1:]])
def test_a_block_of_the_document(names, block, caplog):
    exec(block, names)
    recorded = [read_index(path.parent) for path in Path("runs").glob("*/*/index.json")]
    assert recorded
    # The block that makes a recorder on one process alone has no training.
    assert {index.complete for index in recorded} == {"first-process" not in block}
    if "recorder.step" in block:
        assert [one.message for one in caplog.records if one.name.startswith("mlflow_thermo")] == []
