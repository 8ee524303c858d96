"""Runs from anyone: one bad index costs its run and no other, and no text of a run becomes a path or a query."""

import json
import os
import shutil

import numpy as np
import pytest

from analysis.results import CORRUPT, DIVERGED
from analysis.study import StudyConfig, analyze
from analysis.tracking import from_folder, from_tracking
from analysis.trajectory import RunError
from mlflow_thermo import schema
from mlflow_thermo.store import sha256_of, write_json

NAMES = (schema.SPACED,)


def digests(folder):
    return json.dumps({name: sha256_of(folder / name / schema.INDEX_NAME) for name in NAMES})


def corrupt(record, words):
    with pytest.raises(RunError, match=words) as caught:
        record.load()
    assert caught.value.status == CORRUPT
    assert "\n" not in str(caught.value)


def change(folder, **fields):
    """The index of a run with other fields, whose checksum fits."""
    path = folder / schema.SPACED / schema.INDEX_NAME
    raw = {**json.loads(path.read_text()), **fields}
    path.unlink()
    write_json(path, raw)


@pytest.mark.parametrize(
    "attributes",
    [
        {"set_temperature": "abc"}, {"uniform_loss": []}, {"uniform_loss_std": {}}, {"set_temperature": True},
        {"set_temperature": -1.0}, {"minibatch_squares": "many"},
    ],
)  # fmt: skip
def test_attributes_of_odd_types_cost_their_run_alone(study, attributes):
    folders = study.write_all()
    change(folders[2], attributes=attributes)
    records = {record.run_id: record for record in from_folder(study.root)}
    corrupt(records["run2"], f"run run2: .*index.json: field attributes.{next(iter(attributes))}")
    assert len(records["run3"].load()) == 600


def test_a_study_goes_on_without_its_bad_runs(study):
    folders = study.write_all()
    change(folders[0], steps=[])
    path = folders[1] / schema.SPACED / schema.INDEX_NAME
    path.unlink()
    os.mkfifo(path)
    (folders[2] / schema.SPACED / schema.INDEX_NAME).write_text("[" * 100_000)
    chunk = sorted((folders[3] / schema.SPACED).glob("*.safetensors"))[0]
    chunk.unlink()
    chunk.symlink_to("/dev/zero")
    # Numbers whose squares overflow.
    change(folders[4], loss_mean=[1.0] * 300 + [-1e300] * 300)
    result = analyze(from_folder(study.root), StudyConfig())
    assert [run.status for run in result.runs[:5]] == [CORRUPT] * 4 + [DIVERGED]
    assert sum(run.temperature is not None for run in result.runs) == 4


def test_a_series_is_not_sought_outside_of_its_run(study):
    folders = study.write_all()
    shutil.rmtree(folders[0] / schema.SPACED)
    (folders[0] / schema.SPACED).symlink_to(folders[1] / schema.SPACED)
    records = from_folder(study.root)
    corrupt(records[0], "run run0: series 'spaced': its folder is a link that leads out")
    # The folder of a run may be a link of the user.
    (study.root / "linked").symlink_to(folders[2])
    assert len(from_folder(study.root)[0].load()) == 600


def test_a_series_of_another_name_is_not_taken_for_it(study):
    folder = study.write_run("a", 0.1)
    (folder / schema.SPACED).rename(folder / schema.CONSECUTIVE)
    study.write_run("a", 0.1)
    corrupt_series = from_folder(study.root)[0]
    with pytest.raises(RunError, match="field series: it is that of 'spaced', not of 'consecutive'"):
        corrupt_series.load(schema.CONSECUTIVE)


class TestDigest:
    @pytest.fixture
    def logged(self, study, store):
        """Two tracked runs with the digests of their indexes; the folder of the second run's artifacts."""
        where = store.get_experiment_by_name("study").experiment_id
        for i, lr in enumerate((0.1, 0.2)):
            folder = study.write_run(f"run{i}", lr)
            run_id = study.log_run(store, where, folder, lr, tags={schema.TAG_DIGEST: digests(folder)})
        self.client, self.run_id = store, run_id
        return study.root.parent / "artifacts" / run_id / "artifacts" / schema.ARTIFACT_ROOT

    def test_an_index_that_was_changed_with_its_checksum(self, logged):
        assert len(from_tracking("study")[1].load()) == 600
        change(logged, seed=5)
        good, bad = from_tracking("study")
        corrupt(bad, "index.json: field sha256: it is not the one that the run's tag names")
        assert len(good.load()) == 600

    def test_a_series_that_was_added(self, logged):
        shutil.copytree(logged / schema.SPACED, logged / schema.GRADIENTS)
        with pytest.raises(RunError, match="series 'gradients': the run's tag thermo.digest does not name it"):
            from_tracking("study")[1].load(schema.GRADIENTS)

    @pytest.mark.parametrize("tag", ["0" * 64, "abc", "", "../..", "[]", '{"spaced": 1}'])
    def test_tags_of_other_forms_are_no_test(self, logged, tag):
        change(logged, seed=5)
        self.client.set_tag(self.run_id, schema.TAG_DIGEST, tag)
        assert len(from_tracking("study")[1].load()) == 600

    def test_while_a_run_is_recorded_its_digest_is_an_earlier_one(self, logged):
        change(logged, seed=5)
        self.client.set_tag(self.run_id, schema.TAG_SNAPSHOTS, schema.SNAPSHOTS_RECORDING)
        assert len(from_tracking("study")[1].load()) == 600


def test_a_server_whose_index_differs_from_the_digest(study, server, tmp_path):
    folder = study.write_run("far", 0.1)
    where = server.client.create_experiment(f"digest-{tmp_path.name}")
    run_id = study.log_run(server.client, where, folder, 0.1, tags={schema.TAG_DIGEST: digests(folder)})
    there = server.artifacts / where / run_id / "artifacts" / schema.ARTIFACT_ROOT
    record = from_tracking(experiment_id=where, tracking_uri=server.uri, cache=tmp_path / "cache")[0]
    before = record.load().weights
    (kept,) = (tmp_path / "cache").iterdir()
    change(kept / schema.ARTIFACT_ROOT, seed=5)
    # The copy in the cache is dropped and the server's is taken; then the server's is the damaged one.
    np.testing.assert_array_equal(record.load().weights, before)
    change(there, seed=5)
    shutil.rmtree(kept)
    corrupt(record, "field sha256")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_digest_is_no_path(study, server, tmp_path):
    """Damaged copies are removed from the cache, and nothing else is."""
    folder = study.write_run("far", 0.1)
    precious = tmp_path / "precious"
    shutil.copytree(folder, precious / schema.ARTIFACT_ROOT)
    (precious / schema.ARTIFACT_ROOT / schema.SPACED / schema.INDEX_NAME).write_text("{}")
    where = server.client.create_experiment(f"path-{tmp_path.name}")
    for tag in ("../precious", str(precious)):
        study.log_run(server.client, where, folder, 0.1, tags={schema.TAG_DIGEST: tag})
    for record in from_tracking(experiment_id=where, tracking_uri=server.uri, cache=tmp_path / "cache"):
        assert len(record.load()) == 600
    assert (precious / schema.ARTIFACT_ROOT).is_dir()
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("sweep", ["it's", '"', "a' or tags.x LIKE '%", "\\"])
def test_a_sweep_whose_name_has_quotes(study, store, sweep):
    where = store.get_experiment_by_name("study").experiment_id
    folder = study.write_run("a", 0.1)
    study.log_run(store, where, folder, 0.3, tags={schema.TAG_SWEEP: "other"})
    study.log_run(store, where, folder, 0.1, tags={schema.TAG_SWEEP: sweep})
    runs = from_tracking("study", sweep=sweep)
    assert [run.lr for run in runs] == [0.1]
    assert from_tracking("study").scope == f"sweep {sweep}"
