"""Files in the place of an index or a chunk: what is no regular file, no JSON, too large, or holds other tensors."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mlflow_thermo.schema import SeriesIndex
from mlflow_thermo.store import SeriesWriter, read_index, read_snapshots, sha256_of
from tests.mlflow_thermo.store.samples import refused, rewrite


class TestText:
    @pytest.mark.parametrize(
        ("fresh", "words"),
        [
            ("NaN", "field lr"), ("1e999", "field lr"), ("-Infinity", "field lr"), ("1" * 6000, "field lr"),
            ("[" * 50_000, "field lr"), ('{"a":' * 50_000, "nested|recursion"), ('"\\ud800"', "field lr"),
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


NARROW = """
import resource, sys
from mlflow_thermo.store import StoreError, read_index, read_snapshots
index = read_index(sys.argv[1])
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 2**26, size + 2**26))
try:
    read_snapshots(sys.argv[1], index)
except StoreError as error:
    print(error)
"""


def test_snapshots_that_the_memory_does_not_hold(tmp_path):
    n, d = 2, 2**24
    path = tmp_path / "spaced" / "weights.safetensors"
    SeriesWriter.create(path.parent, SeriesIndex("spaced", d, "float32", "sphere"))
    header = json.dumps({"weights": {"dtype": "F32", "shape": [n, d], "data_offsets": [0, 4 * n * d]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with path.open("r+b") as handle:
        handle.truncate(8 + len(header) + 4 * n * d)
    chunk = {"file": path.name, "first_step": 1, "last_step": 2, "n_snapshots": n}
    chunk |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    rewrite(path.parent, lambda raw: raw.update(steps=[1, 2], loss=[None] * 2, loss_mean=[None] * 2, chunks=[chunk]))
    command = [sys.executable, "-c", NARROW, str(path.parent)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said.startswith(f"series 'spaced': field chunks: the memory does not hold their {chunk['bytes']} bytes: ")
