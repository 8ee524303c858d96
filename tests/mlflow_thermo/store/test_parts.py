"""An index in parts: written so that no chunk costs more than another, and read as if it were in one piece."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from mlflow_thermo.store import (
    SeriesWriter,
    index as index_module,
    parts as parts_module,
    read_index,
    read_snapshots,
    read_weights,
    reduce_series,
    series as series_module,
    shortened,
)
from mlflow_thermo.store.parts import CHUNKS_PER_PART
from tests.mlflow_thermo.store.samples import CHUNKS, WEIGHTS, begin, go_on, sign


def names(folder):
    return sorted(path.name for path in folder.glob("*.json*"))


class TestWriting:
    @pytest.mark.parametrize("chunks", range(1, CHUNKS + 1))
    def test_parts_are_read_as_one_index(self, pairs, tmp_path, monkeypatch, chunks):
        writer = go_on(begin(tmp_path / "parts"), chunks)
        found = read_index(tmp_path / "parts")
        assert found == writer.index
        assert writer.on_disk == found.n_snapshots == 2 * chunks
        assert [part.n_chunks for part in found.parts] == [2] * ((chunks - 1) // 2)
        assert names(tmp_path / "parts") == sorted(["index.json", *(part.file for part in found.parts)])
        monkeypatch.setattr(SeriesWriter, "chunks_per_part", 100)
        assert go_on(begin(tmp_path / "whole"), chunks).index == replace(found, parts=())
        np.testing.assert_array_equal(read_weights(tmp_path / "parts"), WEIGHTS[: 2 * chunks])

    def test_few_chunks_need_none(self, tmp_path):
        writer = begin(tmp_path)
        for step in range(1, CHUNKS_PER_PART + 2):
            assert (names(tmp_path), writer.index.parts) == (["index.json"], ())
            writer.append([step], WEIGHTS[:1], [0.5], [0.5])
        assert names(tmp_path) == ["index-000000.json", "index.json"]
        assert len(json.loads((tmp_path / "index.json").read_text())["chunks"]) == 1

    def test_a_stranger_puts_it_together(self, parted):
        """As docs/format.md says."""
        index = json.loads((parted / "index.json").read_text())
        parts = [json.loads((parted / part["file"]).read_text()) for part in index.get("parts", [])]
        for name in ("steps", "loss", "loss_mean", "chunks"):
            index[name] = [entry for part in (*parts, index) for entry in part[name]]
        found = np.concatenate([load_file(parted / chunk["file"])["weights"] for chunk in index["chunks"]])
        np.testing.assert_array_equal(found, WEIGHTS)
        assert tuple(index["loss_mean"]) == read_index(parted).loss_mean

    def test_what_a_chunk_costs_does_not_grow(self, tmp_path, monkeypatch):
        """Bytes of all indexes and parts that are written for each of 300 chunks."""
        costs = [0]

        def counted(path, lines):
            content = write(path, lines)
            costs[-1] += len(content)
            return content

        write = index_module.write_lines
        for module in (index_module, parts_module):
            monkeypatch.setattr(module, "write_lines", counted)
        writer = begin(tmp_path)
        for step in range(1, 301):
            costs.append(0)  # of this chunk; the first is that of the empty series
            writer.append([step], WEIGHTS[:1], [0.5], [0.5])
        # While a second part fills, and while a fourth one does: only the names of two parts are more.
        early, late = (sum(costs[k * CHUNKS_PER_PART + 2 :][:CHUNKS_PER_PART]) for k in (1, 3))
        assert early < late < early + 2 * 200 * CHUNKS_PER_PART < 1.1 * early
        assert len(read_index(tmp_path).parts) == 4

    def test_a_part_is_written_once_and_before_its_index(self, pairs, tmp_path, monkeypatch):
        written = []

        def watched(source, target):
            written.append(target.name)
            replace_file(source, target)

        replace_file = os.replace
        writer = begin(tmp_path)
        monkeypatch.setattr(os, "replace", watched)
        go_on(writer, 5)
        assert [name for name in written if name.endswith("json")] == [
            "index.json", "index.json", "index-000000.json", "index.json", "index.json", "index-000001.json",
            "index.json",
        ]  # fmt: skip


class TestGoingOn:
    def dies(self, monkeypatch, module, name):
        def killed(*arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(module, name, killed)

    @pytest.mark.parametrize("left", [None, b"", b"{}"])
    @pytest.mark.parametrize("at", ["write_json", "write_part"])
    def test_a_death_between_a_part_and_its_index(self, parted, tmp_path, monkeypatch, at, left):
        """A part that no index names is not seen, and the next writer puts its own there."""
        writer = go_on(begin(tmp_path / "killed"), 4)
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            self.dies(patched, series_module, at)
            go_on(writer, 5)
        before = read_index(tmp_path / "killed")
        assert (len(before.chunks), len(before.parts), writer.on_disk) == (4, 1, 8)
        if left is not None:
            (tmp_path / "killed" / "index-000001.json").write_bytes(left)
        go_on(SeriesWriter.resume(tmp_path / "killed")).close(complete=True)
        assert read_index(tmp_path / "killed") == read_index(parted)
        assert names(tmp_path / "killed") == names(parted)

    def test_a_disk_that_was_full_for_a_while(self, parted, tmp_path, monkeypatch):
        """What could not be named yet is in the next index."""

        def full(*arguments):
            raise OSError(28, "No space left on device")

        writer = go_on(begin(tmp_path / "full"), 4)
        with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
            patched.setattr(series_module, "write_part", full)
            go_on(writer, 5)
        go_on(writer).close(complete=True)
        assert read_index(tmp_path / "full") == read_index(parted)

    @pytest.mark.parametrize("chunks", range(CHUNKS + 1))
    def test_resumed_anywhere(self, parted, tmp_path, chunks):
        go_on(begin(tmp_path / "resumed"), chunks)
        writer = SeriesWriter.resume(tmp_path / "resumed")
        assert writer.last_step == (2 * chunks or None)
        go_on(writer).close(complete=True)
        assert read_index(tmp_path / "resumed") == read_index(parted)

    @pytest.mark.parametrize("chunks", range(CHUNKS + 1))
    def test_cut_anywhere(self, parted, chunks):
        whole = read_index(parted)
        left = shortened(whole, chunks)
        assert (left.chunks, left.steps) == (whole.chunks[:chunks], whole.steps[: 2 * chunks])
        assert left.parts == whole.parts[: chunks // 2]
        SeriesWriter(parted, left).close(complete=False)
        found = read_index(parted)
        assert found == replace(left, complete=False)
        go_on(SeriesWriter.resume(parted)).close(complete=True)
        assert read_index(parted) == whole

    def test_an_index_of_an_earlier_version_gets_parts(self, parted, tmp_path, monkeypatch):
        with monkeypatch.context() as patched:
            patched.setattr(SeriesWriter, "chunks_per_part", 100)
            go_on(begin(tmp_path / "old"), 6)
        raw = json.loads((tmp_path / "old" / "index.json").read_text())
        del raw["parts"]
        raw["schema_version"] = 4
        (tmp_path / "old" / "index.json").write_text(json.dumps(sign(raw)))
        assert read_index(tmp_path / "old").schema_version == 4
        go_on(SeriesWriter.resume(tmp_path / "old")).close(complete=True)
        assert read_index(tmp_path / "old") == read_index(parted)

    def test_chunks_from_any_on(self, parted):
        writer = SeriesWriter.resume(parted)
        whole = read_index(parted).chunks
        assert [writer.chunks(start) for start in range(CHUNKS + 1)] == [whole[start:] for start in range(CHUNKS + 1)]


class TestReduction:
    def test_no_part_stays_behind(self, parted):
        before = read_index(parted)
        reduced = reduce_series(parted, parted)
        assert read_index(parted) == reduced
        assert (reduced.parts, reduced.steps, reduced.loss) == ((), before.steps, before.loss)
        assert names(parted) == ["index.json"]
        coordinates = read_snapshots(parted).weights
        np.testing.assert_allclose(coordinates @ coordinates.T, WEIGHTS @ WEIGHTS.T, atol=1e-5)

    def test_a_death_before_the_reduced_index_leaves_the_full_series(self, parted, monkeypatch):
        def killed(*arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr("mlflow_thermo.store.reduce.write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            reduce_series(parted, parted)
        np.testing.assert_array_equal(read_weights(parted), WEIGHTS)

    def test_elsewhere_the_full_series_keeps_its_parts(self, parted, tmp_path):
        before = names(parted)
        reduce_series(parted, tmp_path / "out")
        assert (names(parted), names(tmp_path / "out")) == (before, ["index.json"])
