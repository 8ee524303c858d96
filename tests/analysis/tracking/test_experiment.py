"""What an experiment shows of itself: kind, saved views and note, beside what its users have put there."""

import base64
import json
import zlib

import pytest

from analysis import analyze, from_folder
from analysis.tracking import name_run, prepare_experiment
from analysis.tracking.experiment import KIND, NOTE, TRAINING, renew_note, with_ours
from analysis.tracking.view import view_tags
from mlflow_thermo import schema


def tags_of(store):
    return store.get_experiment("0").tags


def test_an_experiment_is_one_of_trainings_with_two_views(store):
    prepare_experiment(store, "0")
    tags = tags_of(store)
    assert tags[KIND] == TRAINING
    assert {json.loads(tags[key])["name"] for key in view_tags()} == {"Thermodynamics", "Thermodynamics, status ok"}
    # The kind that a user has chosen stays.
    store.set_experiment_tag("0", KIND, "genai_development")
    prepare_experiment(store, "0")
    assert tags_of(store)[KIND] == "genai_development"


def test_the_views_show_what_is_logged():
    """In the form of the front end: a tag of at most 20,000 characters, its state deflated."""
    for value in view_tags().values():
        assert len(value) < 20_000
        kind, packed = json.loads(value)["state"].split(";", 1)
        assert kind == "deflate"
        state = json.loads(zlib.decompress(base64.b64decode(packed)))
        keys = {chart[axis]["key"] for chart in state["compareRunCharts"] for axis in ("xaxis", "yaxis", "zaxis")
                if axis in chart}  # fmt: skip
        assert keys == {
            schema.METRIC_LOG10_LR, schema.METRIC_LOG10_TEMPERATURE, schema.METRIC_LOSS, schema.METRIC_ENTROPY,
        }  # fmt: skip
        sections = {section["uuid"] for section in state["compareRunSections"]}
        assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == sections
        assert len({chart["uuid"] for chart in state["compareRunCharts"]}) == len(state["compareRunCharts"])


@pytest.mark.parametrize("before", ["", "Ours.", "Ours.\n\n| a | b |"])
def test_a_note_keeps_what_its_users_wrote(before):
    first = with_ours(before, "one \\1 two")
    assert first.startswith(before)
    assert "one \\1 two" in first
    second = with_ours(f"{first}\n\nAfterwards.", "three")
    assert second.startswith(before)
    assert second.endswith("\n\nAfterwards.")
    assert "one" not in second
    assert second.count("three") == 1


def test_the_note_is_that_of_the_newest_analysis(store, study):
    study.write_all()
    result = analyze(from_folder(study.root))
    store.set_experiment_tag("0", NOTE, "Our own words.")
    renew_note(store, "0", "run1", result)
    renew_note(store, "0", "run2", result)
    note = tags_of(store)[NOTE]
    assert note.startswith("Our own words.\n\n")
    assert "9 runs (9 stationary)" in note
    assert "run1" not in note
    assert "(get-artifact?path=figures%2Ftemperature.png&run_uuid=run2)" in note
    # One that is too long for MLflow is left as it is.
    long = "x" * 4990
    store.set_experiment_tag("0", NOTE, long)
    renew_note(store, "0", "run3", result)
    assert tags_of(store)[NOTE] == long


@pytest.mark.parametrize(("name", "after"), [("useful-wren-189", "ours"), ("my run", "my run"), ("night-7", "night-7")])
def test_only_a_random_name_is_replaced(store, name, after):
    run_id = store.create_run("0", run_name=name).info.run_id
    name_run(store, run_id, "ours")
    assert store.get_run(run_id).info.run_name == after
