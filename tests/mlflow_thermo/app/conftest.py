"""MLflow's own server app with the page on it, on a real store and without a network."""

import warnings

import pytest

from mlflow_thermo import schema
from mlflow_thermo.app.pages import pages


@pytest.fixture(scope="session")
def app(empty_database):
    with pytest.MonkeyPatch.context() as patch:
        # So that it puts on what it puts on in a server.
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{empty_database}")
        with warnings.catch_warnings():
            # Of what MLflow itself imports, on the first search at the latest.
            warnings.simplefilter("ignore")
            from mlflow.server import app, auth  # noqa: F401

        app.register_blueprint(pages())
    return app


@pytest.fixture
def client(app, store, tmp_path, monkeypatch):
    """Asks the app, whose store is that of this test."""
    from mlflow.server import handlers

    monkeypatch.setattr(handlers, "_tracking_store", None)
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return app.test_client()


@pytest.fixture
def train(store):
    """Logs a run as a training does; its id."""

    def log(experiment="study", *, lr=0.1, metrics=None, tags=None, kind=schema.KIND_TRAIN):
        where = store.get_experiment_by_name(experiment).experiment_id
        run_id = store.create_run(where, run_name=f"lr={lr}", tags={schema.TAG_KIND: kind, **(tags or {})}).info.run_id
        store.log_param(run_id, "lr", lr)
        store.log_param(run_id, "secret", "not for the page")
        for key, value in {schema.METRIC_LR: lr, **(metrics or {})}.items():
            store.log_metric(run_id, key, value, step=3)
        return run_id

    return log
