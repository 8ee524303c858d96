"""What a run did along its training: the course of loss, entropy and temperature, and its gradients' signal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.entropy import entropy_of, make_estimator, paper_estimator
from analysis.results import RunResult, number
from analysis.study.course import Course, follow
from analysis.trajectory import History, RunError, Trajectory
from mlflow_thermo import schema

#: Time blocks of a burst behind the standard error of its entropy.
_BLOCKS = 5
#: Columns of a run's signal and the metrics that they come from.
SIGNAL: dict[str, str] = {
    "full_norm": schema.METRIC_GRADIENT_NORM,
    "minibatch_norm": schema.METRIC_MINIBATCH_NORM,
    "minibatch_norm_stderr": schema.METRIC_MINIBATCH_NORM_STDERR,
    "snr": schema.METRIC_SNR,
    "snr_stderr": schema.METRIC_SNR_STDERR,
    "train_loss": schema.METRIC_TRAIN_LOSS,
}


def with_course(result: RunResult, load: Callable[[str], Trajectory]) -> RunResult:
    """The run with its course; unchanged where it recorded no bursts."""
    try:
        trajectory = load(schema.BURSTS)
        dim = trajectory.n_weights - int(trajectory.on_sphere)
        course = follow(
            trajectory,
            lambda burst: entropy_of(burst, make_estimator("oas", dim=dim, jackknife_blocks=_BLOCKS))[:2],
            lambda burst: entropy_of(burst, paper_estimator(dim, len(burst)))[:2],
        )
    except (RunError, ValueError):
        # A run from before there were bursts, or too short for them, has its other numbers.
        return result
    return replace(result, course=_columns(course))


def _columns(course: Course) -> dict[str, list[float | None]]:
    columns = {**vars(course), "size": np.full(len(course.steps), course.size)}
    return {name: [number(float(value)) for value in values] for name, values in columns.items()}


def with_signal(result: RunResult, history: History) -> RunResult:
    """The run with the norms of its gradients at the log points; unchanged where they were not logged."""
    found = history(list(SIGNAL.values()))
    if any(metric not in found for metric in (schema.METRIC_GRADIENT_NORM, schema.METRIC_SNR)):
        return result
    steps = found[schema.METRIC_GRADIENT_NORM][0]
    signal: dict[str, list[Any]] = {"steps": [int(step) for step in steps]}
    for name, metric in SIGNAL.items():
        at, values = found.get(metric, (steps[:0], np.empty(0)))
        by_step = dict(zip(at.tolist(), values.tolist(), strict=True))
        signal[name] = [number(by_step.get(step, math.nan)) for step in steps.tolist()]
    return replace(result, signal=signal)
