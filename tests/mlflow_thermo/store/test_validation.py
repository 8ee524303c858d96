"""An index may come from anyone: what contradicts itself, or cannot be, is refused before anything is read."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from mlflow_thermo.schema import ParameterSlice, SeriesIndex
from mlflow_thermo.store import SeriesWriter, StoreError, read_index, read_snapshots, sha256_of
from tests.mlflow_thermo.store.samples import refused, rewrite, sign


class TestChecksum:
    def test_another_can_compute_it(self, series):
        raw = json.loads((series / "index.json").read_text())
        assert sign(raw) == raw
        assert raw["schema_version"] == 5

    def test_it_covers_the_content_and_not_the_layout_of_the_file(self, series):
        before = read_index(series)
        raw = json.loads((series / "index.json").read_text())
        (series / "index.json").write_text(json.dumps(dict(reversed(raw.items())), indent=3))
        assert read_index(series) == before

    @pytest.mark.parametrize("old", ['"seed":3', '"lr":0.1', '"uniform_loss":2.5', '"weight"'])
    def test_a_change_of_one_digit_is_seen(self, series, old):
        text = (series / "index.json").read_text()
        changed = old.replace("3", "2").replace("0.1", "0.2").replace("2.5", "2.6").replace("w", "h")
        (series / "index.json").write_text(text.replace(old, changed))
        refused(series, r"index\.json: field checksum")

    def test_numbers_keep_their_last_digit(self, tmp_path):
        lr = 0.1 + 0.2
        writer = SeriesWriter.create(tmp_path, SeriesIndex("spaced", 1, "float64", "sphere", lr=lr))
        losses = np.array([1e-320, -0.0, 1 / 3, 1e300])
        writer.append(range(1, 5), np.ones((4, 1)), losses, losses)
        assert read_index(tmp_path).loss == tuple(losses.tolist())
        assert read_index(tmp_path).lr == lr


def test_version_4_is_read(series):
    before = read_index(series)
    raw = json.loads((series / "index.json").read_text())
    del raw["parts"]
    (series / "index.json").write_text(json.dumps(sign({**raw, "schema_version": 4})))
    assert read_index(series) == replace(before, schema_version=4)
    assert read_snapshots(series).weights.size


@pytest.mark.parametrize("version", [1, 2, 3])
def test_earlier_versions_are_read_under_the_same_rules(full, version):
    before, weights = read_index(full), read_snapshots(full).weights

    def change(raw):
        raw["schema_version"] = version

    rewrite(full, change)
    refused(full, f"field checksum: version {version}")
    raw = json.loads((full / "index.json").read_text())
    del raw["checksum"], raw["parts"]
    (full / "index.json").write_text(json.dumps(raw))
    found = read_index(full)
    assert (found.schema_version, found.steps, found.chains) == (version, before.steps, 2)
    np.testing.assert_array_equal(read_snapshots(full).weights, weights)
    (full / "index.json").write_text(json.dumps({**raw, "lr": -1.0}))
    refused(full, "field lr: Input should be greater than 0, got -1.0")
    # A series that goes on is written in the version of today.
    (full / "index.json").write_text(json.dumps(raw))
    SeriesWriter.resume(full).close(complete=True)
    assert read_index(full) == before


class TestFields:
    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("schema_version", 6, "schema_version 6.*upgrade"),
            ("schema_version", True, "schema_version True.*upgrade"),
            ("new", 1, "field new: Extra inputs"),
            ("d", 0, "field d:"),
            ("d", 60.0, "field d: Input should be a valid integer, got 60.0"),
            ("d", 61, "field layout: it covers 60 of d = 61"),
            ("d", 10**30, "field d:"),
            ("dtype", "int8", "field dtype: Input should be 'float16', 'float32' or 'float64', got 'int8'"),
            ("dtype", "float64", r"field chunks.0.bytes: \d+ do not fit 8 snapshots"),
            ("protocol", "cube", "field protocol:"),
            ("protocol", "spheres", None),
            ("storage", "auto", "field storage:"),
            ("storage", "sketch", "field sketch_dim: 0 with storage 'sketch'"),
            ("sketch_dim", 5, "field sketch_dim: 5 with storage 'full'"),
            ("lr", "0.1", "field lr: Input should be a valid number, got '0.1'"),
            ("lr", 10**400, "field lr"),
            ("lr", 1e300, "field lr: Input should lie between 1e-100 and 1e100, got 1e.300"),
            ("lr", float("inf"), "index.json.*field lr"),
            ("seed", 2**64, "field seed"),
            ("chains", 5, "field chains: 5 do not divide the 24"),
            ("chains", 3, "field steps: (they do not rise|each does not stand 3)"),
            ("chains", 1, "field steps: they do not rise"),
            ("complete", 1, "field complete"),
            ("series", "../x", "field series: '../x' cannot be the name"),
            ("series", "\x1b[31mred", r"field series: '\\x1b\[31mred' cannot"),
            ("checksum", "0" * 64, "field checksum"),
            ("checksum", None, "field checksum"),
            ("attributes", {"set_temperature": "abc"}, "field attributes.set_temperature: .*got 'abc'"),
            ("attributes", {"uniform_loss": []}, "field attributes.uniform_loss"),
            ("attributes", {"minibatch_squares": [[1]]}, "field attributes.minibatch_squares.0"),
            ("attributes", {"mine": [1.0, float("nan")]}, "index.json"),
            ("attributes", [], "field attributes"),
            ("layout", [{"name": "w", "shape": [60], "offset": 0, "size": 59}], "layout of 'w': size 59"),
            ("layout", [{"name": "w", "shape": [30], "offset": 0, "size": 30}] * 2, "layout of 'w': it begins at 0"),
            ("layout", [{"name": "w", "shape": [-60], "offset": 0, "size": 60}], "field layout.0.shape.0"),
        ],
    )
    def test_what_cannot_be_is_refused(self, full, field, value, words):
        rewrite(full, lambda raw: raw.update({field: value}) if field != "checksum" else None)
        if field == "checksum":
            raw = json.loads((full / "index.json").read_text())
            (full / "index.json").write_text(json.dumps({**raw, "checksum": value}))
        if words is None:
            assert read_index(full).protocol == value
        else:
            refused(full, words)

    @pytest.mark.parametrize(
        "field", ["schema_version", "series", "d", "dtype", "protocol", "layout", "steps", "chunks"]
    )
    def test_what_is_lacking_is_named(self, full, field):
        rewrite(full, lambda raw: raw.pop(field))
        refused(full, f"{field}: Field required" if field != "schema_version" else "schema_version None")

    @pytest.mark.parametrize("field", ["steps", "loss", "loss_mean"])
    def test_lengths_agree(self, full, field):
        rewrite(full, lambda raw: raw[field].pop())
        refused(full, "entries|add up")

    @pytest.mark.parametrize("value", [0, -1, 2.0, "3", None, 10**20])
    def test_steps_are_positive_whole_numbers(self, full, value):
        rewrite(full, lambda raw: raw["steps"].__setitem__(0, value))
        refused(full, "field steps.0")

    @pytest.mark.parametrize("value", ["1", True, [], float("nan")])
    def test_losses_are_finite_or_null(self, full, value):
        rewrite(full, lambda raw: raw["loss"].__setitem__(3, value))
        refused(full, "field loss")

    @pytest.mark.parametrize(
        "name",
        [
            "../w.safetensors", "/w.safetensors", "a/w.safetensors", ".w.safetensors", "..", "w.npz", "C:w.safetensors",
            "a\\w.safetensors", "w\0.safetensors", "ẅ.safetensors", "w" * 300 + ".safetensors", "\n.safetensors",
        ],
    )  # fmt: skip
    def test_chunks_have_plain_names(self, full, name):
        rewrite(full, lambda raw: raw["chunks"][1].update(file=name))
        refused(full, r"field chunks.1.file: .* is not a plain name")

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("sha256", "0" * 63, "chunks.0.sha256"),
            ("sha256", "G" * 64, "chunks.0.sha256"),
            ("first_step", 2, "chunks.0.first_step: it does not agree"),
            ("last_step", 3, "chunks.0.first_step: it does not agree"),
            ("n_snapshots", 9, "add up to 25"),
            ("bytes", 2**40, "chunks.0.bytes: 1099511627776 do not fit 8 snapshots"),
            ("bytes", 0, "chunks.0.bytes"),
            ("extra", 0, "chunks.0.extra"),
        ],
    )
    def test_chunks_agree_with_the_rest(self, full, field, value, words):
        rewrite(full, lambda raw: raw["chunks"][0].update({field: value}))
        refused(full, words)

    def test_two_chunks_are_two_files(self, full):
        rewrite(full, lambda raw: raw["chunks"][1].update(file=raw["chunks"][0]["file"]))
        refused(full, "field chunks: two of them name one file")

    def test_no_memory_for_what_no_file_holds(self, full):
        """The index agrees with itself, but not with its files."""
        n, d = 24, 10**12

        def change(raw):
            raw.update(d=d, layout=[])
            for chunk in raw["chunks"]:
                chunk["bytes"] = chunk["n_snapshots"] * d * 4 + 100

        rewrite(full, change)
        assert read_index(full).n_snapshots == n
        refused(full, "is half-written .field bytes")

    def test_the_name_and_the_digest_that_a_reader_knows(self, full):
        assert read_index(full, "spaced", sha256_of(full / "index.json")).series == "spaced"
        with pytest.raises(StoreError, match=r"field series: it is that of 'spaced', not of 'bursts'"):
            read_index(full, "bursts")
        with pytest.raises(StoreError, match=r"spaced/index\.json: field sha256"):
            read_index(full, "spaced", "0" * 64)


class TestWriting:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"protocol": "cube"}, "series 'spaced': field protocol"),
            ({"dtype": "int32"}, "field dtype"),
            ({"lr": float("nan")}, "field lr"),
            ({"series": "a/b"}, "field series"),
            ({"layout": (ParameterSlice("w", (2,), 0, 2),)}, "field layout: it covers 2 of d = 5"),
            ({"attributes": {"uniform_loss": "unknown"}}, "field attributes.uniform_loss"),
        ],
    )
    def test_what_no_reader_would_take_is_not_begun(self, tmp_path, change, words):
        index = SeriesIndex(**{"series": "spaced", "d": 5, "dtype": "float32", "protocol": "sphere", **change})
        with pytest.raises(StoreError, match=words):
            SeriesWriter.create(tmp_path / "new", index)
        assert not (tmp_path / "new").exists()

    def test_snapshots_have_the_dtype_of_the_index(self, tmp_path):
        writer = SeriesWriter.create(tmp_path, SeriesIndex("spaced", 2, "float32", "sphere"))
        path = writer.append([1], np.array([[1 / 3, 2.0]]), [0.0], [0.0])
        assert load_file(path)["weights"].dtype == np.float32
