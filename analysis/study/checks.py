"""What the runs of a study say together: identifiability, convexity, consistency, alternatives to the power law."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.entropy import RunEntropies, compare_runs
from analysis.free_energy import convexity_test, leave_one_out
from analysis.regression import FEWEST_SEEDS, power_law, power_law_over_seeds
from analysis.results import OK, UNIDENTIFIED, RunResult, number, remedy
from analysis.stationarity import split_rhat
from analysis.temperature import States, TemperatureCurve, broken_power_law, thermodynamic_consistency

#: What a temperature is made of, in the order of `temperature_curve`.
_STATE = ("lr", "loss", "entropy", "loss_stderr", "entropy_stderr")
#: Split-R̂ above which seeds of one learning rate are in different states.
RHAT = 1.1


def identifiability(
    results: list[RunResult], summaries: dict[int, RunEntropies]
) -> tuple[list[RunResult], dict[str, Any]]:
    """The runs with their three entropies and with the study's verdict on them, and that verdict."""
    out = list(results)
    for i, summary in summaries.items():
        out[i] = replace(
            out[i],
            entropy_isotropic=number(summary.isotropic),
            entropy_subspace=number(summary.completed),
            entropy_shrinkage=number(summary.shrinkage),
        )
    if len(summaries) < 2:
        return out, {}
    verdict = compare_runs(list(summaries.values()))
    some = next(iter(summaries.values()))
    known = {
        "status": verdict.status, "disagreement": number(verdict.disagreement), "dim": some.dim,
        "subspace_dim": some.subspace_dim,
    }  # fmt: skip
    for i in summaries:
        if verdict.status == OK and out[i].status == UNIDENTIFIED and "floor" not in out[i].note:
            out[i] = replace(out[i], status=OK, note="")
        elif verdict.status != OK and out[i].status == OK:
            out[i] = replace(out[i], status=verdict.status, note=remedy(verdict.status))
    return out, known


def checks(
    runs: Sequence[RunResult], fitted: States, curve: TemperatureCurve, law: dict[str, Any] | None
) -> dict[str, Any]:
    """Tests of the study as a whole; one that the data do not allow is left out.

    Parameters
    ----------
    runs : those that were fitted.
    fitted : their states, in the order of `curve`.
    """
    states = fitted.numbers
    lr, loss, entropy = states[:3]
    equipartition = fitted.mean_of_known([run.equipartition_temperature for run in runs])
    found: dict[str, Any] = {}

    def attempt(name: str, make: Callable[[], Any]) -> None:
        try:
            found[name] = make()
        except ValueError:
            # Too few learning rates, seeds or positive temperatures for this one.
            return

    attempt("convexity_p_value", lambda: convexity_test(*states).p_value)
    attempt("leave_one_out", lambda: _left_out(states))
    attempt(
        "consistency",
        lambda: number(thermodynamic_consistency(lr, loss, entropy, curve.temperature).slope),
    )
    attempt(
        "consistency_equipartition",
        lambda: number(thermodynamic_consistency(lr, loss, entropy, equipartition).slope),
    )
    if law is not None:
        errors = curve.stderr if np.isfinite(curve.stderr).all() else None
        attempt("robust_exponent", lambda: power_law(curve.lr, curve.temperature, errors, robust=True).exponent)
        attempt("segmented", lambda: _segmented(states))
        attempt("seeds", lambda: _over_seeds(runs))
    return found


def _left_out(states: tuple[Any, ...]) -> dict[str, Any]:
    found = leave_one_out(*states)
    # Two standard errors above the minimum elsewhere: that state does not minimise its free energy.
    violated = int(np.sum((found.steps != 0) & (found.excess > 2 * found.excess_stderr)))
    return {"n": len(found.lr), "n_violated": violated, "largest_step": int(np.max(np.abs(found.steps)))}


def _segmented(states: tuple[Any, ...]) -> dict[str, Any]:
    fit = broken_power_law(*states)
    return {
        "preferred": fit.preferred, "lr_break": fit.lr_break, "exponent_below": fit.exponent_below,
        "exponent_above": fit.exponent_above, "bic_single": number(fit.bic_single),
        "bic_segmented": number(fit.bic_broken),
    }  # fmt: skip


def _over_seeds(runs: Sequence[RunResult]) -> dict[str, Any]:
    """Exponent with errors over seeds: a power law fitted to each seed alone, then a bootstrap over them.

    Local temperatures of one seed would not do: where their error reaches zero only the positive ones have a logarithm,
    which bends the law.
    """
    from analysis.temperature import temperature_curve

    seeds = sorted({run.seed for run in runs})
    if len(seeds) < FEWEST_SEEDS:
        raise ValueError(f"{len(seeds)} seeds, at least {FEWEST_SEEDS} are needed")
    lr, temperature, seed = [], [], []
    for one in seeds:
        own = [run for run in runs if run.seed == one]
        values = [[getattr(run, name) or 0.0 for run in own] for name in _STATE]
        lrs, losses, entropies, loss_errors, entropy_errors = values
        curve = temperature_curve(lrs, losses, entropies, loss_errors, entropy_errors, "power-law")
        lr += list(curve.lr)
        temperature += list(curve.temperature)
        seed += [one] * len(own)
    fit = power_law_over_seeds(lr, temperature, seed)
    return {
        "exponent": fit.exponent, "exponent_stderr": fit.exponent_stderr, "lower": fit.lower, "upper": fit.upper,
        "n_seeds": fit.n_seeds,
    }  # fmt: skip


def seeds_disagree(losses: dict[float, list[Any]]) -> list[tuple[float, float]]:
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
