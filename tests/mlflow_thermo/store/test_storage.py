"""Compressed series: inner products that lose nothing, sketches that say what they lose, and what is chosen when."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.numpy import load_file
from scipy.spatial.distance import pdist

from mlflow_thermo import Schedule, SnapshotRecorder, ThermoError
from mlflow_thermo.schema import SeriesIndex
from mlflow_thermo.store import (
    CountSketch,
    SeriesWriter,
    StoreError,
    choose_storage,
    isometric as isometric_module,
    isometric_factor,
    measured_error,
    read_index,
    read_snapshots,
    reduce_series,
    sketch_rows,
)

N, D = 60, 2000


def walk(rng, n=N, d=D, step=1e-4):
    """Consecutive iterates on the unit sphere, much closer to each other than to the origin."""
    points = rng.normal(size=d) / np.sqrt(d) + step / np.sqrt(d) * np.cumsum(rng.normal(size=(n, d)), axis=0)
    return (points / np.linalg.norm(points, axis=1)[:, None]).astype(np.float32)


def pieces(X, width=700):
    return lambda: (X[:, i : i + width] for i in range(0, X.shape[1], width))


def relative(found, exact):
    return float(np.max(np.abs(found / exact - 1)))


class TestIsometricFactor:
    @pytest.mark.parametrize("offset", [0.0, 100.0])
    @pytest.mark.parametrize("make", [walk, lambda rng: rng.normal(size=(N, D)) * np.geomspace(1, 1e-6, D)])
    def test_keeps_distances_norms_and_angles(self, rng, make, offset):
        X = make(rng).astype(np.float64) + offset
        lower = isometric_factor(pieces(X))
        assert lower.shape == (N, N)
        assert not np.triu(lower, 1).any()
        assert relative(pdist(lower), pdist(X)) < 1e-7
        np.testing.assert_allclose(lower @ lower.T, X @ X.T, rtol=1e-10, atol=1e-12 * np.abs(X @ X.T).max())

    def test_rows_too_close_for_a_gram_matrix_are_orthogonalised(self, rng, monkeypatch):
        X = rng.normal(size=(N, D))
        X[-1] = X[0] + 1e-9 * rng.normal(size=D)
        used = []
        slow = isometric_module.orthogonalised
        monkeypatch.setattr(isometric_module, "orthogonalised", lambda blocks: used.append(1) or slow(blocks))
        assert relative(pdist(isometric_factor(pieces(X))), pdist(X)) < 1e-6
        assert used

    def test_nothing_to_factor(self):
        with pytest.raises(ValueError, match="at least one block"):
            isometric_factor(lambda: iter(()))


class TestSketch:
    def test_is_the_same_everywhere_and_always(self):
        """The hash is part of the format: the published first outputs of SplitMix64 with seed 0."""
        outputs = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)
        for row, z in zip(CountSketch(3, 4).apply(np.eye(3)), outputs, strict=True):
            assert row[(z >> 1) % 4] == (-1 if z & 1 else 1)
            assert np.count_nonzero(row) == 1

    def test_is_linear_and_its_parts_add_up(self, rng):
        X, sketch = rng.normal(size=(3, 500)), CountSketch(500, 40)
        parts = sum(sketch.apply(X[:, i : i + 120], i) for i in range(0, 500, 120))
        np.testing.assert_allclose(parts, sketch.apply(X), atol=1e-12)
        np.testing.assert_allclose(sketch.apply(X[:1] - 2 * X[1:2]), sketch.apply(X[:1]) - 2 * sketch.apply(X[1:2]))

    def test_error_of_squared_lengths(self, rng):
        """Unbiased, with the spread that it says, over 400 vectors."""
        X, sketch = rng.normal(size=(400, 5000)), CountSketch(5000, 100)
        ratio = np.sum(sketch.apply(X) ** 2, axis=1) / np.sum(X**2, axis=1)
        assert ratio.mean() == pytest.approx(1, abs=4 * sketch.relative_error / 20)
        assert ratio.std() == pytest.approx(sketch.relative_error, rel=0.15)

    def test_keeps_norms_where_asked(self, rng):
        X = walk(rng, 5)
        found = sketch_rows(CountSketch(D, 64), X, keep_norms=True)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(X, axis=1), rtol=1e-6)

    def test_measured_error_of_snapshots_that_are_not_finite(self, rng):
        rows = rng.normal(size=(6, 3000))
        sketch = CountSketch(3000, 1000)
        exact = measured_error(rows[:3], sketch.apply(rows[:3]))
        rows[3], rows[4, 5], rows[5, 7] = np.nan, np.inf, -np.inf
        assert measured_error(rows, sketch.apply(rows)) == pytest.approx(exact, rel=1e-12)
        assert measured_error(rows[3:], sketch.apply(rows[3:])) is None

    def test_measured_error(self, rng):
        X, sketch = rng.normal(size=(8, 4000)), CountSketch(4000, 400)
        # A distance has half the relative error of its square.
        assert 0.3 < measured_error(X, sketch.apply(X)) / (sketch.relative_error / 2) < 2
        assert measured_error(X[:1], sketch.apply(X[:1])) is None

    @pytest.mark.parametrize(("d", "m"), [(0, 3), (3, 0)])
    def test_refuses_no_columns(self, d, m):
        with pytest.raises(ValueError, match="d >= 1 columns to m >= 1"):
            CountSketch(d, m)


def write(folder, weights, chunks=3, **index):
    given = SeriesIndex(series="spaced", d=weights.shape[1], dtype="float32", protocol="sphere")
    writer = SeriesWriter.create(folder, replace(given, **index))
    for part in np.array_split(np.arange(len(weights)), chunks):
        losses = np.full(len(part), 0.5)
        writer.append(part + 1, weights[part], losses, losses)
    writer.close(complete=True)


class TestReduction:
    def test_a_series_becomes_its_inner_products(self, tmp_path, rng):
        weights = walk(rng)
        write(tmp_path, weights)
        before = read_index(tmp_path)
        reduced = reduce_series(tmp_path, tmp_path)
        assert read_index(tmp_path) == reduced
        assert (reduced.storage, reduced.d, reduced.steps, reduced.complete) == ("isometric", D, before.steps, True)
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["index.json", *(c.file for c in reduced.chunks)])
        found = read_snapshots(tmp_path)
        assert relative(pdist(found.weights), pdist(weights.astype(float))) < 1e-7
        sketch = CountSketch(D, reduced.sketch_dim)
        np.testing.assert_allclose(found.shared, sketch.apply(weights), rtol=1e-6, atol=1e-7)

    def test_identical_snapshots_coincide_to_the_last_bit(self, tmp_path, rng):
        weights = walk(rng)
        weights[7:10] = weights[3]
        write(tmp_path, weights)
        reduce_series(tmp_path, tmp_path)
        found = read_snapshots(tmp_path).weights
        assert (found[7:10] == found[3]).all()
        assert len(np.unique(found, axis=0)) == N - 3

    def test_a_change_that_the_sketch_hides_is_a_change(self, tmp_path, rng):
        """Two columns of one bucket move against each other."""
        weights = walk(rng)
        hashed = CountSketch(D, 512).apply(np.eye(D, dtype=np.float32))
        bucket = np.abs(hashed).argmax(axis=1)
        i, j = np.flatnonzero(bucket == bucket[0])[:2]
        weights[7], weights[8] = weights[3], weights[3]
        weights[:, [i, j]] = 0.5
        weights[8, i] += 0.25
        weights[8, j] -= 0.25 * hashed[i].sum() * hashed[j].sum()
        write(tmp_path, weights)
        reduce_series(tmp_path, tmp_path)
        found = read_snapshots(tmp_path)
        assert (found.shared[8] == found.shared[3]).all()
        assert (found.weights[7] == found.weights[3]).all()
        assert np.linalg.norm(found.weights[8] - found.weights[3]) == pytest.approx(0.25 * 2**0.5, rel=1e-6)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_snapshot_that_is_not_finite_costs_no_other(self, tmp_path, rng, bad):
        weights = walk(rng)
        weights[-4:, 100:] = bad
        weights[-5, -1] = bad
        write(tmp_path, weights)
        reduce_series(tmp_path, tmp_path)
        found = read_snapshots(tmp_path)
        assert relative(pdist(found.weights[:-5]), pdist(weights[:-5].astype(float))) < 1e-7
        assert not np.isfinite(found.weights[-5:]).all(axis=1).any()
        assert not np.isfinite(found.shared[-5:]).all(axis=1).any()

    def test_into_another_folder_leaves_the_first_alone(self, tmp_path, rng):
        write(tmp_path / "whole", walk(rng))
        before = sorted(p.name for p in (tmp_path / "whole").iterdir())
        reduce_series(tmp_path / "whole", tmp_path / "out")
        assert sorted(p.name for p in (tmp_path / "whole").iterdir()) == before
        assert read_snapshots(tmp_path / "out").weights.shape == (N, N)

    def test_a_damaged_chunk_is_not_reduced(self, tmp_path, rng):
        write(tmp_path, walk(rng))
        path = tmp_path / read_index(tmp_path).chunks[1].file
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"damaged \(sha256 differs\)"):
            reduce_series(tmp_path, tmp_path)
        assert read_index(tmp_path).storage == "full"

    def test_many_rows_are_cut_into_chunks(self, tmp_path, rng, monkeypatch):
        monkeypatch.setattr("mlflow_thermo.store.reduce.MAX_CHUNK_BYTES", 40_000)
        weights = walk(rng)
        write(tmp_path, weights)
        assert len(reduce_series(tmp_path, tmp_path).chunks) > 2
        assert relative(pdist(read_snapshots(tmp_path).weights), pdist(weights.astype(float))) < 1e-7

    def test_a_stranger_reads_it(self, tmp_path, rng):
        weights = walk(rng)
        write(tmp_path, weights)
        reduce_series(tmp_path, tmp_path)
        raw = json.loads((tmp_path / "index.json").read_text())
        n = len(raw["steps"])
        lower = np.zeros((n, n))
        lower[np.tril_indices(n)] = np.concatenate([load_file(tmp_path / c["file"])["triangle"] for c in raw["chunks"]])
        np.testing.assert_allclose(lower @ lower.T, weights.astype(float) @ weights.T.astype(float), atol=1e-10)

    def test_a_reduced_series_cannot_go_on(self, tmp_path, rng):
        write(tmp_path, walk(rng))
        reduce_series(tmp_path, tmp_path)
        SeriesWriter.resume(tmp_path).close(complete=False)
        with pytest.raises(StoreError, match="cannot go on"):
            SeriesWriter.resume(tmp_path)


class TestChoice:
    GB = 2**30

    @pytest.mark.parametrize(
        ("asked", "n", "d", "expected"),
        [
            ("auto", 1000, 1530, "full"),  # digits-up
            ("auto", 1000, 24_408, "isometric"),
            ("auto", 1000, 1_550_016, "isometric"),
            ("auto", 30_000, 24_408, "full"),  # its inner products would be no smaller
            ("auto", 5000, 2000, "full"),
            ("full", 1000, 1_550_016, "full"),
            ("isometric", 10, 20, "isometric"),
            ("isometric", 20, 20, "full"),
            ("sketch", 20, 20, "sketch"),
        ],
    )
    def test_by_size(self, asked, n, d, expected):
        assert choose_storage(asked, n, d, 4, 40 * self.GB) == expected

    def test_a_disk_that_is_too_small(self):
        assert choose_storage("auto", 1000, 1_550_016, 4, 4 * self.GB) == "sketch"

    def test_unknown(self):
        with pytest.raises(ThermoError, match="storage 'zip' is unknown: choose one of auto, full"):
            choose_storage("zip", 1, 1, 4, self.GB)

    @pytest.mark.parametrize(("share", "expected"), [(0.5, ["isometric", "sketch"]), (0.25, ["sketch", "sketch"])])
    def test_the_series_of_a_run_share_the_disk(self, tmp_path, monkeypatch, share, expected):
        """Each for itself would fit."""
        n, d = 100, 200_000
        free = 3 * n * d * 4
        monkeypatch.setattr("mlflow_thermo.recorder.shutil.disk_usage", lambda folder: type("Use", (), {"free": free}))
        series = [Schedule(name, tuple(range(1, n + 1))) for name in ("one", "two")]
        recorder = SnapshotRecorder(
            [("w", torch.nn.Parameter(torch.zeros(d)))], series=series, directory=tmp_path, disk_share=share
        )
        recorder.step(0.5)
        modes = ["isometric" if s.reduced_at_end else s.writer.index.storage for s in recorder._series]
        assert modes == expected


class TestRecorder:
    """The same training, kept in each form."""

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
        with pytest.raises(ThermoError, match="could not be reduced .*No space left.* whole snapshots are safe in"):
            self.record(tmp_path, "isometric")
        assert read_snapshots(tmp_path / "every").weights.shape == (N, D)

    @pytest.mark.parametrize(
        ("options", "message"), [({"storage": "zip"}, "unknown"), ({"sketch_columns": 0}, "sketch_columns")]
    )
    def test_refuses(self, tmp_path, options, message):
        with pytest.raises(ThermoError, match=message):
            SnapshotRecorder([("w", torch.nn.Parameter(torch.zeros(3)))], 10, directory=tmp_path, **options)


@given(n=st.integers(2, 12), d=st.integers(12, 40), seed=st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_any_shape(n, d, seed):
    X = np.random.default_rng(seed).normal(size=(n, d))
    lower = isometric_factor(pieces(X, 7))
    assert relative(pdist(lower), pdist(X)) < 1e-10


@pytest.fixture
def rng():
    return np.random.default_rng(0)
