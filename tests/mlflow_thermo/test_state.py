"""The state of a recorder in a checkpoint: what a killed training records again is there once, and all of it."""

import threading

import numpy as np
import pytest

from mlflow_thermo import Schedule, SnapshotRecorder
from mlflow_thermo.store import SeriesWriter, StoreError, read_index, read_weights, series as series_module
from tests.mlflow_thermo.training import make, train

SERIES = (Schedule("spaced", tuple(range(3, 100, 3))), Schedule("late", tuple(range(60, 70)), every_chain=False))


def start(folder, **options):
    w = make(40)
    return SnapshotRecorder([("w", w)], series=SERIES, directory=folder, **options), w


def whole(folder):
    recorder, w = start(folder)
    with recorder:
        train(recorder, w, 99)
    return [(read_index(folder / one.name), read_weights(folder / one.name)) for one in SERIES]


@pytest.mark.parametrize("lost", [0, 1, 40])
@pytest.mark.parametrize("at", [1, 29, 31, 64])
def test_as_if_never_killed(tmp_path, at, lost):
    """Chunks included: a checkpoint keeps the block that is being filled, and the losses between two snapshots."""
    expected = whole(tmp_path / "whole")
    recorder, w = start(tmp_path / "parts")
    train(recorder, w, at)
    state = recorder.state_dict()
    train(recorder, w, lost, first=at)
    recorder.flush()  # what is lost may be on disk
    again, w = start(tmp_path / "parts", resume=True)
    again.load_state_dict(state)
    assert again.steps_taken == at
    train(again, w, 99 - at, first=at)
    again.close()
    for one, (index, weights) in zip(SERIES, expected, strict=True):
        assert read_index(tmp_path / "parts" / one.name) == index
        np.testing.assert_array_equal(read_weights(tmp_path / "parts" / one.name), weights)


@pytest.mark.parametrize("lost", [0, 9, 40])
@pytest.mark.parametrize("at", [26, 27, 28, 54, 60, 81])
def test_as_if_never_killed_where_the_index_has_parts(tmp_path, monkeypatch, at, lost):
    """What is recorded again begins before, at or after the end of a part; the chunks end at 27, 54, 81."""
    monkeypatch.setattr(SeriesWriter, "chunks_per_part", 1)
    test_as_if_never_killed(tmp_path, at, lost)
    index = read_index(tmp_path / "parts" / "spaced")
    assert [part.n_snapshots for part in index.parts] == [9, 9, 9]
    assert {path.name for path in (tmp_path / "parts" / "spaced").iterdir()} == {
        "index.json", *(part.file for part in index.parts), *(chunk.file for chunk in index.chunks),
    }  # fmt: skip


def test_a_cut_takes_parts_and_chunks_from_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(SeriesWriter, "chunks_per_part", 1)
    recorder, w = start(tmp_path)
    train(recorder, w, 30)
    state = recorder.state_dict()
    train(recorder, w, 69, first=30)
    recorder.flush()
    assert len(read_index(tmp_path / "spaced").parts) == 3
    again, _ = start(tmp_path, resume=True)
    again.load_state_dict(state)
    assert read_index(tmp_path / "spaced").n_snapshots == 9
    names = {path.name for path in (tmp_path / "spaced").iterdir()}
    assert names == {"index.json", "index-000000.json", "weights-000000003-000000027.safetensors"}


def test_a_state_waits_for_the_index(tmp_path, monkeypatch):
    """Not for the chunk alone: what no index lists would be gone after a kill."""
    recorder, w = start(tmp_path)
    asked, go = threading.Event(), threading.Event()
    write = series_module.write_json

    def slow(path, content):
        asked.set()
        assert go.wait(20)
        write(path, content)

    monkeypatch.setattr(series_module, "write_json", slow)
    train(recorder, w, 27)
    assert asked.wait(20)
    assert not recorder.settled
    go.set()
    assert recorder.state_dict()["series"]["spaced"]["written"] == 9
    assert read_index(tmp_path / "spaced").n_snapshots == 9
    recorder.close()


def test_chunks_that_are_gone(tmp_path):
    recorder, w = start(tmp_path / "there")
    train(recorder, w, 60)
    state = recorder.state_dict()
    elsewhere, _ = start(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="does not hold the 18 snapshots of the checkpoint"):
        elsewhere.load_state_dict(state)


def test_steps_after_a_fast_forward_are_recorded_again(tmp_path):
    recorder, w = start(tmp_path)
    train(recorder, w, 30)
    recorder.flush()
    train(recorder, w, 30, first=30)
    recorder.flush()
    again, w = start(tmp_path, resume=True)
    again.fast_forward(30)
    assert read_index(tmp_path / "spaced").steps[-1] == 30
    train(again, w, 69, first=30)
    again.close()
    index = read_index(tmp_path / "spaced")
    assert (index.complete, index.steps) == (True, SERIES[0].steps)
    np.testing.assert_array_equal(read_weights(tmp_path / "spaced")[:, 0], np.array(index.steps) - 1)
