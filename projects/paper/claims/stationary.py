"""Claims 1, 2 and 5: plateaus that rise with the learning rate, and the temperature of the stationary branch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis import power_law
from analysis.results import OK, Estimate, RunResult, Status, StudyResult
from mlflow_thermo.schema import STATIONARY
from projects.paper.claims.claim import UNCLEAR, Answer, Claim, above, interval, missing, verdict
from projects.paper.claims.quantities import entropy_of, levels, loss_of, rises, runs_in

SAYS_1 = "Each fixed learning rate plateaus at its own U and S; both rise with the learning rate."
SAYS_2 = "Under-parameterised: T rises monotonically with lr, and F(lr'; T(lr)) has its minimum at lr' = lr."
SAYS_5 = "On the stationary branch of the over-parameterised model T follows a power law again."

#: Level of the convexity test.
LEVEL = 0.05


def plateaus(study: StudyResult | None, setting: str) -> Claim:
    """Claim 1, on the stationary range of an under-parameterised study."""
    figures = (f"{setting}-up/loss", f"{setting}-up/entropy", f"{setting}-up/loss_course")
    runs, sound = _judged(_stationary(study))
    if study is None or not runs:
        return missing(1, setting, SAYS_1, "no stationary run of the under-parameterised model", figures)
    loss, entropy = levels(runs, loss_of), levels(runs, entropy_of)
    if len(loss.lr) < 3 or len(entropy.lr) < 3:
        return missing(1, setting, SAYS_1, f"{len(loss.lr)} stationary learning rates, 3 are needed", figures)
    loss_rise, entropy_rise = (
        interval(found.mean[-1] - found.mean[0], float(np.hypot(found.stderr[0], found.stderr[-1])))
        for found in (loss, entropy)
    )
    return Claim(
        1, setting, SAYS_1,
        f"{len(runs)} runs at {len(loss.lr)} learning rates from {loss.lr[0]:.2g} to {loss.lr[-1]:.2g} are stationary; "
        f"over them U rises by {loss_rise} from {loss.mean[0]:.3g}, S by {entropy_rise} nats"
        + _doubts({run.status for run in runs}),
        _on(sound, [rises(loss), rises(entropy)]), figures,
        {"lr_min": float(loss.lr[0]), "lr_max": float(loss.lr[-1]), "loss_first": float(loss.mean[0]),
         "loss_last": float(loss.mean[-1]), "entropy_rise": float(entropy.mean[-1] - entropy.mean[0])},
    )  # fmt: skip


def temperature_rises(study: StudyResult | None, setting: str) -> Claim:
    """Claim 2: T rises by its trend and falls nowhere; states minimise F at the temperature that the others give."""
    figures = (f"{setting}-up/temperature", f"{setting}-up/free_energy")
    runs, sound = _judged(_stationary(study))
    points = _temperatures(runs)
    if study is None or len(points) < 3:
        return missing(2, setting, SAYS_2, f"{len(points)} temperatures of stationary runs, 3 are needed", figures)
    p = study.checks.convexity_p_value
    convex: Answer = None if p is None else bool(p >= LEVEL)
    exponent, stderr = _exponent(study)
    first, last = points[0], points[-1]
    ratios = [run.paper.ratio for run in _stationary(study) if run.paper.ratio is not None]
    ratio = float(np.median(ratios)) if ratios else None
    return Claim(
        2, setting, SAYS_2,
        f"T = {first.temperature.value:.2g} at lr = {first.lr:.2g} to {last.temperature.value:.2g} at "
        f"{last.lr:.2g}, {_order(points)}; exponent {interval(exponent, stderr)}; convexity of U in S "
        + ("not tested" if p is None else f"{'not rejected' if convex else 'rejected'}, p = {p:.2g}")
        + _left_out_words(study) + _tentative(points)
        + (f"; the paper's estimate from consecutive iterates is {ratio:.2f} of it" if ratio is not None else ""),
        _on(sound, [_monotone(points), above(exponent, stderr), convex, _minimal(study)]), figures,
        {"exponent": exponent, "exponent_stderr": stderr, "convexity_p_value": p, "paper_ratio": ratio},
    )  # fmt: skip


def stationary_branch(study: StudyResult | None, setting: str) -> Claim:
    """Claim 5: the power law on the stationary branch of an over-parameterised study."""
    figures = (f"{setting}-op/temperature",)
    runs, sound = _judged(_stationary(study))
    points = _temperatures(runs)
    if study is None or study.power_law is None or len(points) < 3:
        count = len({run.lr for run in _stationary(study)})
        why = f"{count} stationary learning rates, 3 are needed" if count < 3 else "the temperatures are not positive"
        return missing(5, setting, SAYS_5, f"no power law of the over-parameterised model: {why}", figures)
    exponent, stderr = _exponent(study)
    bend = study.checks.segmented is not None and study.checks.segmented.preferred
    parity = _paper_law(points)
    return Claim(
        5, setting, SAYS_5,
        f"T = {study.power_law.prefactor:.2g}·lr^{interval(exponent, stderr)} for lr from {points[0].lr:.2g} to "
        f"{points[-1].lr:.2g}" + (", two power laws fit better" if bend else "") + _tentative(points)
        + (f"; the paper's estimate goes as lr^{interval(*parity)}" if parity else ""),
        _on(sound, [above(exponent, stderr), None if bend else True]), figures,
        {"exponent": exponent, "exponent_stderr": stderr, "prefactor": study.power_law.prefactor},
    )  # fmt: skip


@dataclass(frozen=True)
class _Point:
    """A learning rate with its temperature."""

    lr: float
    temperature: Estimate
    paper_temperature: float | None
    status: Status


def _paper_law(points: list[_Point]) -> tuple[float, float] | None:
    """Exponent of the paper's own temperatures, and its error; None where there are fewer than three."""
    known = [(one.lr, one.paper_temperature) for one in points if one.paper_temperature and one.paper_temperature > 0]
    if len(known) < 3:
        return None
    fit = power_law([lr for lr, _ in known], [t for _, t in known])
    return fit.exponent, fit.exponent_stderr


def _stationary(study: StudyResult | None) -> list[RunResult]:
    """Stationary runs within the stationary range."""
    runs = runs_in(study, STATIONARY)
    branches = study.checks.branches if study is not None else None
    return [run for run in runs if branches is None or branches.holds(run.lr)]


def _judged(runs: list[RunResult]) -> tuple[list[RunResult], bool]:
    """The runs that are ok, and True, where they are enough; otherwise all, and False: nothing is decided on those."""
    sound = [run for run in runs if run.status == OK]
    return (sound, True) if len({run.lr for run in sound}) >= 3 else (runs, False)


def _on(sound: bool, answers: list[Answer]) -> str:
    """The verdict of tests; on states that are not ok there is none, for or against."""
    return verdict(answers) if sound else UNCLEAR


def _minimal(study: StudyResult) -> Answer:
    """Whether every state minimises F at the temperature of the others; no, where most do not."""
    found = study.checks.leave_one_out
    if found is None or found.n == 0:
        return None
    if found.n_violated == 0:
        return True
    return False if found.n_violated > found.n / 2 else None


def _left_out_words(study: StudyResult) -> str:
    found = study.checks.leave_one_out
    if found is None or found.n == 0:
        return ""
    return f"; {found.n - found.n_violated} of {found.n} states minimise F at the temperature that the others give"


def _temperatures(runs: list[RunResult]) -> list[_Point]:
    """The temperature at each learning rate; all seeds of one share it."""
    by_lr = {
        run.lr: _Point(run.lr, run.temperature, run.paper.temperature, run.status)
        for run in runs
        if run.temperature is not None
    }
    return [by_lr[lr] for lr in sorted(by_lr)]


def _exponent(study: StudyResult) -> tuple[float, float]:
    law = study.power_law
    return (float("nan"), float("nan")) if law is None else (law.exponent, law.exponent_stderr)


def _falls(points: list[_Point]) -> list[tuple[float, float]]:
    """Pairs of learning rates whose intervals say that T falls from the smaller to the larger."""
    return [
        (a.lr, b.lr)
        for i, a in enumerate(points)
        for b in points[i + 1 :]
        if a.temperature.lower is not None
        and b.temperature.upper is not None
        and b.temperature.upper < a.temperature.lower
    ]


def _monotone(points: list[_Point]) -> Answer:
    return not _falls(points)


def _order(points: list[_Point]) -> str:
    falls = _falls(points)
    if not falls:
        return "nowhere falling beyond the 95 % intervals"
    return f"falling beyond them from lr = {falls[0][0]:.2g} to {falls[0][1]:.2g}"


def _tentative(points: list[_Point]) -> str:
    return _doubts({one.status for one in points})


def _doubts(statuses: set[Status]) -> str:
    """The statuses that forbid a verdict, in words; that all are ok, where they are."""
    doubtful = sorted(statuses - {OK})
    return f"; tentative ({', '.join(doubtful)})" if doubtful else "; every state ok"
