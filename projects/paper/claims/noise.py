"""Claim 7: the law of the stochastic gradients' norm near an optimum, and how it goes with the size of the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.results import FloatArray, InsufficientData, StudyResult
from mlflow_thermo.schema import CONVERGING, STATIONARY
from projects.paper.claims.claim import Answer, Claim, above, below, interval, missing, verdict
from projects.paper.claims.gradient_law import NoisePowerLaw, noise_power_law
from projects.paper.claims.gradient_signal import LAST, gradients_in, late_mean

SAYS = (
    "Near the optimum of the over-parameterised model E|g_B| = C·|∇L|^k, and k rises to 1 as the data set shrinks "
    "relative to the model; the constant noise of an under-parameterised one would have k about 0."
)
#: With a larger SNR the signal itself is a part of E|g_B|, and k is above 0 whatever the noise does.
NEAR_OPTIMUM = 0.3


def noise_law(study: StudyResult, regime: str) -> NoisePowerLaw | None:
    """The power law of a study's runs in one regime; None where they do not allow it."""
    try:
        return noise_power_law(gradients_in(study, regime), LAST)
    except InsufficientData:
        return None


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
        return missing(7, setting, SAYS, f"{len(rows)} sizes of the data set with a power law, 2 are needed", figures)
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
        ratio = float(np.median([late_mean(one.steps, one.snr) for one in gradients_in(up, STATIONARY)]))
        if ratio > NEAR_OPTIMUM:
            words += f", whose SNR of {ratio:.2f} is far from an optimum's"
    return Claim(
        7, setting, SAYS, f"{words}; dk/d ln n = {interval(trend, trend_err)} (training samples n)", verdict(answers),
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
