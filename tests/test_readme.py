"""README and documents keep to what the code does."""

import ast
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from tests.analysis.conftest import Study

ROOT = Path(__file__).parent.parent


DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(one.relative_to(ROOT).as_posix() for one in ROOT.glob("docs/**/*.md")),
]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_and_pictures_exist(name):
    page = ROOT / name
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert 'pip install -e ".[train]" && mlflow run . -P lr=0.1' in text
    assert 'pip install -e ".[test]" && pytest' in text


def test_python_examples_parse_and_import():
    for name in ("README.md", "docs/format.md"):
        for block in re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.S):
            for node in ast.parse(block).body:
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    exec(compile(ast.Module([node], []), name, "exec"), {})


def block_under(heading):
    """The Python of one section of the README."""
    section = (ROOT / "README.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.search(r"```python\n(.*?)```", section, re.S).group(1)


def test_the_analysis_from_python(tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    Study(tmp_path / "runs").write_all()
    monkeypatch.chdir(tmp_path)
    code = block_under("Analyse from Python")
    assert len(code.splitlines()) <= 10
    names = {}
    exec(code, names)
    assert len(names["table"]) == 9
    assert re.search(r"T = 0\.\d+·lr\^\(1\.\d+ ± 0\.\d+\) for lr from 0\.01 to 1\n", capsys.readouterr().out)
    assert {path.name for path in (tmp_path / "report").iterdir()} >= {"report.html", "result.json", "temperature.csv"}
    assert (tmp_path / "temperature.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_training_loop(store):
    """As it stands, on a linear model: its run holds snapshots that an analysis can read."""
    import torch

    from analysis import from_tracking

    code = block_under("Record your own loop")
    n_steps = int(re.search(r"total_steps=([\d_]+)", code).group(1))
    torch.manual_seed(0)
    x, y = torch.randn(64, 3), torch.randn(64, 1)
    model = torch.nn.Linear(3, 1)
    picks = torch.randint(64, (n_steps, 8))
    names = {
        "model": model,
        "batches": ((x[pick], y[pick]) for pick in picks),
        "loss_fn": torch.nn.functional.mse_loss,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
    }
    exec(code, names)
    (run,) = from_tracking("study")
    trajectory = run.load()
    assert (run.lr, run.ended) == (0.1, "FINISHED")
    assert trajectory.steps[-1] == n_steps
    assert trajectory.points.shape == (len(trajectory), 4)
    # Batches are drawn independently of the weights, so their stationary mean is the least-squares solution.
    exact = torch.linalg.lstsq(torch.cat([x, torch.ones(64, 1)], dim=1), y).solution[:, 0].numpy()
    np.testing.assert_allclose(trajectory.points.mean(axis=0), exact, atol=0.03)


def test_format_names_every_field():
    from dataclasses import fields

    from mlflow_thermo.schema import Chunk, ParameterSlice, SeriesIndex

    text = (ROOT / "docs" / "format.md").read_text()
    for kind in (SeriesIndex, Chunk, ParameterSlice):
        for field in fields(kind):
            assert field.name in text, field.name


def test_format_example_reads_a_recorded_series(tmp_path, monkeypatch):
    import torch

    from mlflow_thermo import SnapshotRecorder

    weight = torch.nn.Parameter(torch.ones(4))
    with SnapshotRecorder([("w", weight)], total_steps=40, directory=tmp_path / "thermo") as recorder:
        for _ in range(40):
            recorder.step()
    reading, _, checksum = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "format.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    names = {"hashlib": hashlib}
    exec(reading, names)
    exec(checksum, names)
    assert names["checksum"] == names["index"]["checksum"]
    assert names["weights"].shape == (1, 20, 4)
    assert names["steps"].tolist() == list(range(21, 41))
