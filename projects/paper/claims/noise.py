"""Claims 6 and 7: the signal-to-noise ratio of stochastic gradients, and the law of their norm near an optimum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    runs_in,
    slope,
    verdict,
)
from projects.paper.claims.gradient_law import NoisePowerLaw, noise_power_law, snr_at_gradient_norm

SAYS_6 = (
    "Under-parameterised: the SNR plateaus while |∇L| stays below the stochastic gradients' norm; over-parameterised: "
    "both norms go to 0 together and the SNR ends small but bounded."
)
SAYS_7 = (
    "Near the optimum of the over-parameterised model E|g_B| = C·|∇L|^k, and k rises to 1 as the data set shrinks "
    "relative to the model; the constant noise of an under-parameterised one would have k about 0."
)
#: The end of a training: its last factor in steps.
LAST = 10.0
#: A slope of ln SNR on ln t within this is a plateau: 60 % over a decade.
FLAT = 0.2
#: With a larger SNR the signal itself is a part of E|g_B|, and k is above 0 whatever the noise does.
NEAR_OPTIMUM = 0.3


def gradients_in(study: StudyResult | None, regime: str) -> list[GradientCourse]:
    """The gradients along the trainings that ended in a regime, of the runs that logged them."""
    return [run.gradients for run in runs_in(study, regime) if run.gradients is not None]


def noise_law(study: StudyResult, regime: str) -> NoisePowerLaw | None:
    """The power law of a study's runs in one regime; None where they do not allow it."""
    try:
        return noise_power_law(gradients_in(study, regime), LAST)
    except InsufficientData:
        return None


def signal_to_noise(up: StudyResult | None, op: StudyResult | None, setting: str) -> Claim:
    """Claim 6, from the log points of both studies."""
    figures = tuple(
        f"{setting}-{role}/{name}" for name in ("signal_course", "gradient_course") for role in ("op", "up")
    )
    warm, cold = gradients_in(up, STATIONARY), gradients_in(op, CONVERGING)
    if not warm or not cold:
        lacking = "stationary under-parameterised" if not warm else "converging over-parameterised"
        return missing(6, setting, SAYS_6, f"no {lacking} run with gradients along its training", figures)
    flat, flat_err = mean_and_error([_trend(one.steps, one.snr) for one in warm])
    plateau, plateau_err = mean_and_error([_late(one.steps, one.snr) for one in warm])
    share, share_err = mean_and_error(
        [_late(one.steps, one.full_norm) / _late(one.steps, one.minibatch_norm) for one in warm]
    )
    full, full_err = mean_and_error([_change(one.steps, one.full_norm) for one in cold])
    noise, noise_err = mean_and_error([_change(one.steps, one.minibatch_norm) for one in cold])
    end, end_err = mean_and_error([_late(one.steps, one.snr) for one in cold])
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
        6, setting, SAYS_6,
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
        norm = _late(one.steps, one.full_norm)
        if math.isnan(norm):
            continue
        try:
            expected = snr_at_gradient_norm(warm, norm)
        except InsufficientData:
            continue
        extrapolated = extrapolated or expected.extrapolated
        gaps.append(math.log(_late(one.steps, one.snr) / expected.snr))
    return gaps, extrapolated


def _late(steps: IntArray, values: FloatArray) -> float:
    """Geometric mean of a column over the last factor `LAST` of steps; NaN where it has no value there."""
    late = values[_usable(steps, values) & (steps * LAST >= steps[-1])]
    return math.exp(float(np.mean(np.log(late)))) if len(late) else math.nan


def _change(steps: IntArray, values: FloatArray) -> float:
    """ln of the late value over the first."""
    known = values[_usable(steps, values)]
    return math.log(_late(steps, values) / known[0]) if len(known) else math.nan


def _trend(steps: IntArray, values: FloatArray) -> float:
    """Slope of ln value on ln t over the last factor `LAST` of steps."""
    late = _usable(steps, values) & (steps * LAST >= steps[-1])
    return slope(np.log(steps[late]).tolist(), np.log(values[late]).tolist())[0]


def _usable(steps: IntArray, values: FloatArray) -> BoolArray:
    """Where a column has a logarithm."""
    return np.isfinite(values) & (values > 0) & (steps > 0)


@dataclass(frozen=True)
class SubsetRow:
    """One size of the subset-size study: its name, its number of training samples, and the law of its noise."""

    name: str
    n_train: int
    law: NoisePowerLaw

    def to_dict(self) -> dict[str, Any]:
        """The row of claims.json."""
        law = self.law
        return {
            "name": self.name, "n_train": self.n_train, "k": law.exponent, "stderr": law.exponent_stderr,
            "lower": law.lower, "upper": law.upper, "prefactor": law.prefactor, "exponent": f"{law.exponent:.3f}",
            "interval": f"{law.lower:.3f} to {law.upper:.3f}",
            "points": f"{law.n_points}, {law.n_runs} ({law.note})",
        }  # fmt: skip


def subset_rows(studies: Mapping[str, StudyResult]) -> list[SubsetRow]:
    """A row for each study whose converging runs allow a power law, by rising number of training samples."""
    rows = []
    for name, study in studies.items():
        law = noise_law(study, CONVERGING)
        counted = [run.n_train for run in study.runs if run.n_train]
        if law is not None and counted:
            rows.append(SubsetRow(name, counted[0], law))
    return sorted(rows, key=lambda row: row.n_train)


def noise_exponents(up: StudyResult | None, rows: Sequence[SubsetRow], setting: str) -> Claim:
    """Claim 7, from the subset-size study (`subset_rows`) and the stationary under-parameterised runs."""
    figures = ("subsets/exponent", f"{setting}-op/noise_law", f"{setting}-up/noise_law")
    law = noise_law(up, STATIONARY) if up is not None else None
    if len(rows) < 2:
        return missing(7, setting, SAYS_7, f"{len(rows)} sizes of the data set with a power law, 2 are needed", figures)
    # Each size's own error counts, and so does what they scatter about the line.
    x = np.log([row.n_train for row in rows])
    y = np.array([row.law.exponent for row in rows])
    err = np.array([row.law.exponent_stderr for row in rows])
    trend, trend_err = _weighted_slope(x, y, err)
    small, large = rows[0].law, rows[-1].law
    answers: list[Answer] = [below(trend, trend_err), above(large.exponent, large.exponent_stderr)]
    words = "; ".join(
        f"k = {row.law.exponent:.2f} [{row.law.lower:.2f}, {row.law.upper:.2f}] at {row.n_train}" for row in rows
    )
    if law is not None:
        # What is near no optimum has k > 0 by its signal alone: the two models are compared.
        gap = large.exponent - law.exponent
        answers.append(above(gap, math.hypot(large.exponent_stderr, law.exponent_stderr)))
        words += f"; under-parameterised k = {law.exponent:.2f} [{law.lower:.2f}, {law.upper:.2f}]"
        ratio = float(np.median([_late(one.steps, one.snr) for one in gradients_in(up, STATIONARY)]))
        if ratio > NEAR_OPTIMUM:
            words += f", whose SNR of {ratio:.2f} is far from an optimum's"
    return Claim(
        7, setting, SAYS_7, f"{words}; dk/d ln n = {interval(trend, trend_err)} (training samples n)", verdict(answers),
        figures,
        {"k_small": small.exponent, "k_large": large.exponent, "trend": trend,
         "k_up": law.exponent if law else None},
    )  # fmt: skip


def _weighted_slope(x: FloatArray, y: FloatArray, err: FloatArray) -> tuple[float, float]:
    """Slope by weighted least squares with the larger of the errors given and those of the scatter."""
    weight = 1 / np.maximum(err, 1e-12) ** 2
    mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
    spread = float(np.sum(weight * (x - mean_x) ** 2))
    found = float(np.sum(weight * (x - mean_x) * (y - mean_y))) / spread
    rest = y - mean_y - found * (x - mean_x)
    scale = max(1.0, float(np.sum(weight * rest**2)) / (len(x) - 2)) if len(x) > 2 else 1.0
    return found, math.sqrt(scale / spread)
