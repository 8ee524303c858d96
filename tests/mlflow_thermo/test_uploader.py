"""What reaches the tracking server, and what happens when it cannot be reached."""

import logging

import pytest

from mlflow_thermo import Schedule, SnapshotRecorder, ThermoError, schema
from mlflow_thermo.store import read_index, read_weights
from tests.mlflow_thermo.training import SERIES, make, train


def test_a_server_that_is_away_loses_nothing(store, monkeypatch, caplog):
    import mlflow
    from mlflow import MlflowClient

    w = make()
    log_artifact = MlflowClient.log_artifact
    away = {"now": True}

    def unreliable(self, run_id, *arguments):
        if away["now"]:
            raise ConnectionError("no route to http://user:secret@host")
        return log_artifact(self, run_id, *arguments)

    monkeypatch.setattr(MlflowClient, "log_artifact", unreliable)
    series = (Schedule("spaced", tuple(range(1, 33))),)
    with caplog.at_level(logging.WARNING), mlflow.start_run() as run:
        with SnapshotRecorder([("w", w)], series=series) as recorder:
            train(recorder, w, 16)
            away["now"] = False
            train(recorder, w, 16, first=16)
        assert "will retry: no route to http://host" in caplog.text
        files = {item.path for item in store.list_artifacts(run.info.run_id, "thermo/spaced")}
        assert len(files) == 5
    # Out of reach until the end: the error says where the data is and how to upload it.
    away["now"] = True
    with mlflow.start_run() as run:
        recorder = SnapshotRecorder([("w", w)], series=series)
        train(recorder, w, 32)
        with pytest.raises(ThermoError, match="mlflow artifacts log-artifacts") as caught:
            recorder.close()
    assert str(recorder.directory) in str(caught.value)
    assert read_weights(recorder.directory / "spaced").shape == (32, 6)
    assert store.get_run(run.info.run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_RECORDING


def test_an_index_that_did_not_arrive_is_not_called_complete(store, monkeypatch):
    """Readers find chunks only through the index."""
    import mlflow
    from mlflow import MlflowClient

    w = make()
    log_artifact = MlflowClient.log_artifact

    def unreliable(self, run_id, path, target):
        if path.endswith("index.json"):
            raise ConnectionError("502 Bad Gateway")
        return log_artifact(self, run_id, path, target)

    with mlflow.start_run() as run:
        recorder = SnapshotRecorder([("w", w)], series=SERIES)
        train(recorder, w, 20)
        monkeypatch.setattr(MlflowClient, "log_artifact", unreliable)
        with pytest.raises(ThermoError, match="did not take all snapshots"):
            recorder.close()
    assert store.get_run(run.info.run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_RECORDING
    assert read_index(recorder.directory / "spaced").complete
