"""The way from the training to the disk: bounded memory, nothing dropped, failures heard."""

import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from mlflow_thermo import Schedule, SnapshotRecorder, ThermoError
from mlflow_thermo.buffering import Background, DeviceLosses, HostLosses
from mlflow_thermo.store import SeriesWriter, read_index, read_weights

STEPS = 64


@pytest.fixture
def recorder(tmp_path):
    """Records every step of one parameter in chunks of 8."""
    parameter = nn.Parameter(torch.zeros(6))
    one = SnapshotRecorder([("w", parameter)], series=(Schedule("spaced", tuple(range(1, STEPS + 1))),),
                           directory=tmp_path)  # fmt: skip
    one.parameter = parameter
    return one


def run(recorder, steps):
    for t in range(1, steps + 1):
        with torch.no_grad():
            recorder.parameter.fill_(t)
        recorder.step(float(t))


def test_a_slow_disk_holds_the_training_up_and_loses_nothing(recorder, tmp_path, monkeypatch):
    append, behind = SeriesWriter.append, []

    def slow(self, steps, *rest):
        time.sleep(0.02)
        behind.append(recorder.steps_taken - steps[-1])
        return append(self, steps, *rest)

    monkeypatch.setattr(SeriesWriter, "append", slow)
    with recorder:
        run(recorder, STEPS)
    rows = STEPS // len(behind)
    # One block is being written while the other fills; the training waits at its end.
    assert max(behind) <= rows
    np.testing.assert_array_equal(read_weights(tmp_path / "spaced")[:, 0], np.arange(1, STEPS + 1))
    index = read_index(tmp_path / "spaced")
    assert index.complete
    assert index.loss_mean == tuple(range(1, STEPS + 1))


def test_writing_does_not_hold_the_training_up(recorder, monkeypatch):
    allowed, append = threading.Event(), SeriesWriter.append

    def held(self, *rest):
        assert allowed.wait(10)
        return append(self, *rest)

    monkeypatch.setattr(SeriesWriter, "append", held)
    with recorder:
        run(recorder, 12)
        assert recorder.steps_taken == 12
        allowed.set()


def test_a_full_disk_stops_the_training(recorder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SeriesWriter, "append", full)
    with pytest.raises(ThermoError, match="cannot be written to .*No space left on device"), recorder:
        run(recorder, STEPS)
    assert recorder.steps_taken < STEPS
    assert not read_index(tmp_path / "spaced").complete


def test_a_full_disk_at_the_end_is_heard_too(recorder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    run(recorder, STEPS - 3)
    recorder.index("spaced")
    monkeypatch.setattr(SeriesWriter, "append", full)
    with pytest.raises(ThermoError, match="No space left"):
        recorder.close()


def test_a_series_that_cannot_be_written_costs_no_other(tmp_path, monkeypatch):
    append = SeriesWriter.append

    def full(self, *rest):
        if self.folder.name == "one":
            raise OSError(28, "No space left on device")
        return append(self, *rest)

    series = [Schedule(name, tuple(range(1, 9))) for name in ("one", "two")]
    recorder = SnapshotRecorder([("w", nn.Parameter(torch.zeros(6)))], series=series, directory=tmp_path)
    for _ in range(7):
        recorder.step(0.5)
    recorder.flush()
    monkeypatch.setattr(SeriesWriter, "append", full)
    recorder.step(0.5)
    with pytest.raises(ThermoError, match="one .*No space left"):
        recorder.close()
    assert [read_index(tmp_path / s.name).n_snapshots for s in series] == [7, 8]


@pytest.mark.parametrize("losses", [HostLosses(3), DeviceLosses(3, torch.device("cpu"))])
def test_losses(losses):
    for value in (1.0, 2.0, 6.0):
        losses.add(torch.tensor(value))
    losses.keep(0, torch.tensor(6.0))
    losses.add(4.0)
    losses.keep(1, 4.0)
    losses.keep(2, None)
    np.testing.assert_array_equal(losses.read(3), [[6, 3], [4, 4], [np.nan, np.nan]])
    losses.add(5.0)
    losses.keep(0, 5.0)
    np.testing.assert_array_equal(losses.read(2), [[5, 5], [np.nan, np.nan]])


def test_background_keeps_the_order_and_raises_the_first_failure():
    done, background = [], Background()
    background.submit(*(lambda i=i: done.append(i) for i in range(20)))
    background.wait()
    assert done == list(range(20))

    def fail():
        raise RuntimeError("first")

    background.submit(fail, lambda: done.append(20))
    with pytest.raises(RuntimeError, match="first"):
        background.wait()
    background.wait()
    assert done[-1] == 20
    background.stop()
