"""The toy's MLflow side: a run for each learning rate, to be compared in the UI."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from mlflow_thermo import schema
from projects.common import create_run
from projects.toy_sphere.study import ToyStudy

#: Requests carry at most this many metrics (MLflow's limit for log_batch).
_MOST = 1000


def record_study(client: MlflowClient, experiment_id: str, study: ToyStudy) -> None:
    """One run for each learning rate of a toy, with its courses by step and its final numbers."""
    for i, lr in enumerate(study.lr):
        run_id = create_run(client, experiment_id, f"toy {study.name} lr={lr:.3g}", {})
        # A run that says RUNNING for ever would be the worst answer to a full disk.
        status = "FAILED"
        try:
            _fill(client, run_id, study, i)
            status = "FINISHED"
        finally:
            client.set_terminated(run_id, status)


def _fill(client: MlflowClient, run_id: str, study: ToyStudy, i: int) -> None:
    now = time.time_ns() // 1_000_000
    params = {
        "data": study.name,
        "lr": f"{study.lr[i]:.6g}",
        "seed": study.seed,
        "steps": study.steps,
        "chains": study.chains,
    }
    tags = {schema.TAG_KIND: schema.KIND_TOY, schema.TAG_REGIME: regime(study, i)}
    metrics = [Metric(name, value, now, step) for name, value, step in _values(study, i) if math.isfinite(value)]
    for start in range(0, len(metrics), _MOST):
        client.log_batch(run_id, metrics=metrics[start : start + _MOST])
    client.log_batch(
        run_id,
        params=[Param(key, str(value)) for key, value in params.items()],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )


def regime(study: ToyStudy, i: int) -> str:
    """Converging where every chain has reached the optimum, stationary elsewhere."""
    return schema.CONVERGING if study.converged[i] >= 1 else schema.STATIONARY


def _values(study: ToyStudy, i: int) -> Iterator[tuple[str, float, int]]:
    courses = {
        schema.METRIC_TRAIN_LOSS: study.loss_course,
        schema.METRIC_GRADIENT_NORM: study.full_course,
        schema.METRIC_MINIBATCH_NORM: study.minibatch_course,
        schema.METRIC_SNR: study.snr_course,
    }
    for name, course in courses.items():
        for step, value in zip(study.times, course[i], strict=True):
            yield name, float(value), int(step)
    lr, temperature = float(study.lr[i]), float(study.temperature[i])
    yield schema.METRIC_LR, lr, 0
    yield schema.METRIC_LOG10_LR, math.log10(lr), 0
    yield schema.METRIC_LOSS, float(study.loss[i]), study.steps
    yield schema.METRIC_ENTROPY, float(study.entropy[i]), study.steps
    yield schema.METRIC_TEMPERATURE, temperature, study.steps
    yield schema.METRIC_LOG10_TEMPERATURE, math.log10(temperature) if temperature > 0 else math.nan, study.steps
