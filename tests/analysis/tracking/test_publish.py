"""What an analysis leaves on the tracking server."""

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.report.folder import STUDY, start_report
from analysis.report.write import write_accuracy
from analysis.study.workflow import StudyConfig, analyze
from analysis.tracking import from_tracking
from analysis.tracking.publish import publish_accuracy, publish_study
from mlflow_thermo import schema


@pytest.fixture
def done(tracked, tmp_path):
    selection = from_tracking("study")
    result = analyze(selection.records, StudyConfig())
    folder = tmp_path / "report"
    start_report(folder, STUDY, ["report.html"])
    (folder / "report.html").write_text("x")
    (folder / "of somebody else").write_text("x")
    return tracked, selection, result, folder


def test_metrics_and_tags_on_the_runs(done):
    client, selection, result, folder = done
    publish_study(result, folder, experiment_id=selection.experiment_id, scope=selection.scope)
    for item in result.runs:
        run = client.get_run(item.run_id)
        assert run.data.metrics[schema.METRIC_TEMPERATURE] == item.temperature
        assert run.data.metrics[schema.METRIC_ENTROPY] == item.entropy
        assert run.data.metrics[schema.METRIC_FREE_ENERGY] == item.free_energy
        assert run.data.tags[schema.TAG_STATUS] == item.status
        assert run.data.tags[schema.TAG_REGIME] == "stationary"


def test_a_second_analysis_replaces_the_first(done):
    client, selection, result, folder = done
    where = {"experiment_id": selection.experiment_id, "scope": selection.scope}
    first = publish_study(result, folder, **where)
    assert publish_study(result, folder, **where) == first
    run_id = result.runs[0].run_id
    assert len(client.get_metric_history(run_id, schema.METRIC_TEMPERATURE)) == 1
    analyses = client.search_runs([selection.experiment_id], f"tags.`{schema.TAG_KIND}` = 'analysis'")
    assert [r.info.run_id for r in analyses] == [first]
    # Inside `mlflow run` the run is already open: the older one goes, once the new one is complete.
    opened = client.create_run(selection.experiment_id).info.run_id
    assert publish_study(result, folder, run_id=opened, **where) == opened
    analyses = client.search_runs([selection.experiment_id], f"tags.`{schema.TAG_KIND}` = 'analysis'")
    assert [r.info.run_id for r in analyses] == [opened]
    assert {f.path for f in client.list_artifacts(opened)} == {"report.html"}


def test_a_temperature_that_is_gone_does_not_stay(done):
    client, selection, result, folder = done
    where = {"experiment_id": selection.experiment_id, "scope": selection.scope}
    publish_study(result, folder, **where)
    gone = replace(result.runs[0], temperature=None, status="converging", regime="converging")
    publish_study(replace(result, runs=(gone, *result.runs[1:])), folder, **where)
    run = client.get_run(gone.run_id)
    # A metric cannot be deleted; NaN is how the UI shows that there is none.
    assert run.data.metrics[schema.METRIC_TEMPERATURE] != run.data.metrics[schema.METRIC_TEMPERATURE]
    assert run.data.tags[schema.TAG_STATUS] == "converging"


def test_an_analysis_is_never_analysed(done):
    _, selection, result, folder = done
    publish_study(result, folder, experiment_id=selection.experiment_id, scope=selection.scope)
    assert len(from_tracking("study", filter_string="attributes.status != 'x'").records) == 9
    assert from_tracking("study").scope == "sweep first"


class TestTheEndOfAnAnalysisRun:
    def where(self, selection):
        return {"experiment_id": selection.experiment_id, "scope": selection.scope, "digest": "abc"}

    def runs(self, client, selection):
        return client.search_runs([selection.experiment_id], f"tags.`{schema.TAG_KIND}` = 'analysis'")

    def test_finished_when_new_and_when_reused(self, done):
        client, selection, result, folder = done
        where = self.where(selection)
        run_id = publish_study(result, folder, **where)
        assert client.get_run(run_id).info.status == "FINISHED"
        assert publish_study(result, folder, **{**where, "digest": "other"}) == run_id
        assert client.get_run(run_id).info.status == "FINISHED"
        # As an analysis that was killed leaves it: its digest does not vouch for its content.
        client.update_run(run_id, status="RUNNING")
        client.log_text(run_id, "half", "report.html")
        assert publish_study(result, folder, **{**where, "digest": "other"}) == run_id
        assert client.get_run(run_id).info.status == "FINISHED"
        assert Path(client.download_artifacts(run_id, "report.html")).read_text() == "x"

    @pytest.mark.parametrize("reused", [False, True])
    @pytest.mark.parametrize("step", ["log_artifact", "get_run"])
    def test_failed_when_something_goes_wrong(self, done, monkeypatch, reused, step):
        client, selection, result, folder = done
        where = self.where(selection)
        known = {run.run_id: ({}, {}) for run in result.runs}
        if reused:
            publish_study(result, folder, **where)

        def refuse(*_):
            raise OSError("no space left")

        with monkeypatch.context() as broken:
            broken.setattr("analysis.tracking.publish.MlflowClient." + step, refuse)
            with pytest.raises(OSError, match="no space left"):
                publish_study(result, folder, **{**where, "digest": "other"}, known=known)
        (run,) = self.runs(client, selection)
        assert run.info.status == "FAILED"
        # The next one mends it.
        publish_study(result, folder, **where)
        assert "FINISHED" in {run.info.status for run in self.runs(client, selection)}

    def test_a_server_that_is_gone_hides_no_error(self, done, monkeypatch):
        _, selection, result, folder = done

        def refuse(*_):
            raise OSError("no space left")

        for name in ("log_artifact", "set_terminated"):
            monkeypatch.setattr(f"analysis.tracking.publish.MlflowClient.{name}", refuse)
        with pytest.raises(OSError) as caught:
            publish_study(result, folder, **self.where(selection))
        assert caught.value.__context__ is None

    def test_inside_mlflow_run_it_is_not_ended(self, done, tmp_path):
        client, selection, result, folder = done
        opened = [client.create_run(selection.experiment_id).info.run_id for _ in range(2)]
        publish_study(result, folder, run_id=opened[0], **self.where(selection))
        publish_accuracy([], tmp_path, run_id=opened[1])
        assert [client.get_run(run_id).info.status for run_id in opened] == ["RUNNING"] * 2


def test_a_calibration_that_cannot_be_uploaded_has_failed(store, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no space left")

    write_accuracy([], tmp_path)
    monkeypatch.setattr("analysis.tracking.publish.MlflowClient.log_artifact", refuse)
    with pytest.raises(OSError, match="no space left"):
        publish_accuracy([], tmp_path, experiment="accuracy")
    (run,) = store.search_runs([store.get_experiment_by_name("accuracy").experiment_id])
    assert run.info.status == "FAILED"
