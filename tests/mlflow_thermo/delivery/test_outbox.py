"""Outboxes that share one thread: what one of them meets must cost neither it nor the others anything."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from mlflow_thermo.delivery import Outbox, courier
from mlflow_thermo.delivery.journal import INPUTS, Journal
from mlflow_thermo.delivery.requests import send
from mlflow_thermo.store import sha256_of
from tests.mlflow_thermo.delivery.test_delivery import points


def test_a_name_that_the_server_refuses_costs_nothing_else(store, tmp_path, caplog, monkeypatch):
    """Neither what comes after it, nor what went into the same request."""
    run = store.create_run(store.get_experiment_by_name("study").experiment_id).info.run_id
    outbox = Outbox(store, run, tmp_path)
    log_batch, sent = MlflowClient.log_batch, []

    def watched(self, run_id, **what):
        sent.append(what)
        return log_batch(self, run_id, **what)

    monkeypatch.setattr(MlflowClient, "log_batch", watched)
    outbox.metrics({"before": 1.0}, 1)
    outbox.metrics({"no\nname": 1.0}, 1)
    outbox.metrics({"after": 1.0}, 1)
    outbox.tags({"good": "one"})
    assert outbox.wait(20)
    outbox.close()
    assert caplog.text.count("the server refuses") == 1
    assert "the server refuses metrics no\nname: " in caplog.text
    data = store.get_run(run).data
    assert (set(data.metrics), data.tags["good"]) == ({"before", "after"}, "one")
    # They did go together, until the server minded.
    assert max(len(one["metrics"]) for one in sent) > 1
    assert len(sent) <= 5


def test_runs_that_begin_together_have_their_data_set_all(store, tmp_path):
    """Each finds that the experiment does not have it yet, and adds it: MLflow takes the first and refuses the rest."""
    data = {"name": "tiny", "digest": "0", "source_type": "code", "source": "{}", "schema": None, "profile": None}
    for number in range(5):
        experiment = store.create_experiment(str(number))
        ids = [store.create_run(experiment).info.run_id for _ in range(4)]
        start = threading.Barrier(len(ids))

        def program(run_id, start=start):
            journal = Journal(tmp_path / run_id, run_id)
            journal.append(INPUTS, [[data, {"mlflow.data.context": "training"}]])
            start.wait()
            while len(journal):
                # A database that is locked is asked again later, as by any program.
                with suppress(MlflowException):
                    send(MlflowClient(), run_id, tmp_path / run_id, journal)

        with ThreadPoolExecutor(len(ids)) as pool:
            list(pool.map(program, ids))
        found = [store.get_run(run_id).inputs.dataset_inputs for run_id in ids]
        assert [[one.dataset.name for one in inputs] for inputs in found] == [["tiny"]] * len(ids)


def test_an_outbox_that_cannot_be_delivered_does_not_hold_up_the_others(store, tmp_path, monkeypatch):
    experiment = store.get_experiment_by_name("study").experiment_id
    bad, good = (store.create_run(experiment).info.run_id for _ in range(2))
    log_batch = MlflowClient.log_batch
    attempts, broken = [], True

    def failing(self, run_id, **what):
        if run_id == bad and broken:
            attempts.append(time.monotonic())
            raise OSError("no such disk")
        return log_batch(self, run_id, **what)

    monkeypatch.setattr(MlflowClient, "log_batch", failing)
    monkeypatch.setattr(courier, "FIRST_PAUSE", 0.1)
    first, second = (Outbox(store, run, tmp_path / run) for run in (bad, good))
    first.tags({"bad": "one"})
    end = time.monotonic() + 2.0
    while time.monotonic() < end or len(attempts) < 2:
        second.tags({"good": "one"})
        assert second.wait(20)
    # What the server takes of the others does not make it try any sooner.
    assert len(attempts) <= 7
    assert not first.wait(0)
    broken = False
    assert first.wait(20)
    for one in (first, second):
        one.close()


def test_a_server_that_takes_something_is_waited_for(store, tmp_path, monkeypatch):
    """However long it is until the turn of a run comes; those that wait one after the other share the time."""
    experiment = store.get_experiment_by_name("study").experiment_id
    log_artifact, away = MlflowClient.log_artifact, False

    def slow(self, *arguments):
        if away:
            raise OSError("away")
        time.sleep(0.3)
        return log_artifact(self, *arguments)

    monkeypatch.setattr(MlflowClient, "log_artifact", slow)
    outboxes = [Outbox(store, store.create_run(experiment).info.run_id, tmp_path / name) for name in "abcdefgh"]

    def add(*names):
        for outbox in outboxes:
            for name in names:
                (outbox.folder / name).write_text(name)
                outbox.file(outbox.folder / name, "", sha256_of(outbox.folder / name), delete=False)

    since = time.monotonic()
    add("1", "2")
    # A round of all takes 2.4 s, and all of it 4.8 s.
    with monkeypatch.context() as patch:
        patch.setattr(courier, "PATIENCE", 2)
        assert not outboxes[-1].wait(0.7, since)
    assert [outbox.wait(2.0, since) for outbox in outboxes] == [True] * 8
    assert time.monotonic() - since > 4.5
    away = True
    add("3")
    since = time.monotonic()
    assert [outbox.wait(1.5, since) for outbox in outboxes] == [False] * 8
    assert time.monotonic() - since < 6.0
    for outbox in outboxes:
        outbox.close()


def test_the_loser_of_a_race_in_the_database_is_heard_again(store, tmp_path, monkeypatch, caplog):
    """What MLflow says where two programs insert one row blames the request, which is right a moment later."""
    run = store.create_run(store.get_experiment_by_name("study").experiment_id).info.run_id
    log_batch, lost = MlflowClient.log_batch, []

    def racing(self, run_id, **what):
        if not lost:
            lost.append(what)
            raise MlflowException("(sqlite3.IntegrityError) UNIQUE constraint failed", BAD_REQUEST)
        return log_batch(self, run_id, **what)

    monkeypatch.setattr(MlflowClient, "log_batch", racing)
    outbox = Outbox(store, run, tmp_path)
    outbox.metrics({"loss": 2.0}, 1)
    assert outbox.wait(20)
    outbox.close()
    assert lost
    assert points(store, run) == [(1, 2.0)]
    assert "refuses" not in caplog.text
