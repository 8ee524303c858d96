"""Tests of a study as a whole: identifiability, convexity, consistency, alternatives to the power law."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from analysis.entropy import RunEntropies, compare_runs
from analysis.free_energy import convexity_test, leave_one_out
from analysis.results import (
    OK,
    UNIDENTIFIED,
    BrokenLawCheck,
    FloatArray,
    IdentifiabilityCheck,
    InsufficientData,
    LeaveOneOutCheck,
    RunResult,
    SeedsCheck,
    StudyChecks,
    ThreeEntropies,
    number,
    remedy,
)
from analysis.stationarity import split_rhat
from analysis.temperature import (
    FEWEST_SEEDS,
    Pooled,
    States,
    TemperatureCurve,
    broken_power_law,
    power_law,
    power_law_over_seeds,
    temperature_curve,
    thermodynamic_consistency,
)

#: Split-R̂ above which seeds of one learning rate are in different states.
RHAT = 1.1

Found = TypeVar("Found")


def identifiability(
    results: Sequence[RunResult], summaries: Mapping[int, RunEntropies]
) -> tuple[list[RunResult], IdentifiabilityCheck | None]:
    """The runs with their three entropies and with the study's verdict on them, and that verdict.

    Parameters
    ----------
    summaries : by index of the run.
    """
    out = list(results)
    for i, summary in summaries.items():
        three = ThreeEntropies(number(summary.isotropic), number(summary.completed), number(summary.shrinkage))
        out[i] = replace(out[i], identification=three)
    if len(summaries) < 2:
        return out, None
    verdict = compare_runs(list(summaries.values()))
    some = next(iter(summaries.values()))
    for i in summaries:
        if verdict.status == OK and out[i].status == UNIDENTIFIED and "floor" not in out[i].note:
            out[i] = replace(out[i], status=OK, note="")
        elif verdict.status != OK and out[i].status == OK:
            out[i] = replace(out[i], status=verdict.status, note=remedy(verdict.status))
    return out, IdentifiabilityCheck(verdict.status, number(verdict.disagreement), some.dim, some.subspace_dim)


def states_of(runs: Sequence[RunResult], correlation: float | None = None) -> States:
    """States (n,) of the runs that have a loss and an entropy.

    Raises
    ------
    InsufficientData
        Fewer than three different learning rates.
    """
    rows = [
        (run.lr, run.loss.value, run.entropy.value, _or_nan(run.loss.stderr), _or_nan(run.entropy.stderr))
        for run in runs
        if run.loss is not None and run.entropy is not None
    ]
    lr, loss, entropy, loss_stderr, entropy_stderr = np.array(rows, dtype=float).reshape(-1, 5).T
    return States.of(lr, loss, entropy, loss_stderr, entropy_stderr, correlation)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def checks_of(runs: Sequence[RunResult], fitted: Pooled, curve: TemperatureCurve, has_law: bool) -> StudyChecks:
    """Tests of the study as a whole; one that the data do not allow is None.

    Parameters
    ----------
    runs : those that were fitted.
    fitted : their states, in the order of `curve`.
    has_law : whether their temperatures have a power law, to which there are alternatives.
    """
    states = fitted.states
    lr, loss, entropy = states.lr, states.loss, states.entropy
    thermal = fitted.mean_of_known([None if r.equipartition is None else r.equipartition.temperature for r in runs])
    errors = curve.stderr if np.isfinite(curve.stderr).any() else None
    found = StudyChecks(
        convexity_p_value=_attempt(lambda: convexity_test(*states.numbers).p_value),
        leave_one_out=_attempt(lambda: _left_out(states)),
        consistency=_attempt(
            lambda: number(thermodynamic_consistency(lr, loss, entropy, curve.temperature).slope)
        ),
        consistency_equipartition=_attempt(
            lambda: number(thermodynamic_consistency(lr, loss, entropy, thermal).slope)
        ),
    )  # fmt: skip
    if not has_law:
        return found
    return replace(
        found,
        robust_exponent=_attempt(lambda: power_law(curve.lr, curve.temperature, errors, robust=True).exponent),
        segmented=_attempt(lambda: _segmented(states)),
        seeds=_attempt(lambda: _over_seeds(runs)),
    )


def _attempt(make: Callable[[], Found]) -> Found | None:
    """The result of `make`; None where there are too few learning rates, seeds or positive temperatures for it."""
    try:
        return make()
    except InsufficientData:
        return None


def _left_out(states: States) -> LeaveOneOutCheck:
    found = leave_one_out(*states.numbers)
    # Two standard errors above the minimum elsewhere: that state does not minimise its free energy.
    violated = int(np.sum((found.steps != 0) & (found.excess > 2 * found.excess_stderr)))
    return LeaveOneOutCheck(len(found.lr), violated, int(np.max(np.abs(found.steps))))


def _segmented(states: States) -> BrokenLawCheck:
    fit = broken_power_law(*states.numbers)
    return BrokenLawCheck(
        fit.preferred, fit.lr_break, fit.exponent_below, fit.exponent_above, number(fit.bic_single),
        number(fit.bic_broken),
    )  # fmt: skip


def _over_seeds(runs: Sequence[RunResult]) -> SeedsCheck:
    """Exponent with errors over seeds: a power law fitted to each seed alone, then a bootstrap over them.

    Local temperatures of one seed would not do: where their intervals reach zero, only the positive ones have a
    logarithm, which biases the law.
    """
    seeds = sorted({run.seed for run in runs})
    if len(seeds) < FEWEST_SEEDS:
        raise InsufficientData(f"{len(seeds)} seeds, at least {FEWEST_SEEDS} are needed")
    lr, temperature, seed = [], [], []
    for one in seeds:
        own = [run for run in runs if run.seed == one]
        curve = temperature_curve(*states_of(own).numbers, "power-law")
        lr += list(curve.lr)
        temperature += list(curve.temperature)
        seed += [one] * len(own)
    fit = power_law_over_seeds(lr, temperature, seed)
    return SeedsCheck(fit.exponent, fit.exponent_stderr, fit.lower, fit.upper, fit.n_seeds)


def seeds_disagree(losses: dict[float, list[FloatArray]]) -> list[tuple[float, float]]:
    """(lr, split-R̂) of the learning rates whose seeds have different loss levels.

    Parameters
    ----------
    losses : series (n,) of each seed by learning rate.
    """
    out = []
    for lr, series in losses.items():
        if len(series) < 2:
            continue
        length = min(len(one) for one in series)
        rhat = split_rhat(np.stack([one[-length:] for one in series]))
        if rhat > RHAT:
            out.append((lr, rhat))
    return out
