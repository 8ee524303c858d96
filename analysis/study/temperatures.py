"""The temperatures of a study: from the stationary runs' losses and entropies to T of every run and the power law."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.regression import power_law
from analysis.results import CONVERGING, OK, RunResult, number, remedy
from analysis.study.checks import checks
from analysis.temperature import TemperatureCurve, pooled, temperature_curve, with_seed_scatter
from mlflow_thermo.schema import STATIONARY


def with_temperatures(
    results: list[RunResult], method: str, correlation: float | None, strays: Collection[str] = ()
) -> tuple[list[RunResult], dict[str, Any] | None, list[str], dict[str, Any]]:
    """The runs with their temperatures, the power law, notes, and the tests of the study as a whole.

    Parameters
    ----------
    method : of `analysis.temperature.temperature_curve`.
    correlation : of the errors of a run's loss and entropy; None where it is not known.
    strays : ids of stationary runs outside of the stationary range, which no fit takes in.
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
        return results, None, notes, {}
    lr, loss, entropy, loss_err, entropy_err = (
        np.array([getattr(results[i], name) or 0.0 for i in chosen], dtype=float)
        for name in ("lr", "loss", "entropy", "loss_stderr", "entropy_stderr")
    )
    scatter = with_seed_scatter(lr, loss, entropy, loss_err, entropy_err, correlation)
    states = pooled(lr, loss, entropy, scatter.loss_stderr, scatter.entropy_stderr)
    curve = temperature_curve(*states.numbers, method, correlation=scatter.correlation)
    temperature, lower, upper = (states.at(lr, values) for values in (curve.temperature, curve.lower, curve.upper))
    paper = _paper_temperatures(results, chosen)
    out = list(results)
    for k, i in enumerate(chosen):
        t = float(temperature[k])
        fine = results[i].status == OK
        status = str(curve.status[states.where[k]]) if fine else results[i].status
        out[i] = replace(
            results[i],
            temperature=number(t),
            temperature_lower=number(float(lower[k])),
            temperature_upper=number(float(upper[k])),
            free_energy=number(loss[k] - t * entropy[k]),
            paper_temperature=paper[k],
            paper_ratio=_ratio(paper[k], t),
            status=status,
            note=remedy(status) if fine else results[i].note,
        )
    law, said = _law(curve)
    return out, law, notes + said, checks([out[i] for i in chosen], states, curve, law)


def _paper_temperatures(results: list[RunResult], chosen: list[int]) -> list[float | None]:
    entropies = [results[i].paper_entropy for i in chosen]
    if any(value is None for value in entropies):
        return [None] * len(chosen)
    lr, loss = (np.array([getattr(results[i], name) for i in chosen], dtype=float) for name in ("lr", "loss"))
    curve = temperature_curve(lr, loss, np.array(entropies, dtype=float), method="interval")
    return [number(value) for value in curve.temperature]


def _law(curve: TemperatureCurve) -> tuple[dict[str, Any] | None, list[str]]:
    weights = curve.stderr if np.isfinite(curve.stderr).all() else None
    covariance = curve.covariance if curve.covariance is not None and np.isfinite(curve.covariance).all() else None
    try:
        fit = power_law(curve.lr, curve.temperature, weights, covariance=covariance)
    except ValueError as error:
        return None, [f"no power law: {error}"]
    names = ("exponent", "exponent_stderr", "prefactor", "prefactor_stderr", "lr_min", "lr_max", "n", "n_excluded")
    return {name: getattr(fit, name) for name in names}, []


def _ratio(part: float | None, whole: float) -> float | None:
    return part / whole if part is not None and math.isfinite(whole) and whole > 0 else None
