"""Chunks on disk: append, resume, and every way in which a file can be wrong."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from safetensors.numpy import load_file, save_file

from mlflow_thermo.schema import INDEX_NAME, SeriesIndex
from mlflow_thermo.store import MAX_CHUNK_BYTES, SeriesWriter, StoreError, read_index, read_weights, rows_per_chunk
from tests.mlflow_thermo.store.samples import shared_folder, unprivileged

D = 5


def index(**changes):
    return SeriesIndex(**{"series": "spaced", "d": D, "dtype": "float32", "protocol": "sphere", **changes})


def write(folder, chunks=2, rows=3):
    writer = SeriesWriter.create(folder, index())
    rng = np.random.default_rng(0)
    kept = []
    for c in range(chunks):
        weights = rng.normal(size=(rows, D)).astype(np.float32)
        steps = range(1 + c * rows, 1 + (c + 1) * rows)
        writer.append(steps, weights, np.full(rows, c + 0.5), np.full(rows, np.nan))
        kept.append(weights)
    writer.close(complete=True)
    return np.concatenate(kept)


def test_reads_back_what_was_written(tmp_path):
    weights = write(tmp_path)
    back = read_index(tmp_path)
    np.testing.assert_array_equal(read_weights(tmp_path), weights)
    assert back.complete
    assert back.steps == tuple(range(1, 7))
    assert back.loss == (0.5,) * 3 + (1.5,) * 3
    assert back.loss_mean == (None,) * 6


def test_a_stranger_reads_it_with_safetensors_and_json(tmp_path):
    weights = write(tmp_path)
    raw = json.loads((tmp_path / "index.json").read_text())
    found = np.concatenate([load_file(tmp_path / c["file"])["weights"] for c in raw["chunks"]])
    np.testing.assert_array_equal(found, weights)
    assert raw["chunks"][1]["file"] == "weights-000000004-000000006.safetensors"


def test_resume_continues_after_the_last_closed_chunk(tmp_path):
    weights = write(tmp_path, chunks=1)
    # A process that died between the chunk and the index leaves a file that no index lists.
    (tmp_path / "weights-000000004-000000006.safetensors.part").write_bytes(b"half")
    writer = SeriesWriter.resume(tmp_path)
    assert writer.last_step == 3
    writer.append([4], weights[:1], [1.0], [1.0])
    np.testing.assert_array_equal(read_weights(tmp_path), weights[[0, 1, 2, 0]])


def test_a_series_is_not_overwritten(tmp_path):
    write(tmp_path)
    with pytest.raises(StoreError, match="already holds a series"):
        SeriesWriter.create(tmp_path, index())


@pytest.mark.parametrize(
    ("steps", "shape"), [([], (0, D)), ([4, 5], (3, D)), ([4], (1, D + 1)), ([3], (1, D)), ([5, 4], (2, D))]
)
def test_refuses_chunks_that_do_not_fit(tmp_path, steps, shape):
    write(tmp_path, chunks=1)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(StoreError, match="spaced"):
        SeriesWriter.resume(tmp_path).append(steps, np.zeros(shape, np.float32), [0.0] * len(steps), [0.0] * len(steps))
    assert sorted(path.name for path in tmp_path.iterdir()) == before


class TestDamage:
    def chunk(self, folder):
        return folder / read_index(folder).chunks[1].file

    def test_missing(self, tmp_path):
        write(tmp_path)
        self.chunk(tmp_path).unlink()
        with pytest.raises(StoreError, match=r"weights-000000004-000000006\.safetensors is missing"):
            read_weights(tmp_path)

    def test_half_written(self, tmp_path):
        write(tmp_path)
        path = self.chunk(tmp_path)
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(StoreError, match="half-written"):
            read_weights(tmp_path)

    def test_one_flipped_bit(self, tmp_path):
        write(tmp_path)
        path = self.chunk(tmp_path)
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"damaged \(sha256 differs\)"):
            read_weights(tmp_path)

    @pytest.mark.parametrize("tensors", [{"other": np.zeros((3, D), np.float32)}, {"weights": np.zeros((2, D))}])
    def test_another_file_in_its_place(self, tmp_path, tensors):
        from dataclasses import replace

        from mlflow_thermo.store import sha256_of

        write(tmp_path)
        path, known = self.chunk(tmp_path), read_index(tmp_path)
        save_file(tensors, path)
        chunk = replace(known.chunks[1], bytes=path.stat().st_size, sha256=sha256_of(path))
        SeriesWriter(tmp_path, replace(known, chunks=(known.chunks[0], chunk))).close(complete=True)
        with pytest.raises(StoreError, match="is not a snapshot chunk|has shape"):
            read_weights(tmp_path)

    @pytest.mark.parametrize("content", [b"", b'{"schema_version": 1, "ser', b"[]", b"\xff\xfe", b"{}"])
    def test_index_that_is_not_one(self, tmp_path, content):
        write(tmp_path)
        (tmp_path / INDEX_NAME).write_bytes(content)
        with pytest.raises(Exception, match=r"not valid JSON|schema_version") as caught:
            read_index(tmp_path)
        assert "\n" not in str(caught.value)

    def test_no_index(self, tmp_path):
        with pytest.raises(StoreError, match=r"has no index\.json"):
            read_index(tmp_path)


@given(n=st.integers(1, 5000), d=st.integers(1, 10**8), itemsize=st.sampled_from([4, 8]))
@settings(max_examples=200, deadline=None)
def test_chunks_are_few_and_bounded(n, d, itemsize):
    rows = rows_per_chunk(n, d, itemsize)
    assert 1 <= rows <= n
    assert rows == 1 or rows * d * itemsize <= MAX_CHUNK_BYTES
    assert -(-n // rows) <= 4 or (rows + 1) * d * itemsize > MAX_CHUNK_BYTES


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_chunks_may_be_read_by_whoever_may_read_the_index(tmp_path, umask):
    (tmp_path / "weights-000000001-000000003.safetensors.part").touch(0o600)
    before = os.umask(umask)
    try:
        write(tmp_path)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o666 & ~umask}


@pytest.mark.parametrize("name", ["index.json", "weights-000000001-000000003.safetensors"])
def test_a_file_that_may_not_be_read_is_one_line_with_the_remedy(name):
    with shared_folder() as folder:
        write(folder)
        (folder / name).chmod(0)
        with unprivileged(), pytest.raises(StoreError, match=f"{name}.*permission denied.*'chmod -R a\\+rX {folder}'"):
            read_weights(folder)
