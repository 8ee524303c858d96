"""The saved views of an experiment in MLflow's UI: temperature, loss and entropy against the learning rate.

A view is a tag of the experiment in the form of the front end itself. Where a later front end reads another form the
view is missing from its menu, and nothing else changes.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from typing import Any

from mlflow_thermo import schema

#: Keys of the views: of all runs, and of those whose temperatures are sound.
ALL, SOUND = "thermodynamics", "thermodynamics-ok"
#: Of a link: the UI opens its side for language models unless this or the reader's own choice says otherwise.
TRAINING_VIEW = "workflowType=machine_learning"
_PREFIX = "mlflow.sharedViewState."
#: Milliseconds: the same view has the same text, which is then not written again.
_CREATED = 1_767_225_600_000
_FILTERS = {
    ALL: ("Thermodynamics", f"metrics.`{schema.METRIC_LR}` > 0"),
    SOUND: ("Thermodynamics, status ok", f"tags.`{schema.TAG_STATUS}` = 'ok'"),
}
_COLUMNS = [
    "attributes.`Dataset`", f"tags.`{schema.TAG_STATUS}`", f"tags.`{schema.TAG_REGIME}`",
    f"metrics.`{schema.METRIC_LR}`", f"metrics.`{schema.METRIC_LOSS}`", f"metrics.`{schema.METRIC_ENTROPY}`",
    f"metrics.`{schema.METRIC_TEMPERATURE}`", f"metrics.`{schema.METRIC_N_EFF}`",
]  # fmt: skip


def view_tags() -> dict[str, str]:
    """Tags of an experiment that has the views."""
    return {f"{_PREFIX}{key}": _envelope(name, _state(found)) for key, (name, found) in _FILTERS.items()}


def view_link(experiment_id: str, key: str = ALL) -> str:
    """Where a view is, from any page of the UI."""
    return f"#/experiments/{experiment_id}/runs?viewStateShareKey={key}&compareRunsMode=CHART&{TRAINING_VIEW}"


def _envelope(name: str, state: dict[str, Any]) -> str:
    packed = b64encode(zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 9)).decode("ascii")
    return json.dumps({"name": name, "createdAt": _CREATED, "updatedAt": _CREATED, "state": f"deflate;{packed}"})


def _state(search: str) -> dict[str, Any]:
    sections = ["Temperature", "Loss and entropy", "All together", "Course"]
    charts = [
        _scatter(0, "T against lr, both log10", schema.METRIC_LOG10_LR, schema.METRIC_LOG10_TEMPERATURE),
        _scatter(0, "U against S, whose slope is T", schema.METRIC_ENTROPY, schema.METRIC_LOSS),
        _scatter(1, "U against log10 lr", schema.METRIC_LOG10_LR, schema.METRIC_LOSS),
        _scatter(1, "S against log10 lr", schema.METRIC_LOG10_LR, schema.METRIC_ENTROPY),
        _card(2, "CONTOUR", "S over log10 lr and log10 T", xaxis=_axis(schema.METRIC_LOG10_LR),
              yaxis=_axis(schema.METRIC_LOG10_TEMPERATURE), zaxis=_axis(schema.METRIC_ENTROPY)),
        _card(2, "PARALLEL", "lr, U, S, T, n_eff", selectedParams=["lr"], showAllRuns=True, selectedMetrics=[
            schema.METRIC_LOSS, schema.METRIC_ENTROPY, schema.METRIC_LOG10_TEMPERATURE, schema.METRIC_N_EFF]),
        _card(3, "LINE", "Loss over steps, log10 of both", metricKey=schema.METRIC_TRAIN_LOSS, selectedMetricKeys=[
            schema.METRIC_TRAIN_LOSS], xAxisKey="step", xAxisScaleType="log", scaleType="log", lineSmoothness=0,
            selectedXAxisMetricKey="", useGlobalXaxisKey=False, useGlobalLineSmoothing=True),
    ]  # fmt: skip
    return {
        "searchFilter": search,
        "orderByKey": f"metrics.`{schema.METRIC_LR}`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": _COLUMNS,
        "runsHiddenMode": "SHOW_ALL",
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": "lr"}]},
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "compareRunCharts": charts,
        "compareRunSections": [
            {"uuid": f"thermo-section-{i}", "name": name, "display": True, "isReordered": False}
            for i, name in enumerate(sections)
        ],
        "isAccordionReordered": True,
    }


def _card(section: int, kind: str, title: str, **settings: Any) -> dict[str, Any]:
    return {
        "uuid": f"thermo-{section}-{title}",
        "type": kind,
        "displayName": title,
        "metricSectionId": f"thermo-section-{section}",
        "runsCountToCompare": 100,
        "deleted": False,
        "isGenerated": False,
        **settings,
    }


def _scatter(section: int, title: str, x: str, y: str) -> dict[str, Any]:
    return _card(section, "SCATTER", title, xaxis=_axis(x), yaxis=_axis(y))


def _axis(metric: str) -> dict[str, str]:
    return {"key": metric, "type": "METRIC"}
