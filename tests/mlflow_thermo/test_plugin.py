"""What the distribution does inside MLflow."""

import os
import subprocess
import sys
from importlib.metadata import entry_points, version

import pytest

from mlflow_thermo import schema
from mlflow_thermo.plugin import SWEEP_VARIABLE, ThermoRunContext, run_tags


def test_is_registered_with_mlflow():
    found = {e.name: e for e in entry_points(group="mlflow.run_context_provider")}
    assert found["thermo"].load() is ThermoRunContext


def git(*arguments, cwd):
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True, env=environment)


def test_tags(tmp_path, monkeypatch):
    monkeypatch.delenv(SWEEP_VARIABLE, raising=False)
    assert run_tags(str(tmp_path)) == {schema.TAG_VERSION: version("mlflow-thermo")}
    git("init", cwd=tmp_path)
    (tmp_path / "a.txt").write_text("1")
    git("add", ".", cwd=tmp_path)
    git("commit", "-m", "first", cwd=tmp_path)
    assert run_tags(str(tmp_path))[schema.TAG_DIRTY] == "false"
    (tmp_path / "a.txt").write_text("2")
    monkeypatch.setenv(SWEEP_VARIABLE, "abc")
    tags = run_tags(str(tmp_path))
    assert (tags[schema.TAG_DIRTY], tags[schema.TAG_SWEEP]) == ("true", "abc")


def test_mlflow_tags_any_run(store, monkeypatch):
    import mlflow

    monkeypatch.setenv(SWEEP_VARIABLE, "from-the-environment")
    with mlflow.start_run() as run:
        pass
    tags = store.get_run(run.info.run_id).data.tags
    assert tags[schema.TAG_SWEEP] == "from-the-environment"
    assert tags[schema.TAG_VERSION] == version("mlflow-thermo")


def python(code):
    command = [sys.executable, "-W", "error::UserWarning", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_import_mlflow_pulls_in_nothing_heavy():
    loaded = set(python("import sys, mlflow; print(*sys.modules)"))
    assert "mlflow_thermo.plugin" in loaded
    assert not {"torch", "mlflow_thermo.recorder", "mlflow_thermo.store", "safetensors"} & loaded


@pytest.mark.parametrize("module", ["mlflow_thermo", "mlflow_thermo.plugin"])
def test_importing_it_pulls_in_neither_mlflow_nor_torch(module):
    assert not {"mlflow", "torch", "numpy"} & set(python(f"import sys, {module}; print(*sys.modules)"))


@pytest.mark.parametrize("first", ["mlflow", "mlflow_thermo.plugin"])
def test_is_found_in_either_order_of_imports(first):
    """MLflow loads its providers while it is imported itself, perhaps by this very module."""
    code = f"import {first}; import mlflow.tracking.context.registry as r; "
    names = python(code + "print(*(type(p).__name__ for p in r._run_context_provider_registry))")
    assert names.count("ThermoRunContext") == 1
