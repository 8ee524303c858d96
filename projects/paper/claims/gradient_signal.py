"""Claim 6: the signal-to-noise ratio of stochastic gradients along the training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis.results import BoolArray, FloatArray, GradientCourse, InsufficientData, IntArray, StudyResult
from mlflow_thermo.schema import CONVERGING, STATIONARY
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
from projects.paper.claims.gradient_law import snr_at_gradient_norm
from projects.paper.claims.quantities import runs_in

SAYS = (
    "Under-parameterised: the SNR plateaus while |∇L| stays below the stochastic gradients' norm; over-parameterised: "
    "both norms go to 0 together and the SNR ends small but bounded."
)
#: The end of a training: its last factor in steps.
LAST = 10.0
#: A slope of ln SNR on ln t within this is a plateau: 60 % over a decade.
FLAT = 0.2


def gradients_in(study: StudyResult | None, regime: str) -> list[GradientCourse]:
    """The gradients along the trainings that ended in a regime, of the runs that logged them."""
    return [run.gradients for run in runs_in(study, regime) if run.gradients is not None]


def signal_to_noise(up: StudyResult | None, op: StudyResult | None, setting: str) -> Claim:
    """Claim 6, from the log points of both studies."""
    figures = tuple(
        f"{setting}-{role}/{name}" for name in ("signal_course", "gradient_course") for role in ("op", "up")
    )
    warm, cold = gradients_in(up, STATIONARY), gradients_in(op, CONVERGING)
    if not warm or not cold:
        lacking = "stationary under-parameterised" if not warm else "converging over-parameterised"
        return missing(6, setting, SAYS, f"no {lacking} run with gradients along its training", figures)
    flat, flat_err = mean_and_error([_trend(one.steps, one.snr) for one in warm])
    plateau, plateau_err = mean_and_error([late_mean(one.steps, one.snr) for one in warm])
    share, share_err = mean_and_error(
        [late_mean(one.steps, one.full_norm) / late_mean(one.steps, one.minibatch_norm) for one in warm]
    )
    full, full_err = mean_and_error([_change(one.steps, one.full_norm) for one in cold])
    noise, noise_err = mean_and_error([_change(one.steps, one.minibatch_norm) for one in cold])
    end, end_err = mean_and_error([late_mean(one.steps, one.snr) for one in cold])
    gaps, extrapolated = _gaps(warm, cold)
    gap, gap_err = mean_and_error(gaps)
    plateaus: Answer = True if abs(flat) <= FLAT else (False if above(abs(flat), flat_err, FLAT) else None)
    answers = [
        plateaus,
        below(share, share_err, 1.0),
        below(full, full_err),
        below(noise, noise_err),
        above(gap, gap_err),
    ]
    return Claim(
        6, setting, SAYS,
        f"under-parameterised: SNR {interval(plateau, plateau_err)} over the last decade of steps (slope in ln t "
        f"{interval(flat, flat_err)}), |∇L| is {interval(share, share_err)} of E|g_B|; over-parameterised: |∇L| falls "
        f"to {factor(full, full_err)} of its start and E|g_B| to {factor(noise, noise_err)}, SNR ends at "
        f"{interval(end, end_err)}, {factor(gap, gap_err)} times that of an under-parameterised run at the same |∇L|"
        + (" (extrapolated to it by their constant noise)" if extrapolated else ""),
        verdict(answers), figures,
        {"snr_up": plateau, "snr_op": end, "snr_ratio": math.exp(gap), "norm_share": share},
    )  # fmt: skip


def _gaps(warm: Sequence[GradientCourse], cold: Sequence[GradientCourse]) -> tuple[list[float], bool]:
    """ln of each cold run's late SNR over that of the warm runs at the same |∇L|, and whether that is extrapolated."""
    gaps, extrapolated = [], False
    for one in cold:
        norm = late_mean(one.steps, one.full_norm)
        if math.isnan(norm):
            continue
        try:
            expected = snr_at_gradient_norm(warm, norm)
        except InsufficientData:
            continue
        extrapolated = extrapolated or expected.extrapolated
        gaps.append(math.log(late_mean(one.steps, one.snr) / expected.snr))
    return gaps, extrapolated


def late_mean(steps: IntArray, values: FloatArray) -> float:
    """Geometric mean of a column over the last factor `LAST` of steps; NaN where it has no value there."""
    late = values[_usable(steps, values) & (steps * LAST >= steps[-1])]
    return math.exp(float(np.mean(np.log(late)))) if len(late) else math.nan


def _change(steps: IntArray, values: FloatArray) -> float:
    """ln of the late value over the first."""
    known = values[_usable(steps, values)]
    return math.log(late_mean(steps, values) / known[0]) if len(known) else math.nan


def _trend(steps: IntArray, values: FloatArray) -> float:
    """Slope of ln value on ln t over the last factor `LAST` of steps."""
    late = _usable(steps, values) & (steps * LAST >= steps[-1])
    return slope(np.log(steps[late]).tolist(), np.log(values[late]).tolist())[0]


def _usable(steps: IntArray, values: FloatArray) -> BoolArray:
    """Where a column has a logarithm."""
    return np.isfinite(values) & (values > 0) & (steps > 0)
