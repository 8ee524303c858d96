"""What a run says of its data and of its machine."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from mlflow import MlflowClient

from projects.common import SystemMetrics, log_dataset


def test_a_data_set_is_an_input_with_its_shape_and_digest(store):
    x, y = torch.arange(24.0).reshape(4, 1, 2, 3), torch.tensor([0, 1, 0, 1])
    ids = []
    for shift in (0, 0, 1):
        run_id = store.create_run("0").info.run_id
        log_dataset(store, run_id, "tiny", {"training": (x + shift, y), "testing": (x[:2], y[:2])})
        ids.append(run_id)
    found = [{one.tags[0].value: one.dataset for one in store.get_run(i).inputs.dataset_inputs} for i in ids]
    assert {name: one.name for name, one in found[0].items()} == {"training": "tiny", "testing": "tiny"}
    assert '"features_shape": [4, 1, 2, 3]' in found[0]["training"].profile
    assert '"features_shape": [2, 1, 2, 3]' in found[0]["testing"].profile
    digests = [one["training"].digest for one in found]
    assert digests[0] == digests[1] != digests[2]


def test_runs_that_begin_together_have_their_data_set_all(store):
    """Each finds that the experiment does not have it yet, and adds it: MLflow takes the first and refuses the rest."""
    parts = {"training": (torch.zeros(4, 1, 2, 3), torch.zeros(4))}
    for number in range(5):
        experiment = store.create_experiment(str(number))
        ids = [store.create_run(experiment).info.run_id for _ in range(4)]
        start = threading.Barrier(len(ids))

        def log(run_id, start=start):
            start.wait()
            log_dataset(MlflowClient(), run_id, "tiny", parts)

        with ThreadPoolExecutor(len(ids)) as pool:
            list(pool.map(log, ids))
        assert [len(store.get_run(run_id).inputs.dataset_inputs) for run_id in ids] == [1] * len(ids)


def test_a_data_set_that_is_not_taken_costs_a_warning(store, caplog):
    log_dataset(store, "0" * 32, "tiny", {"training": (torch.zeros(4, 2), torch.zeros(4))})
    assert "its data set tiny is not logged: Run with id=" in caplog.text


@pytest.mark.parametrize("on", [True, False])
def test_the_load_of_the_machine_by_mlflows_own_switch(store, monkeypatch, on):
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", str(on).lower())
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    run_id = store.create_run("0").info.run_id
    machine = SystemMetrics(run_id)
    end = time.monotonic() + (10 if on else 0.5)
    while time.monotonic() < end and "system/cpu_utilization_percentage" not in store.get_run(run_id).data.metrics:
        time.sleep(0.05)
    machine.close()
    machine.close()
    assert ("system/cpu_utilization_percentage" in store.get_run(run_id).data.metrics) == on
