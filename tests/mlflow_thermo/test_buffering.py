"""From the training to the disk: bounded memory, nothing dropped, failures reported."""

import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from mlflow_thermo import Schedule, SnapshotRecorder, ThermoError
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
    with pytest.raises(ThermoError, match="cannot be written to .*: the disk is full"), recorder:
        run(recorder, STEPS)
    assert recorder.steps_taken < STEPS
    assert not read_index(tmp_path / "spaced").complete


def test_a_full_disk_at_the_end_is_reported_too(recorder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    run(recorder, STEPS - 3)
    recorder.index("spaced")
    monkeypatch.setattr(SeriesWriter, "append", full)
    with pytest.raises(ThermoError, match="the disk is full"):
        recorder.close()


class TestOneSeriesFails:
    """The disk refuses the chunks of some series, for a while or for good."""

    NAMES = ("one", "two", "three")

    @pytest.fixture
    def recording(self, tmp_path, monkeypatch):
        """The recorder, a function that takes steps, and the error to raise for each series that cannot be written."""
        refused = {}
        append = SeriesWriter.append

        def picky(writer, *rest):
            if writer.folder.name in refused:
                raise refused[writer.folder.name]
            return append(writer, *rest)

        monkeypatch.setattr(SeriesWriter, "append", picky)
        series = [Schedule(name, tuple(range(1, 17))) for name in self.NAMES]
        recorder = SnapshotRecorder([("w", nn.Parameter(torch.zeros(6)))], series=series, directory=tmp_path)

        def steps(n):
            for _ in range(n):
                recorder.step(0.5)

        return recorder, steps, refused

    def found(self, tmp_path):
        indexes = [read_index(tmp_path / name) for name in self.NAMES]
        return [(index.n_snapshots, index.complete) for index in indexes]

    @pytest.mark.parametrize("bad", [("one",), ("one", "two"), ("three",)])
    def test_at_the_end(self, recording, tmp_path, bad):
        recorder, steps, refused = recording
        steps(14)
        recorder.flush()
        refused.update(dict.fromkeys(bad, OSError(28, "No space left on device")))
        steps(2)
        with pytest.raises(ThermoError, match=f"{bad[0]}: the disk is full"):
            recorder.close()
        assert self.found(tmp_path) == [(14, False) if name in bad else (16, True) for name in self.NAMES]

    @pytest.mark.parametrize(
        ("error", "words"),
        [(OSError(28, "No space left on device"), "the disk is full"), (MemoryError("no memory"), "no memory")],
    )
    def test_in_the_middle_of_a_training(self, recording, tmp_path, error, words):
        recorder, steps, refused = recording
        refused["one"] = error
        with pytest.raises((ThermoError, MemoryError), match=words), recorder:
            steps(16)
        taken = recorder.steps_taken
        assert self.found(tmp_path)[0] == (0, False)
        assert [n for n, _ in self.found(tmp_path)[1:]] == [taken] * 2

    def test_a_training_that_goes_on_leaves_an_incomplete_series(self, recording, tmp_path):
        """The caller may handle the error: afterwards nothing hangs, and the series is not marked as complete."""
        recorder, steps, refused = recording
        steps(3)
        refused["one"] = OSError(28, "No space left on device")
        with pytest.raises(ThermoError, match="the disk is full"):
            recorder.flush()
        refused.clear()
        steps(13)
        recorder.close()
        assert self.found(tmp_path) == [(13, False), (16, True), (16, True)]
        assert read_index(tmp_path / "one").steps == tuple(range(4, 17))
