"""What a study found, as a reader asks: what T is at which learning rate, and whether it is to be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median

import numpy as np

from analysis.report.checks import concerns
from analysis.report.numbers import KEPT, Shown, in_words
from analysis.report.text import bounds
from analysis.results import OK, Estimate, RunResult, Status, StudyResult, remedy
from mlflow_thermo.schema import CONVERGING, STATIONARY, UNIFORM

#: Learning rates in the table beside the figure; an odd number, so that the middle one is among them.
MOST_ROWS = 15
#: Learning rates that are named one by one.
_NAMED = 6
#: Share of T from which on another thermometer's difference is worth a sentence.
_FAR = 0.1


@dataclass(frozen=True)
class Row:
    """T at one learning rate.

    Attributes
    ----------
    lr : in words.
    temperature : mean over the runs, and the interval that holds all of theirs.
    status : as in ``ok``, or ``ok (3), imprecise (1)``.
    sound : whether all of its runs are ok.
    runs : their number.
    """

    lr: str
    temperature: Shown
    status: str
    sound: bool
    runs: int


@dataclass(frozen=True)
class Trouble:
    """A status that is not ok: the runs that have it, and what to do."""

    status: Status
    runs: str
    remedy: str


def answer(result: StudyResult) -> str:
    """What the study found, in one sentence."""
    axis = result.axis
    by_lr = _temperatures(result.runs)
    if not by_lr:
        return f"No temperature: {_why_none(result)}."
    sound = {lr: found for lr, found in by_lr.items() if found.status == OK}
    used = sound or by_lr
    tentative = "" if sound else "; it is tentative, as no run is ok"
    lrs = sorted(used)
    low, high = lrs[0], lrs[-1]
    if low == high:
        return f"T = {in_words(used[low])} loss per nat at {_at(axis, low)}{tentative}."
    if result.gibbs:
        ratios = [found.value / lr for lr, found in used.items() if lr > 0]
        return (
            f"T = dU/dS is {median(ratios):.4g} times the temperature that was set (median), for {axis} from {low:.3g} "
            f"to {high:.3g}{tentative}."
        )
    first, last = (f"{in_words(used[lr])} at {_at(axis, lr)}" for lr in (low, high))
    return f"T {_trend(result)} from {first} to {last} (loss per nat){_law(result)}{tentative}."


def _at(axis: str, lr: float) -> str:
    """A learning rate in words that stay on one line."""
    return f"{axis} = {lr:.3g}".replace(" ", KEPT)


def _temperatures(runs: Iterable[RunResult]) -> dict[float, Estimate]:
    """T at each learning rate that has one."""
    grouped: dict[float, list[Estimate]] = {}
    for run in runs:
        if run.temperature is not None and math.isfinite(run.lr):
            grouped.setdefault(run.lr, []).append(run.temperature)
    return {lr: _together(found) for lr, found in sorted(grouped.items())}


def _together(found: Sequence[Estimate]) -> Estimate:
    """The mean of the seeds' temperatures, with the interval that holds all of theirs."""
    best = [one for one in found if one.status == OK] or list(found)
    lower = [one.lower for one in best if one.lower is not None]
    upper = [one.upper for one in best if one.upper is not None]
    whole = len(lower) == len(upper) == len(best)
    return Estimate(
        mean(one.value for one in best), None, min(lower) if whole else None, max(upper) if whole else None,
        best[0].status,
    )  # fmt: skip


def _trend(result: StudyResult) -> str:
    law = result.power_law
    if law is None:
        return "goes"
    if abs(law.exponent) < 2 * law.exponent_stderr:
        return f"does not depend on {result.axis_title.lower()} beyond its errors: it goes"
    return f"{'rises' if law.exponent > 0 else 'falls'} with the {result.axis_title.lower()},"


def _law(result: StudyResult) -> str:
    law, bend, axis = result.power_law, result.checks.segmented, result.axis
    if law is None:
        return ""
    if bend is not None and bend.preferred:
        return (
            f", as {axis}^{bend.exponent_below:.2f} below {_at(axis, bend.lr_break)} and as "
            f"{axis}^{bend.exponent_above:.2f} above"
        )
    return f", as {axis}^({law.exponent:.2f} ± {law.exponent_stderr:.2f})"


def _why_none(result: StudyResult) -> str:
    """Why there is none, of what the runs say."""
    if not result.runs:
        return "there are no runs"
    rates = {run.lr for run in result.runs if math.isfinite(run.lr)}
    usable = {run.lr for run in result.runs if run.loss is not None and run.entropy is not None}
    steady = {run.lr for run in result.runs if run.regime == STATIONARY and run.lr in usable}
    if len(rates) < 3:
        return f"dU/dS needs 3 learning rates, and the study has {len(rates)}"
    if len(steady) >= 3:
        return "the method gives none for these states"
    have = f"{len(steady)} of {len(rates)} have one" if steady else f"none of {len(rates)} has one"
    counts = {name: sum(run.regime == name for run in result.runs) for name in (CONVERGING, UNIFORM)}
    rest = "".join(f"; {n} run{'s are' if n > 1 else ' is'} {name}" for name, n in counts.items() if n)
    return f"dU/dS needs 3 learning rates with a stationary state, and {have}{rest}"


def rows(result: StudyResult, most: int = MOST_ROWS) -> tuple[list[Row], int]:
    """T at the learning rates of the study, at most so many spread over all, and the number of all."""
    by_lr: dict[float, list[RunResult]] = {}
    for run in result.runs:
        # A NaN is no key: each is another.
        by_lr.setdefault(run.lr if math.isfinite(run.lr) else math.inf, []).append(run)
    lrs = sorted(by_lr)
    chosen = np.unique(np.linspace(0, len(lrs) - 1, min(len(lrs), most)).round().astype(int))
    return [_row(lrs[i], by_lr[lrs[i]]) for i in chosen], len(lrs)


def _row(lr: float, runs: Sequence[RunResult]) -> Row:
    found = _temperatures(runs).get(lr)
    counts: dict[str, int] = {}
    for run in sorted(runs, key=lambda run: run.status != OK):
        counts[run.status] = counts.get(run.status, 0) + 1
    one = len(counts) == 1
    status = ", ".join(name if one else f"{name} ({n})" for name, n in counts.items())
    return Row(f"{lr:.3g}" if math.isfinite(lr) else "-", in_words(found), status, set(counts) == {OK}, len(runs))


def troubles(result: StudyResult) -> list[Trouble]:
    """The statuses that are not ok, that of most runs first."""
    found: dict[Status, list[RunResult]] = {}
    for run in result.runs:
        if run.status != OK:
            found.setdefault(run.status, []).append(run)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return [Trouble(status, _which(runs, result.axis), remedy(status)) for status, runs in ordered]


def _which(runs: Sequence[RunResult], axis: str) -> str:
    """The runs in words: how many, and at which learning rates."""
    lrs = sorted({run.lr for run in runs if math.isfinite(run.lr)})
    count = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
    if not lrs:
        return count
    where = ", ".join(f"{lr:.3g}" for lr in lrs) if len(lrs) <= _NAMED else f"{lrs[0]:.3g} to {lrs[-1]:.3g}"
    return f"{count}, {axis} = {where}"


def trust(result: StudyResult) -> str:
    """How far the temperatures are to be trusted, in one sentence."""
    n, sound = len(result.runs), sum(run.status == OK for run in result.runs)
    if not n:
        return ""
    every = "The run is ok" if n == 1 else f"All {n} runs are ok"
    if not any(run.temperature is not None for run in result.runs):
        return f"{every if sound == n else f'{sound} of {n} runs are ok' if sound else 'No run is ok'}."
    if not sound:
        return "No run is ok: every T is tentative."
    against = concerns(result)
    if sound == n:
        if against:
            return f"{every}, but tests of the study as a whole speak against its temperatures:"
        return f"{every}: T can be trusted within its {bounds(result)}."
    also = " Tests of the study as a whole speak against its temperatures too:" if against else ""
    return f"{sound} of {n} runs are ok; every other T is tentative, an empty point in the figure.{also}"


def parting(result: StudyResult) -> str:
    """Where the virial, which needs no entropy, is not T, in one sentence; empty where they agree, or none is known."""
    ours = _temperatures(run for run in result.runs if run.status == OK)
    theirs = _means(result.runs, ours)
    apart = [lr for lr, virial in theirs.items() if _apart(ours[lr], virial)]
    if not apart or result.gibbs:
        return ""
    tail = [lr for lr in theirs if lr >= apart[0]] == apart
    where = f"From {_at(result.axis, apart[0])} up" if tail else f"At {len(apart)} of {len(theirs)} learning rates"
    where = "At all learning rates" if len(apart) == len(theirs) else where
    found = f"the virial, a thermometer without entropy, is more than {100 * _FAR:.0f} % off T"
    return f"{where} {found}: SGD is not in a Gibbs state there, and T is the slope dU/dS alone."


def _means(runs: Sequence[RunResult], lrs: Iterable[float]) -> dict[float, Estimate]:
    """The virial at each of the learning rates that has one."""
    found = {lr: [run.thermometers.virial for run in runs if run.lr == lr and run.status == OK] for lr in lrs}
    known = {lr: [one for one in several if one is not None] for lr, several in found.items()}
    return {lr: _together(several) for lr, several in known.items() if several}


def _apart(ours: Estimate, theirs: Estimate) -> bool:
    """Whether two temperatures differ by more than their intervals, and by enough to matter."""
    (low, high), (below, above) = (
        (one.value if one.lower is None else one.lower, one.value if one.upper is None else one.upper)
        for one in (ours, theirs)
    )
    return abs(theirs.value - ours.value) > _FAR * abs(ours.value) and (above < low or high < below)
