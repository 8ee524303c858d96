"""The examples in the docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

import mlflow_thermo

MODULES = [
    module.name
    for module in pkgutil.walk_packages(mlflow_thermo.__path__, "mlflow_thermo.")
    # Importing it starts a server's database of users.
    if module.name != "mlflow_thermo.app.basic_auth"
]

#: What imports a trainer, which takes seconds.
SLOW = ("mlflow_thermo.integrations.lightning", "mlflow_thermo.integrations.transformers")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in MODULES]
)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_some():
    tests = doctest.DocTestFinder().find(importlib.import_module("mlflow_thermo.recorder"))
    assert any(test.examples for test in tests if test.name.endswith("SnapshotRecorder"))
