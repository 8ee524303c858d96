"""Which run a program writes to, in which experiment, and what it asks the server for."""

import pytest
from mlflow import MlflowClient

from mlflow_thermo import ThermoError, schema
from mlflow_thermo.plugin import SWEEP_VARIABLE
from projects.common import open_run
from projects.fixed_lr.assignment import child_environment


def opened(store, experiment=None):
    return store.get_run(open_run(experiment, "a run", schema.KIND_TRAIN, {"more": "1"}))


def test_a_new_run_has_the_tags_of_mlflow_and_ours(store):
    run = opened(store)
    assert (run.info.status, run.info.run_name) == ("RUNNING", "a run")
    assert {"mlflow.user", "mlflow.source.name", schema.TAG_VERSION, schema.TAG_ALIVE} <= set(run.data.tags)
    assert (run.data.tags[schema.TAG_KIND], run.data.tags["more"]) == (schema.KIND_TRAIN, "1")


def test_the_run_of_mlflow_run_is_named_and_tagged(store, monkeypatch):
    own = store.create_run("1", run_name="useful-wren-189")
    monkeypatch.setenv("MLFLOW_RUN_ID", own.info.run_id)
    # What the user has exported is not where `mlflow run` has opened it.
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    run = opened(store)
    assert (run.info.run_id, run.info.run_name) == (own.info.run_id, "a run")
    assert run.data.tags[schema.TAG_KIND] == schema.KIND_TRAIN


class TestExperiment:
    @pytest.fixture(autouse=True)
    def nothing_set(self, store, monkeypatch):
        monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking_uri)

    def name_of(self, store, run):
        return store.get_experiment(run.info.experiment_id).name

    def test_the_default_one(self, store):
        assert self.name_of(store, opened(store)) == "Default"

    def test_by_its_id(self, store, monkeypatch):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", store.get_experiment_by_name("study").experiment_id)
        assert self.name_of(store, opened(store)) == "study"

    @pytest.mark.parametrize("name", ["study", "a new one"])
    def test_by_its_name(self, store, monkeypatch, name):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
        assert self.name_of(store, opened(store)) == name

    def test_the_option_goes_first(self, store, monkeypatch):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
        assert self.name_of(store, opened(store, "mine")) == "mine"

    def test_two_that_differ(self, store, monkeypatch):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "study")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
        with pytest.raises(ThermoError, match="MLFLOW_EXPERIMENT_ID=0 is the experiment 'Default' and .* unset one"):
            opened(store)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "a new one")
        with pytest.raises(ThermoError, match="unset one of them"):
            opened(store)
        assert store.get_experiment_by_name("a new one") is None

    def test_runs_of_a_sweep_are_where_the_sweep_is(self, monkeypatch):
        """Whatever name the user has exported."""
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "7")
        environment = child_environment("s", "sqlite:///x.db")
        assert environment["MLFLOW_EXPERIMENT_ID"] == "7"
        assert "MLFLOW_EXPERIMENT_NAME" not in environment


def test_a_run_of_a_sweep_asks_for_nothing_but_itself(store, monkeypatch):
    """Each request is a way to a server that may be far, once for each of its runs."""
    monkeypatch.setenv(SWEEP_VARIABLE, "s")
    monkeypatch.setattr("projects.common.tracking.STARTED_BY_US", True)
    asked = []

    def watch(name):
        real = getattr(MlflowClient, name)

        def watched(self, *args, **kwargs):
            asked.append(name)
            return real(self, *args, **kwargs)

        monkeypatch.setattr(MlflowClient, name, watched)

    for name in ("create_run", "get_run", "update_run", "log_batch", "set_tag", "search_runs", "get_experiment"):
        watch(name)
    run_id = open_run(None, "a run", schema.KIND_TRAIN, {})
    assert asked == ["create_run"]
    assert store.get_run(run_id).data.tags[schema.TAG_SWEEP] == "s"
