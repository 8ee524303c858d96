"""The temperatures of a study: from the stationary runs' losses and entropies to T of every run and the power law."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.results import (
    CONVERGING,
    DISAGREE,
    IMPRECISE,
    OK,
    Estimate,
    InsufficientData,
    PowerLaw,
    RunResult,
    Status,
    StudyChecks,
    as_status,
    number,
    remedy,
)
from analysis.study.checks import checks_of, states_of
from analysis.study.thermometers import disagreement
from analysis.temperature import TemperatureCurve, pooled, power_law, temperature_curve, with_seed_scatter
from mlflow_thermo.schema import STATIONARY

#: A temperature is not `ok` where its interval reaches further, relative to it.
PRECISION = 1 / 5


@dataclass(frozen=True)
class StudyTemperatures:
    """The runs with their temperatures, and what the study says as a whole.

    Attributes
    ----------
    runs : all runs of the study.
    power_law : of the temperatures; None where they do not allow one.
    checks : tests of the study, without branches and identifiability.
    notes : remarks for the reader.
    """

    runs: list[RunResult]
    power_law: PowerLaw | None
    checks: StudyChecks
    notes: list[str]


def with_temperatures(
    results: Sequence[RunResult], method: str, correlation: float | None, strays: Collection[str] = ()
) -> StudyTemperatures:
    """Temperatures of the stationary runs, their power law, and the tests of the study as a whole.

    Parameters
    ----------
    method : of `analysis.temperature.temperature_curve`.
    correlation : of the errors of a run's loss and entropy; None where it is not known.
    strays : ids of stationary runs outside of the stationary range, which are left out of all fits.
    """
    notes = []
    cold = [r for r in results if r.regime == CONVERGING]
    if cold:
        rates = f"lr from {min(r.lr for r in cold):.3g} to {max(r.lr for r in cold):.3g}"
        notes.append(f"{len(cold)} of {len(results)} runs converge to an optimum, where T goes to zero: {rates}")
    chosen = [
        i for i, r in enumerate(results) if r.regime == STATIONARY and r.entropy is not None and r.run_id not in strays
    ]
    if len({results[i].lr for i in chosen}) < 3:
        notes.append(f"{len(chosen)} stationary runs: no temperature curve, which needs 3 stationary learning rates")
        return StudyTemperatures(list(results), None, StudyChecks(), notes)
    states, filled = states_of([results[i] for i in chosen], correlation).completed()
    fitted = pooled(with_seed_scatter(states))
    curve = temperature_curve(*fitted.states.numbers, method, correlation=fitted.states.correlation)
    notes += [*filled, *curve.notes]
    temperature, lower, upper = (
        fitted.at(states.lr, values) for values in (curve.temperature, curve.lower, curve.upper)
    )
    paper = _paper_temperatures([results[i] for i in chosen])
    unsound = _unsound_neighbours([results[i] for i in chosen])
    out = list(results)
    for k, i in enumerate(chosen):
        t = float(temperature[k])
        own = as_status(str(curve.status[fitted.where[k]]))
        run = results[i] if results[i].status != OK else _judged(results[i], own, t, lower[k], upper[k])
        beside = unsound[run.lr] if run.status == OK else None
        if beside is not None:
            axis = "T" if run.set_temperature is not None else "lr"
            note = f"T rests on the state at {axis}={beside.lr:.3g}, which is {beside.status}: {remedy(beside.status)}"
            run = replace(run, status=beside.status, note=note)
        estimate = Estimate(t, None, number(lower[k]), number(upper[k]), run.status) if math.isfinite(t) else None
        found = replace(
            run,
            temperature=estimate,
            free_energy=number(states.loss[k] - t * states.entropy[k]),
            paper=replace(run.paper, temperature=paper[k], ratio=_ratio(paper[k], t)),
        )
        problem = disagreement(found) if found.status in (OK, IMPRECISE) else ""
        if problem and found.temperature is not None:
            found = replace(
                found, status=DISAGREE, note=f"{problem}: {remedy(DISAGREE)}",
                temperature=replace(found.temperature, status=DISAGREE),
            )  # fmt: skip
        out[i] = found
    law, said = _law(curve)
    tested = checks_of([out[i] for i in chosen], fitted, curve, law is not None)
    return StudyTemperatures(out, law, tested, notes + said)


def _judged(run: RunResult, own: Status, t: float, lower: float, upper: float) -> RunResult:
    """A sound run with the status of its temperature, `own` by the method of the curve."""
    if own == OK and not max(t - lower, upper - t) <= PRECISION * t:
        own = IMPRECISE
    return replace(run, status=own, note="; ".join(filter(None, (run.note, remedy(own)))))


def _unsound_neighbours(runs: Sequence[RunResult]) -> dict[float, RunResult | None]:
    """For each learning rate a run at it, or at the next on either side, where most are not sound; None without any.

    A slope is as good as the states that it is taken between: with a neighbour in another basin it would come out with
    a tight interval that misses the truth.
    """
    by_lr: dict[float, list[RunResult]] = {}
    for run in sorted(runs, key=lambda run: run.lr):
        by_lr.setdefault(run.lr, []).append(run)
    worst: list[RunResult | None] = []
    for there in by_lr.values():
        bad = [run for run in there if run.status != OK]
        worst.append(bad[0] if len(bad) > len(there) / 2 else None)
    # Its own first, then the one below.
    near = zip(worst, [None, *worst[:-1]], [*worst[1:], None], strict=True)
    return {lr: next((one for one in found if one is not None), None) for lr, found in zip(by_lr, near, strict=True)}


def _paper_temperatures(runs: Sequence[RunResult]) -> list[float | None]:
    """The paper's interval on the paper's entropies; None for all runs where one of them has no such entropy."""
    entropies = [run.paper.entropy for run in runs if run.paper.entropy is not None]
    if len(entropies) < len(runs):
        return [None] * len(runs)
    states = states_of(runs)
    curve = temperature_curve(states.lr, states.loss, np.array(entropies), method="interval")
    return [number(value) for value in curve.temperature]


def _law(curve: TemperatureCurve) -> tuple[PowerLaw | None, list[str]]:
    weights = curve.stderr if np.isfinite(curve.stderr).any() else None
    covariance = None if weights is None else curve.covariance
    try:
        fit = power_law(curve.lr, curve.temperature, weights, covariance=covariance)
    except InsufficientData as error:
        return None, [f"no power law: {error}"]
    law = PowerLaw(
        fit.exponent, fit.exponent_stderr, fit.prefactor, fit.prefactor_stderr, fit.lr_min, fit.lr_max, fit.n,
        fit.n_excluded,
    )  # fmt: skip
    return law, []


def _ratio(part: float | None, whole: float) -> float | None:
    return part / whole if part is not None and math.isfinite(whole) and whole > 0 else None
