"""The saved view of an experiment, as MLflow's own front end draws it."""

import pytest

from analysis.tracking.view import view_link
from mlflow_thermo import schema
from tests.browser import needs_chromium

pytestmark = [pytest.mark.slow, needs_chromium, pytest.mark.xdist_group("page")]


def test_the_saved_view_draws_the_study(shown, browser):
    """On the side for trainings, with a point for each run in every chart of the view."""
    context = browser.new_context(viewport={"width": 1500, "height": 1400})
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.goto(f"{shown.uri}/{view_link(shown.experiment_id)}")
    points = page.locator(".js-plotly-plot").first.locator(".scatterlayer .point")
    points.nth(len(shown.result.runs) - 1).wait_for()
    assert points.count() == len(shown.result.runs)
    words = page.locator("body").inner_text()
    for drawn in ("Temperature", f"{schema.METRIC_LOG10_LR} vs. {schema.METRIC_LOG10_TEMPERATURE}"):
        assert drawn in words
    assert f"{schema.METRIC_ENTROPY} vs. {schema.METRIC_LOSS}" in words
    assert f"{len(shown.result.runs)} matching runs" in words
    # The side for language models has evaluations in the place of runs.
    side = page.locator("aside, nav").first.inner_text().splitlines()
    assert {"Runs", "Models"} <= set(side)
    assert not {"Evaluation runs", "Judges"} & set(side)
    context.close()
