"""Claim 3: what happens to an over-parameterised model at low learning rates, where it never becomes stationary."""

from __future__ import annotations

import math

import numpy as np

from analysis.results import Course, FloatArray, StudyResult
from mlflow_thermo.schema import CONVERGING
from projects.paper.claims.claim import (
    Answer,
    Claim,
    above,
    below,
    factor,
    interval,
    mean_and_error,
    missing,
    slope,
    verdict,
)
from projects.paper.claims.quantities import runs_in

SAYS = (
    "Over-parameterised at low lr: U and S fall without bound (S about linear in ln t), dU/dS falls with them, and the "
    "higher lr has the lower late T."
)
#: dU/dS must fall by this factor from the first burst to the last.
FALL = 10.0
#: A fit of S against ln t that explains this share of the variance is about linear.
LINEAR = 0.9


def falls_without_bound(study: StudyResult | None, setting: str) -> Claim:
    """Claim 3, from the bursts of the runs that converge."""
    figures = tuple(
        f"{setting}-op/{name}"
        for name in (
            "loss_course",
            "entropy_course",
            "paper_entropy_course",
            "temperature_course",
            "paper_temperature_course",
        )
    )
    found = ((run.lr, run.course) for run in runs_in(study, CONVERGING))
    runs = [(lr, course) for lr, course in found if course is not None and len(course.steps) >= 3]
    if not runs:
        return missing(3, setting, SAYS, "no converging run with bursts of iterates along its training", figures)
    courses = [course for _, course in runs]
    entropy = [_against_time(course, course.entropy) for course in courses]
    loss = [_against_time(course, course.loss, log=True) for course in courses]
    fall, fall_err = mean_and_error([-_log_fall(course.temperature) for course in courses])
    paper_fall, paper_err = mean_and_error([-_log_fall(course.paper_temperature) for course in courses])
    order, order_err = _late_order(runs)
    s_slope, s_err = mean_and_error([value for value, _ in entropy])
    u_slope, u_err = mean_and_error([value for value, _ in loss])
    linear = float(np.nanmedian([share for _, share in entropy]))
    answers: list[Answer] = [
        below(s_slope, s_err), below(u_slope, u_err), above(fall, fall_err, math.log(FALL)), below(order, order_err),
        None if math.isnan(linear) else linear >= LINEAR,
    ]  # fmt: skip
    lrs = sorted({lr for lr, _ in runs})
    return Claim(
        3, setting, SAYS,
        f"{len(runs)} runs from lr = {lrs[0]:.2g} to {lrs[-1]:.2g}: d ln U/d ln t = {interval(u_slope, u_err)}, "
        f"dS/d ln t = {interval(s_slope, s_err)} nats (median R² {linear:.2f}); from the first burst to the last T "
        f"falls by a factor {factor(fall, fall_err)} (in the paper's units {factor(paper_fall, paper_err)}); late T "
        f"goes as lr to the {interval(order, order_err)}",
        verdict(answers), figures,
        {"loss_slope": u_slope, "entropy_slope": s_slope, "linear": linear, "fall": math.exp(fall),
         "paper_fall": math.exp(paper_fall), "late_exponent": order},
    )  # fmt: skip


def _against_time(course: Course, values: FloatArray, log: bool = False) -> tuple[float, float]:
    """Slope of a column of the course, or of its logarithm, on ln t, and the share of the variance it explains."""
    pairs = [
        (math.log(step), math.log(value) if log else value)
        for step, value in zip(course.steps.tolist(), values.tolist(), strict=True)
        if step and math.isfinite(value) and (not log or value > 0)
    ]
    if len(pairs) < 3:
        return math.nan, math.nan
    x, y = zip(*pairs, strict=True)
    if np.ptp(y) == 0:
        return 0.0, math.nan
    return slope(x, y)[0], float(np.corrcoef(x, y)[0, 1] ** 2)


def _log_fall(temperature: FloatArray) -> float:
    """ln of the last over the first positive dU/dS along a run; NaN without two."""
    known = [value for value in temperature.tolist() if value > 0]
    return math.log(known[-1] / known[0]) if len(known) > 1 else math.nan


def _late_order(runs: list[tuple[float, Course]]) -> tuple[float, float]:
    """Exponent of the late temperature in the learning rate."""
    pairs = [(math.log(lr), math.log(course.temperature[-1])) for lr, course in runs if course.temperature[-1] > 0]
    return slope([x for x, _ in pairs], [y for _, y in pairs]) if len(pairs) > 2 else (math.nan, math.nan)
