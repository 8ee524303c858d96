"""A series on disk becomes its inner products."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.spatial.distance import pdist

from mlflow_thermo.store import (
    CountSketch,
    SeriesWriter,
    StoreError,
    read_index,
    read_snapshots,
    reduce_series,
)
from tests.mlflow_thermo.store.samples import D, N, relative, walk, write


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
        """Two columns in one bucket change by opposite amounts."""
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
        with pytest.raises(StoreError, match="cannot be continued"):
            SeriesWriter.resume(tmp_path)
