"""An index may come from anyone: what contradicts itself, or cannot be, is refused before anything is read."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from benchmarks.mutations import STORAGES, write_sample
from mlflow_thermo.schema import ParameterSlice, SeriesIndex
from mlflow_thermo.store import SeriesWriter, StoreError, read_index, read_snapshots, sha256_of


def sign(raw):
    """As docs/format.md tells others to do."""
    rest = {key: value for key, value in raw.items() if key != "checksum"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return {**rest, "checksum": hashlib.sha256(canonical.encode()).hexdigest()}


def rewrite(folder, change, **dumps):
    raw = json.loads((folder / "index.json").read_text())
    change(raw)
    (folder / "index.json").write_text(json.dumps(sign(raw), **dumps))


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """A series in each storage form, to be copied."""
    root = tmp_path_factory.mktemp("samples")
    for storage in STORAGES:
        write_sample(root / storage, storage)
    return root


@pytest.fixture(params=STORAGES)
def series(request, samples, tmp_path):
    return shutil.copytree(samples / request.param, tmp_path / "spaced")


@pytest.fixture
def full(samples, tmp_path):
    return shutil.copytree(samples / "full", tmp_path / "spaced")


def refused(folder, words):
    with pytest.raises(StoreError, match=words) as caught:
        read_snapshots(folder, read_index(folder))
    said = str(caught.value)
    assert "\n" not in said
    assert said.isprintable()
    assert "index.json" in said or ".safetensors" in said


class TestChecksum:
    def test_another_can_compute_it(self, series):
        raw = json.loads((series / "index.json").read_text())
        assert sign(raw) == raw
        assert raw["schema_version"] == 4

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


@pytest.mark.parametrize("version", [1, 2, 3])
def test_earlier_versions_are_read_under_the_same_rules(full, version):
    before, weights = read_index(full), read_snapshots(full).weights

    def change(raw):
        raw["schema_version"] = version

    rewrite(full, change)
    refused(full, f"field checksum: version {version}")
    raw = {key: value for key, value in json.loads((full / "index.json").read_text()).items() if key != "checksum"}
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
            ("schema_version", 5, "schema_version 5.*upgrade"),
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


class TestText:
    @pytest.mark.parametrize(
        ("fresh", "words"),
        [
            ("NaN", "field lr"), ("1e999", "field lr"), ("-Infinity", "field lr"), ("1" * 6000, "field lr"),
            ("[" * 100_000, "field lr"), ('{"a":' * 100_000, "nested|recursion"), ('"\\ud800"', "field lr"),
            ("0.1,\n\"lr\":0.2", "field lr stands there twice"), ('{"x":1,"x":2}', "field x stands there twice"),
        ],
    )  # fmt: skip
    def test_what_json_has_no_word_for(self, full, fresh, words):
        text = (full / "index.json").read_text()
        (full / "index.json").write_text(text.replace('"lr":0.1', f'"lr":{fresh}'))
        refused(full, words)

    @pytest.mark.parametrize("fresh", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\x00", b"\n"])
    def test_what_is_not_utf_8(self, full, fresh):
        content = (full / "index.json").read_bytes()
        (full / "index.json").write_bytes(content.replace(b'"weight"', b'"wei' + fresh + b'ght"'))
        refused(full, "not valid JSON: field name")

    def test_a_key_that_hides_in_a_list(self, full):
        text = (full / "index.json").read_text()
        (full / "index.json").write_text(text.replace('"steps":[', '"steps":[1],"steps":['))
        refused(full, "field steps stands there twice")

    @pytest.mark.parametrize("part", [b"[],", b"{},", b'"ab",', b"1.5,"])
    def test_few_bytes_that_become_many_objects(self, full, part):
        (full / "index.json").write_bytes(b'{"schema_version":4,\n"steps":[' + part * 4_000_000 + b"0]\n}")
        refused(full, r"index\.json: field \(all\): \d+ of the sign")

    def test_an_index_that_is_too_large_is_not_read(self, full):
        with (full / "index.json").open("r+b") as handle:
            handle.truncate(2**36)
        refused(full, r"field \(all\): 68719476736 bytes")


class TestFiles:
    @pytest.fixture(params=["index.json", "weights-000000005-000000008.safetensors"])
    def path(self, full, request):
        return full / request.param

    def test_a_fifo_is_not_waited_for(self, path):
        path.unlink()
        os.mkfifo(path)
        refused(path.parent, "field file: it is not a regular file")

    def test_a_folder(self, path):
        path.unlink()
        path.mkdir()
        refused(path.parent, "field file: it is not a regular file")

    @pytest.mark.parametrize("target", ["/dev/zero", "/etc/hostname"])
    def test_a_link_that_leads_out(self, path, target):
        path.unlink()
        path.symlink_to(target)
        refused(path.parent, "field file: it is a link that leads out")

    def test_a_link_to_itself(self, path):
        path.unlink()
        path.symlink_to(path.name)
        refused(path.parent, "field file: it cannot be read")

    def test_a_link_inside_of_the_folder(self, path):
        path.rename(path.parent / "moved")
        path.symlink_to("moved")
        assert read_snapshots(path.parent).weights.shape == (24, 60)


class TestChunks:
    def put(self, folder, tensors, pad=0):
        """Other tensors in the first chunk, with digests that fit."""
        path = folder / read_index(folder).chunks[0].file
        save_file(tensors, path)
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = content[8 : 8 + length] + b" " * pad
        path.write_bytes((length + pad).to_bytes(8, "little") + header + content[8 + length :])

        def change(raw):
            raw["chunks"][0].update(bytes=path.stat().st_size, sha256=sha256_of(path))

        rewrite(folder, change)

    @pytest.mark.parametrize(
        ("tensors", "words"),
        [
            ({"weights": np.zeros((8, 60), np.int32)}, "has dtype 'I32' in field weights, its index says float32"),
            ({"weights": np.zeros((16, 60), np.float16)}, r"has shape \[16, 60\] in field weights"),
            ({"weights": np.zeros((60, 8), np.float32)}, r"has shape \[60, 8\] in field weights"),
            ({"other": np.zeros((8, 60), np.float32)}, r"holds \['other'\] instead of weights"),
            ({"weights": np.zeros((8, 60), np.float32), "x": np.zeros(1)}, "instead of weights"),
        ],
    )
    def test_other_tensors_are_refused(self, full, tensors, words):
        self.put(full, tensors)
        refused(full, words)

    def test_a_longer_header_is_read_and_a_very_long_one_is_not(self, full):
        weights = load_file(full / read_index(full).chunks[0].file)
        self.put(full, weights, pad=4096)
        np.testing.assert_array_equal(read_snapshots(full).weights[:8], weights["weights"])
        self.put(full, weights, pad=2**17)
        refused(full, "field chunks.0.bytes")

    def test_a_header_that_claims_everything(self, full):
        path = full / read_index(full).chunks[0].file
        path.write_bytes((2**63).to_bytes(8, "little") + path.read_bytes()[8:])
        refused(full, "damaged .sha256 differs")


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
