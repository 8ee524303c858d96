"""README and documents keep to what the code does."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/format.md", "docs/physics.md"])
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
    block = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "format.md").read_text(), re.S).group(1)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block, names)
    assert names["weights"].shape == (20, 4)
    assert names["steps"].tolist() == list(range(21, 41))
