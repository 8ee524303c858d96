"""The signal in stochastic gradients: their norm against the full gradient's near an optimum, and their SNR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from scipy import stats

from analysis.results import CONSTANT, FloatArray, GradientCourse, InsufficientData, IntArray

#: Runs from which the interval comes from resampling them; with fewer, from the scatter of single points.
FEWEST_RUNS = 5
#: Points that a law must have, and the factor that the full gradients of a run must span.
FEWEST_POINTS, SPAN = 10, 2.0
_RESAMPLES = 1000


def late(course: GradientCourse, last: float) -> IntArray:
    """Indices of the points within the last factor `last` of steps that have both norms."""
    fine = np.isfinite(course.full_norm) & np.isfinite(course.minibatch_norm)
    fine &= (course.full_norm > 0) & (course.minibatch_norm > 0) & (course.steps > 0)
    return np.nonzero(fine & (course.steps * last >= course.steps.max(initial=1)))[0]


@dataclass(frozen=True)
class NoisePowerLaw:
    """E|g_B| = C·|∇L|^k.

    Attributes
    ----------
    exponent, exponent_stderr : k.
    lower, upper : its 95 % interval.
    prefactor : C, geometric mean over the runs.
    n_points, n_runs : behind it.
    residual_sd : of ln E|g_B| about the law.
    note : where the interval comes from.
    """

    exponent: float
    exponent_stderr: float
    lower: float
    upper: float
    prefactor: float
    n_points: int
    n_runs: int
    residual_sd: float
    note: str


def noise_power_law(courses: Sequence[GradientCourse], last: float = 10.0, seed: int = 0) -> NoisePowerLaw:
    """Least squares of ln E|g_B| on ln |∇L| over the late log points of all runs, with a prefactor for each run.

    The exponent is what the gradients do along a training: runs at different learning rates approach the optimum on
    lines of their own. The full gradient is exact, so nothing attenuates the slope. Points of one run go together: with
    at least `FEWEST_RUNS` runs the interval comes from a bootstrap over runs with Student's t, with fewer from the
    residuals of single points (HC3), which then holds for these runs only: where the errors of a run go together it is
    too narrow by far. `note` says which.

    Parameters
    ----------
    last : the last factor in steps of every run that counts as near the optimum.
    seed : of the bootstrap.

    Raises
    ------
    InsufficientData
        Too few points, or gradients that hardly differ.
    """
    groups = []
    for course in courses:
        at = late(course, last)
        if len(at):
            groups.append((np.log(course.full_norm[at]), np.log(course.minibatch_norm[at])))
    n_points = sum(len(x) for x, _ in groups)
    if n_points < FEWEST_POINTS:
        raise InsufficientData(
            f"{n_points} log points near the optimum: a power law needs {FEWEST_POINTS}, log more of them"
        )
    span = float(np.exp(np.median([np.ptp(x) for x, _ in groups])))
    if span < SPAN:
        raise InsufficientData(
            f"the full gradients of a run differ by a factor {span:.2g}: a power law needs {SPAN:g}", CONSTANT
        )
    level = float(np.mean([y.mean() for _, y in groups])), float(np.mean([x.mean() for x, _ in groups]))
    groups = [(x - x.mean(), y - y.mean()) for x, y in groups]
    x, y = (np.concatenate([group[i] for group in groups]) for i in (0, 1))
    fit = sm.OLS(y, x).fit(cov_type="HC3")
    exponent, stderr, quantile = float(fit.params[0]), float(fit.bse[0]), stats.norm.isf(0.025)
    note = f"HC3 errors of single points: {len(groups)} runs, {FEWEST_RUNS} are needed to resample them"
    if len(groups) >= FEWEST_RUNS:
        stderr = _over_runs(groups, np.random.default_rng(seed))
        quantile = stats.t.isf(0.025, len(groups) - 1)
        note = f"bootstrap over {len(groups)} runs"
    half = float(quantile) * stderr
    return NoisePowerLaw(
        exponent, stderr, exponent - half, exponent + half, float(np.exp(level[0] - exponent * level[1])), n_points,
        len(groups), float(np.sqrt(np.sum(fit.resid**2) / max(1, n_points - len(groups) - 1))), note,
    )  # fmt: skip


def _over_runs(groups: list[tuple[FloatArray, FloatArray]], rng: np.random.Generator) -> float:
    """Standard error of the slope from drawing the runs with replacement."""
    # Sums of x² and xy of every run: a draw is a sum of rows, whatever the number of points.
    sums = np.array([[x @ x, x @ y] for x, y in groups])
    drawn = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=_RESAMPLES) @ sums
    usable = drawn[:, 0] > 1e-9 * drawn[:, 0].max()
    slopes = drawn[usable, 1] / drawn[usable, 0]
    return float(np.std(slopes, ddof=1)) * float(np.sqrt(len(groups) / (len(groups) - 1)))


@dataclass(frozen=True)
class ExpectedSNR:
    """SNR that runs have at a given |∇L|.

    Attributes
    ----------
    snr, stderr : value and standard error.
    extrapolated : whether |∇L| lies outside of all that the runs have seen.
    """

    snr: float
    stderr: float
    extrapolated: bool


def snr_at_gradient_norm(courses: Sequence[GradientCourse], norm: float, last: float = 10.0) -> ExpectedSNR:
    """What SNR the runs have, or would have, where the full gradient has this norm.

    SNR = |∇L|/noise, and the noise of an under-parameterised model hardly depends on |∇L| near its optimum: it is
    taken from the tenth of the points that is nearest in ln |∇L|: below all of them, where it is constant, the lowest.

    Raises
    ------
    ValueError
        A norm that is not a finite positive number.
    InsufficientData
        No points with an SNR.
    """
    if not (np.isfinite(norm) and norm > 0):
        raise ValueError(f"norm must be a finite positive number, got {norm}")
    parts = [(c.full_norm[at], c.snr[at]) for c in courses if len(at := late(c, last))]
    full, snr_seen = (np.concatenate([part[i] for part in parts] or [np.empty(0)]) for i in (0, 1))
    # An SNR of zero has no noise to go with it.
    fine = np.isfinite(snr_seen) & (snr_seen > 0)
    if not fine.any():
        raise InsufficientData("no log points with gradient norms and an SNR: train with log_points")
    full, noise = full[fine], full[fine] / snr_seen[fine]
    order = np.argsort(full)
    full, noise = full[order], noise[order]
    nearest = np.argsort(np.abs(np.log(full / norm)))[: max(3, len(full) // 10)]
    log_noise = np.log(noise[nearest])
    error = float(np.std(log_noise, ddof=1) / np.sqrt(len(nearest))) if len(nearest) > 1 else float("nan")
    snr = norm / float(np.exp(np.mean(log_noise)))
    return ExpectedSNR(snr, snr * error, bool(not full[0] <= norm <= full[-1]))
