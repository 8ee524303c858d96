"""Runs from folders and from a real store; every way in which a run can be unreadable."""

import math
import traceback

import numpy as np
import pytest
from mlflow import MlflowClient

from analysis.results import CORRUPT, DIVERGED, INCOMPLETE, NO_SNAPSHOTS, OUT_OF_REACH, Origin
from analysis.tracking import ServerError, SourceError, StudyRuns, from_folder, from_tracking
from analysis.tracking.download import fingerprint
from analysis.tracking.server import _history
from analysis.trajectory import RunError
from mlflow_thermo import schema
from mlflow_thermo.store import read_index
from tests.analysis.conftest import Study
from tests.mlflow_thermo.store.samples import shared_folder, unprivileged

TRAINING = {schema.TAG_KIND: schema.KIND_TRAIN}


def experiment_id(client):
    return client.get_experiment_by_name("study").experiment_id


class TestFolder:
    def test_reads_runs(self, study):
        study.write_all()
        records = from_folder(study.root)
        assert [r.run_id for r in records] == [f"run{i}" for i in range(9)]
        trajectory = records[3].load()
        assert trajectory.lr == pytest.approx(study.lrs[3])
        assert trajectory.points.shape == (600, 3)
        assert trajectory.steps[:2].tolist() == [1000, 1010]

    def test_missing_and_empty(self, tmp_path):
        with pytest.raises(SourceError, match="does not exist"):
            from_folder(tmp_path / "nowhere")
        with pytest.raises(SourceError, match=r"holds no runs: expected RUN/spaced/index\.json"):
            from_folder(tmp_path)
        (tmp_path / "file").touch()
        with pytest.raises(SourceError, match="is a file: give one"):
            from_folder(tmp_path / "file")

    def test_corrupt_chunk_names_run_and_chunk(self, study):
        folder = study.write_run("bad", 0.1)
        chunk = folder / "spaced" / read_index(folder / "spaced").chunks[0].file
        chunk.write_bytes(chunk.read_bytes()[:100])
        with pytest.raises(RunError, match="run bad: chunk weights-.* is half-written") as caught:
            from_folder(study.root)[0].load()
        assert caught.value.status == CORRUPT

    def test_an_index_that_is_not_one_costs_no_other_run(self, study):
        folders = study.write_all()
        (folders[1] / "spaced" / "index.json").write_text("{}")
        records = {record.run_id: record for record in from_folder(study.root)}
        assert len(records["run0"].load()) == 600
        with pytest.raises(RunError, match="run run1: snapshot index has schema_version None"):
            records["run1"].load()

    def test_incomplete(self, study):
        weights, loss = study.samples(0.1)
        study.write_series(study.root / "cut", 0.1, weights, loss, complete=False)
        with pytest.raises(RunError, match="run cut is incomplete") as caught:
            from_folder(study.root)[0].load()
        assert caught.value.status == INCOMPLETE

    def test_a_folder_that_may_not_be_read_is_one_line_with_the_remedy(self):
        with shared_folder() as root:
            _, second = (Study(root).write_run(name, 0.1) for name in "ab")
            second.chmod(0)
            with unprivileged():
                seen, hidden = from_folder(root)
                with pytest.raises(RunError, match=f"{second} cannot be read .*'chmod -R a\\+rX {second}'") as caught:
                    hidden.load()
                assert len(seen.load()) == 600
            assert caught.value.status == OUT_OF_REACH
            root.chmod(0)
            with unprivileged(), pytest.raises(SourceError, match=f"{root} cannot be read .*'chmod"):
                from_folder(root)

    def test_absent_series(self, study):
        study.write_run("a", 0.1)
        with pytest.raises(RunError, match="holds no series 'consecutive'") as caught:
            from_folder(study.root)[0].load("consecutive")
        assert caught.value.status == NO_SNAPSHOTS


class TestTracking:
    def test_selects_the_newest_sweep(self, study, tracked):
        where = experiment_id(tracked)
        folder = study.root / "run0"
        for lr in (0.3, 0.1, 0.2):
            study.log_run(tracked, where, folder, lr, tags={schema.TAG_SWEEP: "second"})
        tracked.create_run(where, tags={schema.TAG_KIND: schema.KIND_SWEEP, schema.TAG_SWEEP: "second"})
        newest = from_tracking("study")
        assert newest.scope == "sweep second"
        assert [r.lr for r in newest] == [0.1, 0.2, 0.3]
        assert len(from_tracking("study", sweep="first")) == 9
        some = from_tracking("study", filter="metrics.`thermo/lr` > 0.15 and tags.`thermo.sweep` = 'second'")
        assert [r.lr for r in some] == [0.2, 0.3]
        assert from_tracking(experiment_id=where).experiment == "study"

    def test_without_sweeps_takes_all_runs(self, study, store):
        where = experiment_id(store)
        folder = study.write_run("a", 0.1)
        study.log_run(store, where, folder, 0.1)
        assert from_tracking("study").scope == "all runs"

    def test_unknown_experiment_lists_those_there_are(self, store):
        with pytest.raises(SourceError, match="experiment 'nope' does not exist: this server has .*'study'"):
            from_tracking("nope")

    def test_unknown_experiment_names_the_near_ones_first(self, store):
        for i in range(12):
            store.create_experiment(f"other {i}")
        with pytest.raises(SourceError) as caught:
            from_tracking("stduy")
        said = str(caught.value)
        assert said.startswith("experiment 'stduy' does not exist: did you mean 'study'? This server has 'study', ")
        assert said.count("other") == 9
        with pytest.raises(SourceError, match="experiment with id '777' does not exist: this server has "):
            from_tracking(experiment_id="777")

    def test_deleted_experiment(self, study, tracked):
        tracked.delete_experiment(experiment_id(tracked))
        for words in ({"experiment": "study"}, {"experiment_id": experiment_id(tracked)}):
            with pytest.raises(SourceError, match="experiment 'study' is deleted: restore it with `mlflow experiments"):
                from_tracking(**words)

    def test_experiment_from_the_environment(self, tracked, monkeypatch):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "study")
        runs = from_tracking()
        assert runs.experiment == "study"
        assert (runs.title, repr(runs)) == ("study: sweep first", "<9 runs, study: sweep first>")
        assert runs.origin.known[runs[2].run_id][0][schema.METRIC_LR] == runs[2].lr

    def test_no_runs(self, store):
        with pytest.raises(SourceError, match="experiment 'study' holds no training runs: train some, or name another"):
            from_tracking("study")

    def test_bad_filter_is_one_line(self, tracked):
        with pytest.raises(SourceError, match="filter 'lr over 3' cannot be used") as caught:
            from_tracking("study", filter="lr over 3")
        assert "\n" not in str(caught.value)

    def test_runs_without_snapshots(self, study, store):
        where = experiment_id(store)
        study.log_run(store, where, None, 0.1)
        study.log_run(store, where, None, 0.2, status="FAILED")
        study.log_run(store, where, None, 0.3, tags={schema.TAG_REGIME: schema.DIVERGED})
        statuses = []
        for record in from_tracking("study"):
            with pytest.raises(RunError, match=f"run {record.run_id}") as caught:
                record.load()
            statuses.append(caught.value.status)
        assert statuses == [NO_SNAPSHOTS, INCOMPLETE, DIVERGED]

    def test_learning_rate_from_params(self, study, store):
        run = store.create_run(experiment_id(store), tags=TRAINING)
        store.log_param(run.info.run_id, "lr", "1e-2")
        other = store.create_run(experiment_id(store), tags=TRAINING)
        store.log_param(other.info.run_id, "lr", "fast")
        by_id = {r.run_id: r.lr for r in from_tracking("study")}
        assert by_id[run.info.run_id] == 0.01
        assert np.isnan(by_id[other.info.run_id])

    @pytest.mark.parametrize(
        ("text", "seed"),
        [("7", 7), ("42.0", 42), ("1e3", 1000), ("18446744073709551615", 2**64 - 1), ("-3", -3)]
        + [(text, 0) for text in ("None", "", "nan", "snan", "inf", "1e999999999", "a seed", "0x10")],
    )
    def test_every_parameter_is_read_on_its_own(self, store, text, seed):
        run = store.create_run(experiment_id(store), tags=TRAINING).info.run_id
        store.log_param(run, "seed", text)
        store.log_param(run, "lr", "0.25")
        (found,) = from_tracking("study")
        assert (found.lr, found.seed) == (0.25, seed)
        assert found.params == {"seed": text, "lr": "0.25"}

    @pytest.mark.parametrize(
        ("text", "lr"),
        [("1e-1", 0.1), (" .5 ", 0.5), ("1E-3", 0.001), ("+2.", 2.0)]
        + [(text, math.nan) for text in ("0,1", "None", "", "0x10", "1/3", "0.1 (warm)", "inf", "{'w': 0.1}")],
    )
    def test_a_learning_rate_is_read_on_its_own(self, store, text, lr):
        run = store.create_run(experiment_id(store), tags=TRAINING).info.run_id
        store.log_param(run, "lr", text)
        store.log_param(run, "seed", "3")
        (found,) = from_tracking("study")
        assert found.seed == 3
        assert found.lr == pytest.approx(lr, nan_ok=True)


def test_a_server_that_does_not_answer_is_one_line_without_the_password(monkeypatch):
    """Also in the traceback of a notebook, which shows the cause of an error."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(
        ServerError, match=r"^the tracking server http://127\.0\.0\.1:1 does not answer \(conn"
    ) as caught:
        from_tracking("study", "http://user:secret@127.0.0.1:1")
    shown = "".join(traceback.format_exception(caught.value))
    assert "MlflowException" not in shown
    assert "secret@" not in shown.replace('"http://user:secret@127.0.0.1:1")', "")


def test_a_server_that_goes_away_while_runs_are_read(study, tracked, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    client = MlflowClient("http://user:secret@127.0.0.1:1")
    run = tracked.search_runs([experiment_id(tracked)])[0]
    with pytest.raises(ServerError, match="the tracking server http://127.0.0.1:1 does not answer"):
        _history(client, run, [*run.data.metrics])
    run.data.tags.pop(schema.TAG_DIGEST, None)
    run.info._artifact_uri = "mlflow-artifacts:/1/a/artifacts"
    with pytest.raises(ServerError, match="the tracking server http://127.0.0.1:1 does not answer"):
        fingerprint(client, run)


def test_runs_are_a_sequence_that_shows_no_password():
    origin = Origin("study: all runs", "7", "study", "all runs", "http://user:secret@tracking.example")
    runs = StudyRuns((), origin)
    assert (len(runs), runs[:1], runs.title, runs.scope, runs.experiment) == (
        0,
        (),
        "study: all runs",
        "all runs",
        "study",
    )
    assert repr(runs) == "<0 runs, study: all runs>"
    assert "secret" not in repr(origin)
