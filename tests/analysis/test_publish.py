"""What an analysis leaves on the tracking server."""

from dataclasses import replace

import pytest

from analysis.outputs import STUDY, start_report
from analysis.publish import publish
from analysis.source import from_tracking
from analysis.workflow import StudyConfig, analyze
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
    publish(result, folder, experiment_id=selection.experiment_id, scope=selection.scope)
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
    first = publish(result, folder, **where)
    assert publish(result, folder, **where) == first
    run_id = result.runs[0].run_id
    assert len(client.get_metric_history(run_id, schema.METRIC_TEMPERATURE)) == 1
    analyses = client.search_runs([selection.experiment_id], f"tags.`{schema.TAG_KIND}` = 'analysis'")
    assert [r.info.run_id for r in analyses] == [first]
    # Inside `mlflow run` the run is already open: the older one goes, once the new one is complete.
    opened = client.create_run(selection.experiment_id).info.run_id
    assert publish(result, folder, run_id=opened, **where) == opened
    analyses = client.search_runs([selection.experiment_id], f"tags.`{schema.TAG_KIND}` = 'analysis'")
    assert [r.info.run_id for r in analyses] == [opened]
    assert {f.path for f in client.list_artifacts(opened)} == {"report.html"}


def test_a_temperature_that_is_gone_does_not_stay(done):
    client, selection, result, folder = done
    where = {"experiment_id": selection.experiment_id, "scope": selection.scope}
    publish(result, folder, **where)
    gone = replace(result.runs[0], temperature=None, status="converging", regime="converging")
    publish(replace(result, runs=(gone, *result.runs[1:])), folder, **where)
    run = client.get_run(gone.run_id)
    # A metric cannot be deleted; NaN is how the UI shows that there is none.
    assert run.data.metrics[schema.METRIC_TEMPERATURE] != run.data.metrics[schema.METRIC_TEMPERATURE]
    assert run.data.tags[schema.TAG_STATUS] == "converging"


def test_an_analysis_is_never_analysed(done):
    _, selection, result, folder = done
    publish(result, folder, experiment_id=selection.experiment_id, scope=selection.scope)
    assert len(from_tracking("study", filter_string="attributes.status != 'x'").records) == 9
    assert from_tracking("study").scope == "sweep first"
