"""What a study says about learning rates that were not trained: loss, length, limits, and what a larger batch buys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm

from analysis.results import OK, Estimate, FloatArray, InsufficientData, RunResult, StudyResult
from mlflow_thermo.schema import CONVERGING, DIVERGED, STATIONARY, UNIFORM

#: Standard errors that a slope may be off before a curve counts as one that is not convex.
_TOLERANCE = 2.0
#: Of a normal distribution, for an interval of 95 %.
_REACH = 1.96


@dataclass(frozen=True)
class LargestRate:
    """Up to which learning rate training is stationary.

    Attributes
    ----------
    lr : the largest stationary one that was trained.
    above : the next one that was trained, where it is not any more; None where all larger ones are.
    why : regime or status there; empty without one.
    """

    lr: float
    above: float | None
    why: str


@dataclass(frozen=True)
class Advice:
    """What the curve of a study says; None where it says nothing.

    Attributes
    ----------
    largest : up to where training is stationary.
    converging_below : largest learning rate at which the loss still falls: longer training, not a lower rate, helps.
    equilibrated : learning rates whose runs are stationary and sound: more steps at this rate do not lower the loss, it
        is time to lower the rate.
    noise_scale : by learning rate, B_simple = tr Σ/|∇L|² of single samples (McCandlish et al. 2018), in samples.
    """

    largest: LargestRate | None
    converging_below: float | None
    equilibrated: tuple[float, ...]
    noise_scale: dict[float, Estimate]


def advise(result: StudyResult, batch_size: int | None = None) -> Advice:
    """What the runs of a study say about the choice of the learning rate.

    Parameters
    ----------
    result : as `analysis.analyze` gives it.
    batch_size : of the training; without it there is no noise scale.
    """
    by_lr: dict[float, list[RunResult]] = {}
    for run in sorted(result.runs, key=lambda run: run.lr):
        by_lr.setdefault(run.lr, []).append(run)
    steady = [lr for lr, runs in by_lr.items() if _most(runs, STATIONARY)]
    falling = [lr for lr, runs in by_lr.items() if _most(runs, CONVERGING)]
    sound = [lr for lr in steady if any(run.status == OK for run in by_lr[lr])]
    scales = {lr: found for lr, runs in by_lr.items() if (found := _noise_scale(runs, batch_size)) is not None}
    return Advice(_largest(by_lr, steady), max(falling, default=None), tuple(sound), scales)


def _most(runs: Sequence[RunResult], regime: str) -> bool:
    return sum(run.regime == regime for run in runs) > len(runs) / 2


def _largest(by_lr: dict[float, list[RunResult]], steady: list[float]) -> LargestRate | None:
    if not steady:
        return None
    for lr, runs in by_lr.items():
        gone = next((name for name in (UNIFORM, DIVERGED) if lr > steady[-1] and _most(runs, name)), "")
        if gone:
            return LargestRate(steady[-1], lr, gone)
    return LargestRate(steady[-1], None, "")


def _noise_scale(runs: Sequence[RunResult], batch_size: int | None) -> Estimate | None:
    """Mean over the last half of the log points of all runs; its error is that between them."""
    if batch_size is None:
        return None
    found: list[float] = []
    for run in runs:
        if run.gradients is not None:
            late = run.gradients.snr[len(run.gradients.snr) // 2 :]
            # The ratio is averaged and then inverted: one point with a small gradient would rule a mean of inverses.
            found.append(float(np.mean(late[np.isfinite(late)] ** 2)) if np.isfinite(late).any() else math.nan)
    known = [one for one in found if one > 0]
    if not known:
        return None
    inverse = float(np.mean(known))
    spread = float(np.std(known, ddof=1) / math.sqrt(len(known))) if len(known) > 1 else None
    scale = batch_size / inverse
    return Estimate(scale, None if spread is None else scale * spread / inverse)


def predicted_loss(result: StudyResult, lr: float) -> Estimate:
    """The stationary loss at a learning rate that was not trained, with the interval that its neighbours leave.

    U rises with the learning rate and its slope does too: the loss lies below the chord of the two neighbours and above
    the lines through the next two on either side. Where the trained losses are not convex, it lies between its
    neighbours. Their standard errors are added.

    Raises
    ------
    InsufficientData
        Fewer than three stationary learning rates, or one outside of theirs: a curve says nothing beyond its ends.
    """
    x, u, error = _curve(result)
    if len(x) < 3:
        raise InsufficientData(f"{len(x)} stationary learning rates, a loss between them needs 3")
    if not x[0] < lr < x[-1]:
        raise InsufficientData(
            f"lr={lr:g} lies outside of the stationary learning rates {x[0]:.3g} to {x[-1]:.3g}: train there"
        )
    k = int(np.searchsorted(x, lr))
    if x[k] == lr:
        return Estimate(float(u[k]), float(error[k]), *_within(u[k], u[k], error[k]))
    share = (lr - x[k - 1]) / (x[k] - x[k - 1])
    high = float(u[k - 1] + share * (u[k] - u[k - 1]))
    low = float(min(u[k - 1], u[k]))
    if _convex(x, u, error):
        lines = [low]
        if k >= 2:
            lines.append(u[k - 1] + (lr - x[k - 1]) * (u[k - 1] - u[k - 2]) / (x[k - 1] - x[k - 2]))
        if k + 1 < len(x):
            lines.append(u[k] - (x[k] - lr) * (u[k + 1] - u[k]) / (x[k + 1] - x[k]))
        low = min(high, float(max(lines)))
    else:
        high = float(max(u[k - 1], u[k]))
    # A line that is drawn on by its own length doubles the error of its ends.
    spread = float(2 * error[max(0, k - 2) : k + 2].max())
    lower, upper = _within(low, high, spread)
    return Estimate((low + high) / 2, (upper - lower) / (2 * _REACH), lower, upper)


def _within(low: float, high: float, error: float) -> tuple[float, float]:
    return float(low - _REACH * error), float(high + _REACH * error)


def _curve(result: StudyResult) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Learning rates, mean losses and their errors of the stationary runs."""
    runs = [run for run in result.runs if run.regime == STATIONARY and run.loss is not None]
    x = np.unique([run.lr for run in runs])
    u, error = np.empty(len(x)), np.empty(len(x))
    for i, lr in enumerate(x):
        found = [run.loss for run in runs if run.lr == lr and run.loss is not None]
        u[i] = np.mean([one.value for one in found])
        error[i] = math.sqrt(sum((one.stderr or 0.0) ** 2 for one in found)) / len(found)
    return x, u, error


def _convex(x: FloatArray, u: FloatArray, error: FloatArray) -> bool:
    slopes = np.diff(u) / np.diff(x)
    noise = np.hypot(error[1:], error[:-1]) / np.diff(x)
    rises = slopes[0] > -_TOLERANCE * noise[0]
    return bool(rises and np.all(np.diff(slopes) > -_TOLERANCE * np.hypot(noise[1:], noise[:-1])))


def steps_needed(result: StudyResult, lr: float, n_eff: float, chains: int = 1) -> Estimate:
    """Optimiser steps from the first snapshot until so many independent ones are there, with its 95 % interval.

    The correlation time in steps goes about as 1/lr: a straight line of its logarithm against that of lr, by least
    squares over the runs.

    Parameters
    ----------
    n_eff : independent snapshots, of all chains together.
    chains : that are recorded side by side.

    Raises
    ------
    InsufficientData
        Fewer than three learning rates with a known correlation time.
    """
    pairs = [
        (run.lr, run.sampling.tau * run.sampling.spacing)
        for run in result.runs
        if run.regime == STATIONARY and run.sampling.tau is not None and run.sampling.spacing is not None
    ]
    if len({rate for rate, _ in pairs}) < 3:
        raise InsufficientData(f"correlation times at {len({rate for rate, _ in pairs})} learning rates, 3 are needed")
    x, y = np.log(np.array(pairs, dtype=float)).T
    fitted = sm.OLS(y, sm.add_constant(x)).fit()
    found = fitted.get_prediction(np.array([[1.0, math.log(lr)]])).summary_frame(alpha=0.05).iloc[0]
    each = n_eff / chains
    middle, lower, upper = (each * math.exp(found[name]) for name in ("mean", "obs_ci_lower", "obs_ci_upper"))
    return Estimate(middle, None, lower, upper)
