"""A part that is not the one that its index names, or says what it may not, is refused with file, field and reason."""

import hashlib
import json
import os
import shutil

import pytest

from mlflow_thermo.store import StoreError, read_index
from tests.mlflow_thermo.store.samples import refused, rewrite


def in_part(folder, change, number=1):
    """Change what a part says, and all digests so that they fit."""
    path = folder / f"index-{number:06d}.json"
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))
    content = path.read_bytes()

    def named(index):
        index["parts"][number].update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    rewrite(folder, named)


class TestDamage:
    PART = "index-000001.json"

    def test_one_flipped_bit(self, parted):
        content = bytearray((parted / self.PART).read_bytes())
        content[50] ^= 1
        (parted / self.PART).write_bytes(content)
        refused(parted, r"spaced/index-000001\.json: field sha256: it is not the one that index\.json names")

    @pytest.mark.parametrize("change", [lambda content: content[:-5], lambda content: content + b" "])
    def test_another_size(self, parted, change):
        (parted / self.PART).write_bytes(change((parted / self.PART).read_bytes()))
        refused(parted, r"index-000001\.json: field bytes: \d+, and index\.json says \d+")

    def test_missing(self, parted):
        (parted / self.PART).unlink()
        refused(parted, r"index-000001\.json: field file: it is missing")

    def test_no_regular_file(self, parted):
        (parted / self.PART).unlink()
        os.mkfifo(parted / self.PART)
        refused(parted, r"index-000001\.json: field file: it is not a regular file")

    def test_a_link_that_leads_out(self, parted):
        shutil.move(parted / self.PART, parted.parent / "elsewhere")
        (parted / self.PART).symlink_to(parted.parent / "elsewhere")
        refused(parted, r"index-000001\.json: field file: it is a link that leads out")

    @pytest.mark.parametrize("sign", [b"[],", b'{"":0},', b'"a",'])
    def test_few_bytes_that_become_many_objects(self, parted, sign):
        """Whose digests fit; they are counted before any is made."""
        content = b'{"steps":[' + sign * 600_000 + b"0]}"
        (parted / self.PART).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        rewrite(parted, lambda raw: raw["parts"][1].update(bytes=len(content), sha256=digest))
        refused(parted, r"index-000001\.json: field \(all\): \d+ of the sign")

    def test_two_parts_in_each_other_s_places(self, parted):
        one, other = parted / "index-000000.json", parted / self.PART
        one.rename(parted / "third")
        other.rename(one)
        (parted / "third").rename(other)
        refused(parted, r"index-000000\.json: field sha256")

        def swapped(raw):
            digests = [(part["bytes"], part["sha256"]) for part in raw["parts"]]
            for part, (size, digest) in zip(raw["parts"], [digests[1], digests[0], digests[2]], strict=True):
                part.update(bytes=size, sha256=digest)

        rewrite(parted, swapped)
        refused(parted, r"index-000000\.json: field number: 1, and the index has it as part 0")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda raw: raw.update(series="bursts"), "field series: it is that of 'bursts', not of 'spaced'"),
            (lambda raw: raw.update(number=0), "field number: 0, and the index has it as part 1"),
            (lambda raw: raw["steps"].pop(), "field steps: 3 entries, and the index says 4"),
            (lambda raw: raw["loss"].append(1.0), "field loss: 5 entries, and the index says 4"),
            (lambda raw: raw["loss_mean"].pop(), "field loss_mean: 3 entries"),
            (lambda raw: raw["chunks"].pop(), "field chunks: 1 of them, and the index says 2"),
            (lambda raw: raw["chunks"][0].update(n_snapshots=3), "field chunks: their n_snapshots add up to 5"),
            (lambda raw: raw.update(extra=1), "field extra: Extra inputs"),
            (lambda raw: raw.pop("number"), "field number: Field required"),
            (lambda raw: raw["steps"].__setitem__(0, "5"), "field steps.0: Input should be a valid integer, got '5'"),
            (lambda raw: raw["loss"].__setitem__(0, float("nan")), "field loss"),
            (lambda raw: raw["chunks"][0].update(sha256="x"), "field chunks.0.sha256"),
        ],
    )  # fmt: skip
    def test_what_a_part_may_not_say(self, parted, change, words):
        in_part(parted, change)
        refused(parted, rf"spaced/index-000001\.json.*{words}")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda raw: raw["steps"].__setitem__(0, 4), "field steps: they do not rise"),
            (lambda raw: raw["chunks"][0].update(first_step=4), "field chunks.2.first_step"),
            (lambda raw: raw["chunks"][1].update(file="../x.safetensors"), "field chunks.3.file"),
            (lambda raw: raw["chunks"][1].update(bytes=2**40), "field chunks.3.bytes"),
            (
                lambda raw: raw["chunks"][1].update(file="weights-000000001-000000002.safetensors"),
                "field chunks: two of them name one file",
            ),
        ],
    )
    def test_what_the_whole_may_not_say(self, parted, change, words):
        in_part(parted, change)
        refused(parted, rf"spaced/index\.json with its parts: {words}")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda part: part.update(file="index-000000.json"), r"parts.1.file: 'index-000000.json' is not"),
            (lambda part: part.update(file="../index-000001.json"), r"parts.1.file: .* is not 'index-000001.json'"),
            (lambda part: part.update(file="index.json"), r"parts.1.file"),
            (lambda part: part.update(n_chunks=0), r"parts.1.n_chunks"),
            (lambda part: part.update(n_chunks=3), r"index-000001\.json: field chunks: 2 of them"),
            (lambda part: part.update(n_snapshots=5), r"index-000001\.json: field steps: 4 entries"),
            (lambda part: part.update(n_snapshots=10**6), r"parts.1.n_snapshots: .* 1000006, at most 1000000"),
            (lambda part: part.update(n_chunks=10**6), r"parts.1.n_chunks: .* 1000003, at most 100000"),
            (lambda part: part.update(bytes=2**26), r"index\.json: field parts: \d+ bytes with the index, at most"),
            (lambda part: part.update(bytes=10), r"index-000001\.json: field bytes"),
            (lambda part: part.update(sha256="0" * 64), r"index-000001\.json: field sha256"),
            (lambda part: part.update(new=1), r"parts.1.new"),
            (lambda part: part.pop("bytes"), r"parts.1.bytes: Field required"),
        ],
    )
    def test_what_an_index_may_not_say_of_a_part(self, parted, change, words):
        rewrite(parted, lambda raw: change(raw["parts"][1]))
        refused(parted, words)

    def test_a_part_that_is_not_named(self, parted):
        rewrite(parted, lambda raw: raw["parts"].pop(1))
        refused(parted, r"parts.1.file: 'index-000002.json' is not 'index-000001.json'")

    def test_an_index_that_is_damaged_is_what_is_said(self, parted):
        """Not the part whose digest it has no more."""
        text = (parted / "index.json").read_text()
        digest = read_index(parted).parts[1].sha256
        (parted / "index.json").write_text(text.replace(digest, digest[::-1]))
        refused(parted, r"spaced/index\.json: field checksum")

    def test_an_earlier_version_has_none(self, parted):
        rewrite(parted, lambda raw: raw.update(schema_version=4))
        refused(parted, "field parts: version 4 has none")

    def test_a_part_that_is_forged_well_is_another_index(self, parted):
        """Which the digest of the index shows, on the run's tag."""
        digest = hashlib.sha256((parted / "index.json").read_bytes()).hexdigest()
        assert read_index(parted, sha256=digest).complete
        in_part(parted, lambda raw: raw["loss"].__setitem__(0, 7.0))
        assert read_index(parted).loss[4] == 7.0
        with pytest.raises(StoreError, match="field sha256: it is not the one that the run's tag names"):
            read_index(parted, sha256=digest)
