"""The gradients of a run along its training, from the metrics that it logged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.results import FloatArray, GradientCourse, RunResult
from analysis.trajectory import History
from mlflow_thermo import schema

#: Columns of a run's gradients and the metrics that they come from.
METRICS: dict[str, str] = {
    "full_norm": schema.METRIC_GRADIENT_NORM,
    "minibatch_norm": schema.METRIC_MINIBATCH_NORM,
    "minibatch_norm_stderr": schema.METRIC_MINIBATCH_NORM_STDERR,
    "snr": schema.METRIC_SNR,
    "snr_stderr": schema.METRIC_SNR_STDERR,
    "train_loss": schema.METRIC_TRAIN_LOSS,
}


def with_gradients(result: RunResult, history: History) -> RunResult:
    """The run with the norms of its gradients at the log points; unchanged where they were not logged."""
    found = history(list(METRICS.values()))
    if any(metric not in found for metric in (schema.METRIC_GRADIENT_NORM, schema.METRIC_SNR)):
        return result
    steps = found[schema.METRIC_GRADIENT_NORM][0]

    def at_steps(metric: str) -> FloatArray:
        logged, values = found.get(metric, (steps[:0], np.empty(0)))
        by_step = dict(zip(logged.tolist(), values.tolist(), strict=True))
        column = np.array([by_step.get(step, np.nan) for step in steps.tolist()], dtype=float)
        # An infinite ratio, of gradients without noise, counts as missing.
        return np.where(np.isfinite(column), column, np.nan)

    columns = {name: at_steps(metric) for name, metric in METRICS.items()}
    return replace(result, gradients=GradientCourse(steps=steps, **columns))
