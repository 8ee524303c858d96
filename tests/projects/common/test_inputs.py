"""What a run says of its data and of its machine."""

import time

import pytest
import torch

from mlflow_thermo.delivery import Outbox
from projects.common import SystemMetrics, log_dataset


def test_a_data_set_is_an_input_with_its_shape_and_digest(store, tmp_path):
    x, y = torch.arange(24.0).reshape(4, 1, 2, 3), torch.tensor([0, 1, 0, 1])
    ids = []
    for shift in (0, 0, 1):
        run_id = store.create_run("0").info.run_id
        outbox = Outbox(store, run_id, tmp_path / run_id)
        # A run that is resumed says it again.
        for _ in range(2):
            log_dataset(outbox, "tiny", {"training": (x + shift, y), "testing": (x[:2], y[:2])})
        assert outbox.wait(20)
        outbox.close()
        ids.append(run_id)
    inputs = [store.get_run(run_id).inputs.dataset_inputs for run_id in ids]
    assert [len(one) for one in inputs] == [2, 2, 2]
    found = [{one.tags[0].value: one.dataset for one in run} for run in inputs]
    assert {name: one.name for name, one in found[0].items()} == {"training": "tiny", "testing": "tiny"}
    assert '"features_shape": [4, 1, 2, 3]' in found[0]["training"].profile
    assert '"features_shape": [2, 1, 2, 3]' in found[0]["testing"].profile
    digests = [one["training"].digest for one in found]
    assert digests[0] == digests[1] != digests[2]


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
