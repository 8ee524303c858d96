"""Runs whose indexes have parts: read, downloaded and checked as those that have none."""

import json
import shutil

import numpy as np
import pytest

from analysis.results import CORRUPT
from analysis.tracking import from_folder, from_tracking
from analysis.trajectory import RunError
from mlflow_thermo import schema
from mlflow_thermo.store import SeriesWriter, read_index, sha256_of
from tests.mlflow_thermo.store.samples import sign

PART = "index-000000.json"


@pytest.fixture
def run(study, monkeypatch):
    """The folder of a run with a part of one chunk, and one chunk in the index."""
    monkeypatch.setattr(SeriesWriter, "chunks_per_part", 1)
    folder = study.write_run("far", 0.1)
    assert [part.file for part in read_index(folder / "spaced").parts] == [PART]
    return folder


@pytest.fixture
def remote(study, run, server, tmp_path):
    """How to read that run from a real server, and where the server keeps it."""
    where = server.client.create_experiment(f"parts-{tmp_path.name}")
    digest = json.dumps({"spaced": sha256_of(run / "spaced" / "index.json")})
    run_id = study.log_run(server.client, where, run, 0.1, tags={schema.TAG_DIGEST: digest})

    def load():
        return from_tracking(experiment_id=where, tracking_uri=server.uri, cache=tmp_path / "cache")[0].load()

    return load, server.artifacts / where / run_id / "artifacts" / "thermo" / "spaced"


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {"flipped": flip, "gone": lambda path: path.unlink(), "cut off": lambda path: path.write_bytes(b"{")}


def test_a_folder(study, run):
    found = from_folder(study.root)[0].load()
    np.testing.assert_array_equal(found.steps, np.arange(1000, 7000, 10))
    assert found.points.shape == (600, 3)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_part_costs_its_run_alone(study, run, damage):
    study.write_run("near", 0.2)
    DAMAGE[damage](run / "spaced" / PART)
    far, near = from_folder(study.root)
    with pytest.raises(RunError, match=rf"run far: .*spaced/{PART}: field") as caught:
        far.load()
    assert caught.value.status == CORRUPT
    assert len(near.load()) == 600


def test_one_download_then_the_cache(remote, tmp_path):
    load, there = remote
    first = load()
    shutil.rmtree(there)
    np.testing.assert_array_equal(load().weights, first.weights)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_part_in_the_cache_is_downloaded_again(remote, tmp_path, damage):
    load, there = remote
    first = load()
    DAMAGE[damage](next((tmp_path / "cache").glob(f"*/thermo/spaced/{PART}")))
    np.testing.assert_array_equal(load().weights, first.weights)
    # Where the server's is damaged itself, that is what is said, and no damaged copy stays behind.
    shutil.rmtree(tmp_path / "cache")
    DAMAGE[damage](there / PART)
    with pytest.raises(RunError, match=f"{PART}: field") as caught:
        load()
    assert caught.value.status == CORRUPT
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_part_that_was_changed_with_its_index(remote, tmp_path):
    """The digest on the run is that of the index, which has those of its parts."""
    load, there = remote
    raw = json.loads((there / PART).read_text())
    raw["loss"][0] = 7.0
    (there / PART).write_text(json.dumps(raw))
    index = json.loads((there / "index.json").read_text())
    index["parts"][0].update(bytes=(there / PART).stat().st_size, sha256=sha256_of(there / PART))
    (there / "index.json").write_text(json.dumps(sign(index)))
    with pytest.raises(RunError, match=r"index\.json: field sha256: it is not the one that the run's tag names"):
        load()
