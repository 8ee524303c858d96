"""Downloads from a real server, and the cache that keeps them."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest

from analysis.tracking import from_tracking
from analysis.trajectory import RunError
from mlflow_thermo import schema


@pytest.fixture
def remote(study, server, tmp_path):
    """One run of the exact study on a real server that keeps the artifacts to itself: its reader, place and digest.

    Its series were recorded in an order that their names do not tell.
    """
    folder = study.write_run("far", 0.1)
    for series in ("own", "consecutive"):
        study.write_series(folder, 0.1, *study.samples(0.1, 20), series=series)
    recorded = [(folder / series / "index.json").read_bytes() for series in ("own", "spaced", "consecutive")]
    digest = hashlib.sha256(b"".join(recorded)).hexdigest()
    where = server.client.create_experiment(f"remote-{tmp_path.name}")
    run_id = study.log_run(server.client, where, folder, 0.1)
    server.client.set_tag(run_id, schema.TAG_DIGEST, digest)

    def load(cache=None, series="spaced"):
        return from_tracking(experiment_id=where, tracking_uri=server.uri, cache=cache)[0].load(series)

    return load, server.artifacts / where / run_id / "artifacts", digest


def test_one_download_then_the_cache(remote, tmp_path):
    load, there, digest = remote
    first = load(tmp_path / "cache")
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [digest]
    shutil.rmtree(there)
    np.testing.assert_array_equal(load(tmp_path / "cache").weights, first.weights)


def test_a_cut_off_download_does_not_enter_the_cache(remote, tmp_path):
    load, there, _ = remote
    chunk = next((there / "thermo" / "spaced").glob("*.safetensors"))
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:50])
    with pytest.raises(RunError, match="half-written"):
        load(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    chunk.write_bytes(whole)
    assert len(load(tmp_path / "cache")) == 600


def test_a_damaged_copy_in_the_cache_is_downloaded_again(remote, tmp_path):
    load, there, _ = remote
    first = load(tmp_path / "cache")
    chunk = next((tmp_path / "cache").glob("*/thermo/spaced/*.safetensors"))
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)
    np.testing.assert_array_equal(load(tmp_path / "cache").weights, first.weights)
    # Where the server's file is damaged itself, that is what is said, and no damaged copy stays behind.
    for damaged in (next((there / "thermo" / "spaced").glob("*.safetensors")), chunk):
        damaged.write_bytes(content)
    with pytest.raises(RunError, match="sha256 differs"):
        load(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def edit_a_loss(entry):
    path = entry / "thermo" / "spaced" / "index.json"
    content = json.loads(path.read_text())
    content["loss_mean"][3] += 10.0
    path.write_text(json.dumps(content))


def drop_a_series(entry):
    shutil.rmtree(entry / "thermo" / "consecutive")


def add_a_series(entry):
    shutil.copytree(entry / "thermo" / "spaced", entry / "thermo" / "bursts")


def half_an_index(entry):
    path = entry / "thermo" / "spaced" / "index.json"
    path.write_bytes(path.read_bytes()[:100])


def file_in_its_place(entry):
    shutil.rmtree(entry)
    entry.write_text("x")


def empty(entry):
    shutil.rmtree(entry / "thermo")


def test_whatever_is_in_the_cache_changes_no_number(remote, tmp_path):
    load, _, digest = remote
    first, iterates = load(tmp_path / "cache"), load(tmp_path / "cache", "consecutive")
    for damage in (edit_a_loss, drop_a_series, add_a_series, half_an_index, file_in_its_place, empty):
        damage(tmp_path / "cache" / digest)
        np.testing.assert_array_equal(load(tmp_path / "cache").loss, first.loss)
        np.testing.assert_array_equal(load(tmp_path / "cache", "consecutive").weights, iterates.weights)
        assert [path.name for path in (tmp_path / "cache").iterdir()] == [digest]
        there = [path.name for path in (tmp_path / "cache" / digest / "thermo").iterdir()]
        assert sorted(there) == ["consecutive", "own", "spaced"]


def test_a_cache_that_cannot_be_made_costs_nothing(remote, tmp_path):
    load, _, _ = remote
    (tmp_path / "cache").write_text("a file in its place")
    assert len(load(tmp_path / "cache")) == 600


def test_a_run_whose_digest_is_another_s_is_read_and_not_kept(remote, tmp_path, server):
    load, there, _ = remote
    for tag in ("../outside", "", "f" * 64):
        server.client.set_tag(there.parent.name, schema.TAG_DIGEST, tag)
        assert len(load(tmp_path / "cache")) == 600
        assert list((tmp_path / "cache").iterdir()) == []
    assert not (tmp_path / "outside").exists()


def test_cache_folder_from_the_environment(remote, tmp_path, monkeypatch):
    load, _, digest = remote
    monkeypatch.setenv("MLFLOW_THERMO_CACHE", str(tmp_path / "named"))
    load()
    assert os.listdir(tmp_path / "named") == [digest]
