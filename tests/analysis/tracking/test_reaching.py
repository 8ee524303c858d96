"""A relative tracking URI under `mlflow run`, which has changed the folder: named, and nothing is left behind."""

import shutil

import pytest

from analysis.tracking import ServerError, require_store


@pytest.fixture
def inside(store, tmp_path, monkeypatch):
    """A run of `mlflow run`: its id and a folder that is not the one it was started in."""
    run_id = store.create_run(store.get_experiment_by_name("study").experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("path", ["rel.db", "./rel.db", "sub/rel.db", "../rel.db"])
@pytest.mark.parametrize("writes", [True, False])
def test_a_relative_store_under_mlflow_run(inside, monkeypatch, path, writes):
    uri = f"sqlite:///{path}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(
        ServerError, match=f"^the tracking URI {uri} is relative .* make it absolute, export MLFLOW_TRACKI"
    ):
        require_store(uri, writes=writes)
    assert list(inside.iterdir()) == []
    assert not (inside.parent / "rel.db").exists()


def test_a_store_of_that_name_that_has_other_runs(inside, empty_database, monkeypatch):
    """As one that the project's folder has of its own; it stays as it is."""
    shutil.copyfile(empty_database, inside / "rel.db")
    before = (inside / "rel.db").read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///rel.db")
    with pytest.raises(ServerError, match="is relative"):
        require_store("sqlite:///rel.db", writes=True)
    assert (inside / "rel.db").read_bytes() == before
    assert [one.name for one in inside.iterdir()] == ["rel.db"]


def test_a_relative_store_that_has_the_run(inside, monkeypatch):
    """`mlflow run .` does not change the folder, and a path that is given to the command is the user's own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///../mlflow.db")
    require_store("sqlite:///../mlflow.db", writes=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{inside.parent / 'mlflow.db'}")
    require_store("sqlite:///new.db", writes=True)
    monkeypatch.delenv("MLFLOW_RUN_ID")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///new.db")
    require_store("sqlite:///new.db", writes=True)
    assert list(inside.iterdir()) == []
