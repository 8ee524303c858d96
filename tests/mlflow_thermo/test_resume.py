"""A series that is resumed where another process stopped."""

import numpy as np
import pytest

from mlflow_thermo import Schedule, SnapshotRecorder, ThermoError, schema
from mlflow_thermo.store import read_index, read_weights
from tests.mlflow_thermo.training import make, train


def test_resume_after_a_kill(tmp_path):
    """A process that resumes from the last finished chunk makes the same series as one that was never killed."""
    whole, parts = make(), make()
    series = (Schedule("spaced", tuple(range(1, 33))),)
    with SnapshotRecorder([("w", whole)], series=series, directory=tmp_path / "whole") as r:
        train(r, whole, 32)
    killed = SnapshotRecorder([("w", parts)], series=series, directory=tmp_path / "parts")
    train(killed, parts, 20)  # two finished chunks of 8; never closed, as after kill -9
    assert killed.index("spaced").steps[-1] == 16  # waits for the background thread
    again = SnapshotRecorder([("w", parts)], series=series, directory=tmp_path / "parts", resume=True)
    done = again.index("spaced").steps[-1]
    assert done == 16
    again.fast_forward(done)
    train(again, parts, 32 - done, first=done)
    again.close()
    for name in ("whole", "parts"):
        np.testing.assert_array_equal(read_weights(tmp_path / name / "spaced")[:, 0], np.arange(32))
    assert read_index(tmp_path / "parts" / "spaced") == read_index(tmp_path / "whole" / "spaced")


class TestResume:
    SERIES = (Schedule("spaced", tuple(range(1, 33))),)

    def start(self, folder, series=SERIES, d=6, steps=0, **options):
        w = make(d)
        recorder = SnapshotRecorder([("w", w)], series=series, directory=folder, **options)
        train(recorder, w, steps)
        return recorder, w

    def test_flushed_at_a_checkpoint(self, tmp_path):
        first, _ = self.start(tmp_path, steps=21)
        first.flush()
        again, w = self.start(tmp_path, resume=True)
        again.fast_forward(21)
        train(again, w, 11, first=21)
        again.close()
        assert read_index(tmp_path / "spaced").complete
        np.testing.assert_array_equal(read_weights(tmp_path / "spaced")[:, 0], np.arange(32))

    def test_after_a_checkpoint_later_than_the_last_chunk(self, tmp_path, caplog):
        first, _ = self.start(tmp_path, steps=21)
        assert first.index("spaced").steps[-1] == 16
        again, w = self.start(tmp_path, resume=True)
        again.fast_forward(21)
        assert "misses its snapshots from step 17 to 21" in caplog.text
        train(again, w, 6, first=21)
        again.flush()
        # The gap still counts after the training is interrupted and resumed a second time.
        last, w = self.start(tmp_path, resume=True)
        last.fast_forward(27)
        train(last, w, 5, first=27)
        last.close()
        index = read_index(tmp_path / "spaced")
        assert not index.complete
        assert index.steps == (*range(1, 17), *range(22, 33))
        np.testing.assert_array_equal(read_weights(tmp_path / "spaced")[:, 0], np.array(index.steps) - 1)
        assert index.loss_mean == index.loss

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"d": 7}, r"its d differs \(6 there, 7 now\)"),
            ({"lr": 0.2}, r"its lr differs \(0.1 there, 0.2 now\)"),
            ({"seed": 1}, "its seed differs"),
            ({"protocol": "sphere"}, "its protocol differs"),
            ({"series": (Schedule("spaced", tuple(range(2, 65, 2))),)}, "at other steps than the schedule 'spaced'"),
        ],
    )
    def test_of_another_training(self, tmp_path, options, message):
        first, _ = self.start(tmp_path, steps=20, lr=0.1)
        first.flush()
        before = read_index(tmp_path / "spaced")
        with pytest.raises(ThermoError, match=message):
            self.start(tmp_path, resume=True, **{"lr": 0.1, **options})
        assert read_index(tmp_path / "spaced") == before

    def test_a_finished_series_that_is_to_go_on(self, tmp_path):
        first, _ = self.start(tmp_path, steps=32)
        first.close()
        longer = (Schedule("spaced", tuple(range(1, 65))),)
        again, w = self.start(tmp_path, series=longer, resume=True)
        again.fast_forward(32)
        train(again, w, 16, first=32)
        again.close()
        index = read_index(tmp_path / "spaced")
        assert (index.n_snapshots, index.complete) == (48, False)

    def test_a_reduced_series_is_not_to_go_on(self, tmp_path):
        first, _ = self.start(tmp_path, d=40, steps=32, storage="isometric")
        first.close()
        longer = (Schedule("spaced", tuple(range(1, 65))),)
        with pytest.raises(ThermoError, match="at other steps than the schedule"):
            self.start(tmp_path, series=longer, d=40, resume=True, storage="isometric")

    def test_a_gap_makes_the_run_partial(self, store, tmp_path):
        import mlflow

        first, _ = self.start(tmp_path, steps=21)
        assert first.index("spaced").steps[-1] == 16
        with mlflow.start_run() as run:
            again, w = self.start(tmp_path, resume=True)
            again.fast_forward(21)
            train(again, w, 11, first=21)
            again.close()
        assert store.get_run(run.info.run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_PARTIAL

    @pytest.mark.parametrize("storage", ["full", "isometric"])
    def test_a_finished_series_stays_finished(self, tmp_path, storage):
        first, _ = self.start(tmp_path, d=40, steps=32, storage=storage)
        first.close()
        before = read_index(tmp_path / "spaced")
        assert (before.complete, before.storage) == (True, storage)
        again, w = self.start(tmp_path, d=40, resume=True, storage=storage)
        train(again, w, 3)
        again.close(complete=False)
        assert read_index(tmp_path / "spaced") == before

    def test_without_a_directory(self, store):
        import mlflow

        with mlflow.start_run(), pytest.raises(ThermoError, match="resume needs the directory"):
            SnapshotRecorder([("w", make())], 10, resume=True)
