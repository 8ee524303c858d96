"""A small study on a server, analysed, for browsers to look at."""

import json
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from mlflow.entities import Metric

from analysis.report.folder import STUDY, new_report
from analysis.study import analyze
from analysis.tracking import from_tracking, publish_result
from mlflow_thermo import schema
from tests.analysis.conftest import Study

DESKTOP = {"viewport": {"width": 1360, "height": 900}}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@dataclass(frozen=True)
class Shown:
    """An analysed study on a server."""

    uri: str
    name: str
    experiment_id: str
    result: Any

    @property
    def address(self):
        return f"{self.uri}/thermo/?experiment={self.name}"


def log_course(client, run_id, lr, last=1000):
    """Loss and signal along a training, as far as step `last`."""
    steps = sorted({int(step) for step in np.geomspace(1, last, 8)})
    values = {
        schema.METRIC_TRAIN_LOSS: lambda step: 1 + 2 * math.exp(-step * lr),
        schema.METRIC_SNR: lambda step: 3 / step**0.3,
        schema.METRIC_SNR_STDERR: lambda step: 0.1,
        schema.METRIC_GRADIENT_NORM: lambda step: 1.0,
        schema.METRIC_MINIBATCH_NORM: lambda step: 2.0,
        schema.METRIC_MINIBATCH_NORM_STDERR: lambda step: 0.1,
    }
    now = time.time_ns() // 1_000_000
    logged = [Metric(key, value(step), now, step) for key, value in values.items() for step in steps]
    client.log_batch(run_id, metrics=logged)


def analysed(client, uri, root, name, place=None):
    """A small study of an exact system on the server, analysed, with its artifacts in `place`."""
    study = Study(root)
    experiment_id = client.create_experiment(name, artifact_location=place)
    for folder, lr in zip(study.write_all(), study.lrs, strict=True):
        tags = {schema.TAG_SWEEP: "first", "mlflow.runName": f"run of {lr:.3g}"}
        run_id = study.log_run(client, experiment_id, folder, lr, tags=tags)
        # MLflow's charts put runs together by it.
        client.log_param(run_id, "lr", lr)
        log_course(client, run_id, lr)
    selection = from_tracking(name, uri)
    result = analyze(selection)
    with new_report(root / "report", STUDY, ["result.json"]) as staged:
        (staged / "result.json").write_text(json.dumps(result.to_dict()), encoding="utf-8")
    publish_result(result, root / "report")
    return Shown(uri, name, experiment_id, result)
