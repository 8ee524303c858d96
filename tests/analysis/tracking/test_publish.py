"""What an analysis leaves on the tracking server."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.report.folder import STUDY, new_report
from analysis.study import analyze
from analysis.tracking import ServerError, from_folder, from_tracking, publish_result, publish_study
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError


@pytest.fixture
def done(tracked, tmp_path):
    selection = from_tracking("study")
    result = analyze(selection)
    folder = tmp_path / "report"
    with new_report(folder, STUDY, ["report.html"]) as staged:
        (staged / "report.html").write_text("x")
    (folder / "of somebody else").write_text("x")
    return tracked, selection, result, folder


def test_metrics_and_tags_on_the_runs(done):
    client, selection, result, folder = done
    publish_study(result, folder, experiment_id=selection.origin.experiment_id, scope=selection.scope)
    for item in result.runs:
        run = client.get_run(item.run_id)
        assert run.data.metrics[schema.METRIC_TEMPERATURE] == item.temperature.value
        assert run.data.metrics[schema.METRIC_ENTROPY] == item.entropy.value
        assert run.data.metrics[schema.METRIC_FREE_ENERGY] == item.free_energy
        assert run.data.tags[schema.TAG_STATUS] == item.status
        assert run.data.tags[schema.TAG_REGIME] == "stationary"


def test_a_second_analysis_replaces_the_first(done):
    client, selection, result, folder = done
    where = {"experiment_id": selection.origin.experiment_id, "scope": selection.scope}
    first = publish_study(result, folder, **where)
    assert publish_study(result, folder, **where) == first
    run_id = result.runs[0].run_id
    assert len(client.get_metric_history(run_id, schema.METRIC_TEMPERATURE)) == 1
    analyses = client.search_runs([selection.origin.experiment_id], f"tags.`{schema.TAG_KIND}` = 'analysis'")
    assert [r.info.run_id for r in analyses] == [first]
    # Inside `mlflow run` the run is already open: the older one goes, once the new one is complete.
    opened = client.create_run(selection.origin.experiment_id).info.run_id
    assert publish_study(result, folder, run_id=opened, **where) == opened
    analyses = client.search_runs([selection.origin.experiment_id], f"tags.`{schema.TAG_KIND}` = 'analysis'")
    assert [r.info.run_id for r in analyses] == [opened]
    assert {f.path for f in client.list_artifacts(opened)} == {"report.html"}


def test_a_temperature_that_is_gone_does_not_stay(done):
    client, selection, result, folder = done
    where = {"experiment_id": selection.origin.experiment_id, "scope": selection.scope}
    publish_study(result, folder, **where)
    gone = replace(result.runs[0], temperature=None, status="converging", regime="converging")
    publish_study(replace(result, runs=(gone, *result.runs[1:])), folder, **where)
    run = client.get_run(gone.run_id)
    # A metric cannot be deleted; NaN is how the UI shows that there is none.
    assert run.data.metrics[schema.METRIC_TEMPERATURE] != run.data.metrics[schema.METRIC_TEMPERATURE]
    assert run.data.tags[schema.TAG_STATUS] == "converging"


def test_an_analysis_is_never_analysed(done):
    _, selection, result, folder = done
    publish_study(result, folder, experiment_id=selection.origin.experiment_id, scope=selection.scope)
    assert len(from_tracking("study", filter="attributes.status != 'x'")) == 9
    assert from_tracking("study").scope == "sweep first"


class TestFromTheResult:
    def test_goes_back_to_where_the_runs_came_from(self, done):
        client, runs, result, folder = done
        run_id = result.publish(folder)
        assert "report.html" in {file.path for file in client.list_artifacts(run_id)}
        assert client.get_run(run_id).info.experiment_id == runs.origin.experiment_id
        assert client.get_run(run_id).data.tags[schema.TAG_SCOPE] == "sweep first"
        item = result.runs[3]
        assert client.get_run(item.run_id).data.metrics[schema.METRIC_TEMPERATURE] == item.temperature.value
        assert publish_result(result, folder) == run_id

    def test_what_another_analysis_has_published_since_is_replaced(self, done):
        """The runs were read when the server still held these numbers; now it holds others."""
        client, _, result, folder = done
        result.publish(folder)
        again = analyze(from_tracking("study"))
        item = again.runs[0]
        client.log_metric(item.run_id, schema.METRIC_TEMPERATURE, 77.0)
        again.publish(folder)
        assert client.get_run(item.run_id).data.metrics[schema.METRIC_TEMPERATURE] == item.temperature.value
        assert len(client.get_metric_history(again.runs[1].run_id, schema.METRIC_TEMPERATURE)) == 1

    def test_the_report_of_another_analysis_in_the_folder_is_not_sent(self, done, tmp_path):
        """Two analyses wrote into one folder at once, and the other one was last."""
        client, _, result, _ = done
        folder = tmp_path / "shared"
        result.write(folder)
        replace(result, notes=("of another",)).write(folder)
        sent = client.download_artifacts(result.publish(folder), "result.json", tmp_path)
        assert json.loads(Path(sent).read_text()) == json.loads(json.dumps(result.to_dict()))

    def test_without_a_folder_the_report_is_made(self, done, tmp_path):
        client, _, result, _ = done
        before = sorted(tmp_path.rglob("report.html"))
        run_id = result.publish()
        assert {file.path for file in client.list_artifacts(run_id)} >= {"report.html", "result.json", "figures"}
        assert [path for path in sorted(tmp_path.rglob("report.html")) if "artifacts" not in path.parts] == before

    def test_a_server_that_is_gone(self, done, monkeypatch):
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        _, runs, result, folder = done
        gone = replace(result, origin=replace(runs.origin, tracking_uri="http://127.0.0.1:1"))
        with pytest.raises(ServerError, match="does not answer"):
            gone.publish(folder)

    def test_runs_of_a_folder_have_no_server(self, done, study, tmp_path):
        _, runs, result, folder = done
        for origin in (from_folder(study.root).origin, None):
            with pytest.raises(ThermoError, match="the runs came from a folder: "):
                replace(result, origin=origin).publish(folder)
        # A part of a selection must not replace the results of the whole.
        assert not hasattr(runs[:5], "origin")
