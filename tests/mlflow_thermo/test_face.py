"""What the package shows."""

import ast
from pathlib import Path

import pytest

import mlflow_thermo


def test_type_checkers_and_programs_see_the_same_names():
    tree = ast.parse(Path(mlflow_thermo.__file__).read_text())
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    names = [alias.asname for node in checked.body for alias in node.names]
    assert sorted(names) == sorted(mlflow_thermo.__all__) == sorted(dir(mlflow_thermo))


@pytest.mark.parametrize("name", mlflow_thermo.__all__)
def test_every_name_loads(name):
    shown = getattr(mlflow_thermo, name)
    assert getattr(shown, "__doc__", None)


def test_unknown_name():
    with pytest.raises(AttributeError, match="nothing"):
        _ = mlflow_thermo.nothing
