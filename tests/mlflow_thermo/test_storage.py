"""The same training, kept in each form."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from mlflow_thermo import Schedule, SnapshotRecorder, ThermoError
from mlflow_thermo.store import read_index, read_snapshots
from tests.mlflow_thermo.store.samples import D, N, relative


class TestRecorder:
    def record(self, folder, storage, n=N, stop=None, **options):
        torch.manual_seed(0)
        weights = torch.nn.Parameter(torch.randn(D) / D**0.5)
        schedule = Schedule("every", tuple(range(1, n + 1)))
        recorder = SnapshotRecorder(
            [("w", weights)], series=(schedule,), directory=folder, storage=storage, protocol="sphere", **options
        )
        kept = []
        for _ in range(stop or n):
            kept.append(weights.detach().clone().numpy())
            recorder.step(0.5)
            with torch.no_grad():
                weights += 1e-3 * torch.randn(D)
                weights /= weights.norm()
        recorder.close()
        return np.array(kept), folder / "every"

    def test_isometric(self, tmp_path):
        kept, folder = self.record(tmp_path, "isometric")
        index = read_index(folder)
        assert (index.storage, index.complete, index.n_snapshots) == ("isometric", True, N)
        assert relative(pdist(read_snapshots(folder).weights), pdist(kept.astype(float))) < 1e-7
        assert sum(p.stat().st_size for p in folder.iterdir()) < kept.nbytes

    def test_sketch_says_its_error(self, tmp_path):
        kept, folder = self.record(tmp_path, "sketch", sketch_columns=200)
        index = read_index(folder)
        assert (index.storage, index.sketch_dim, index.columns) == ("sketch", 200, 200)
        found = read_snapshots(folder).weights
        assert found.shape == (N, 200)
        error = np.sqrt(np.mean((pdist(found) / pdist(kept.astype(float)) - 1) ** 2))
        assert 0.3 < index.sketch_error / error < 3
        assert error < 0.1

    def test_an_unfinished_series_in_a_folder_of_the_users_stays_whole(self, tmp_path):
        kept, folder = self.record(tmp_path, "isometric", stop=N // 2)
        index = read_index(folder)
        assert (index.storage, index.complete, index.n_snapshots) == ("full", False, N // 2)
        np.testing.assert_array_equal(read_snapshots(folder).weights, kept)

    def test_an_unfinished_series_stays_whole_there_and_goes_to_the_run_reduced(self, store, tmp_path):
        import mlflow

        with mlflow.start_run() as run:
            kept, folder = self.record(tmp_path / "mine", "isometric", stop=N // 2)
        np.testing.assert_array_equal(read_snapshots(folder).weights, kept)
        sent = store.download_artifacts(run.info.run_id, "thermo/every")
        assert read_index(sent).storage == "isometric"
        assert relative(pdist(read_snapshots(sent).weights), pdist(kept.astype(float))) < 1e-7

    def test_a_training_cut_off_uploads_what_it_has(self, store):
        import mlflow

        weights = torch.nn.Parameter(torch.randn(D))
        schedule = Schedule("every", tuple(range(1, N + 1)))
        with mlflow.start_run() as run:
            recorder = SnapshotRecorder([("w", weights)], series=(schedule,), storage="isometric")
            for _ in range(N // 2):
                recorder.step(0.5)
                with torch.no_grad():
                    weights += 0.1 * torch.randn(D)
            recorder.close(complete=False)
        folder = store.download_artifacts(run.info.run_id, "thermo/every")
        index = read_index(folder)
        assert (index.storage, index.complete) == ("isometric", False)
        assert read_snapshots(folder).weights.shape == (N // 2, N // 2)
        assert not recorder.directory.exists()

    def test_a_disk_that_fills_up_loses_nothing(self, tmp_path, monkeypatch):
        def full(folder, out):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("mlflow_thermo.buffering.reduce_series", full)
        with pytest.raises(ThermoError, match="could not be reduced .*No space left.* full snapshots are safe in"):
            self.record(tmp_path, "isometric")
        assert read_snapshots(tmp_path / "every").weights.shape == (N, D)

    @pytest.mark.parametrize(
        ("options", "message"), [({"storage": "zip"}, "unknown"), ({"sketch_columns": 0}, "sketch_columns")]
    )
    def test_refuses(self, tmp_path, options, message):
        with pytest.raises(ThermoError, match=message):
            SnapshotRecorder([("w", torch.nn.Parameter(torch.zeros(3)))], 10, directory=tmp_path, **options)


@pytest.mark.parametrize(("share", "expected"), [(0.5, ["isometric", "sketch"]), (0.25, ["sketch", "sketch"])])
def test_the_series_of_a_run_share_the_disk(tmp_path, monkeypatch, share, expected):
    """Either of them alone would fit."""
    n, d = 100, 200_000
    free = 3 * n * d * 4
    monkeypatch.setattr("mlflow_thermo.opening.shutil.disk_usage", lambda folder: type("Use", (), {"free": free}))
    series = [Schedule(name, tuple(range(1, n + 1))) for name in ("one", "two")]
    recorder = SnapshotRecorder(
        [("w", torch.nn.Parameter(torch.zeros(d)))], series=series, directory=tmp_path, disk_share=share
    )
    recorder.step(0.5)
    modes = ["isometric" if s.reduced_at_end else s.writer.index.storage for s in recorder._series]
    assert modes == expected
