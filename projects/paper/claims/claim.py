"""A claim of arXiv 2505.23489 with what was measured here, and the three-valued tests that verdicts are made of.

A test answers True where the data support a statement, False where they contradict it, None where they cannot tell:
its estimate is within two standard errors of the border between both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from analysis.results import NORMAL_95, Estimate, FloatArray, RunResult, StudyResult

HOLDS, FAILS, UNCLEAR = "holds", "does not hold", "cannot tell"
VERDICTS = (HOLDS, FAILS, UNCLEAR)

Answer = bool | None

#: Takes a quantity from a run; None where the run does not have it.
Quantity = Callable[[RunResult], Estimate | float | None]


@dataclass(frozen=True)
class Claim:
    """One row of the table.

    Attributes
    ----------
    number : 1 to 8, as in the list of the claims.
    setting : which studies it was tested on.
    says : what the paper says.
    measured : what was measured here, in words, with intervals.
    verdict : one of `VERDICTS`.
    figures : names of the figures that show it, ``study/figure``.
    numbers : the numbers of `measured` by name.
    """

    number: int
    setting: str
    says: str
    measured: str
    verdict: str
    figures: tuple[str, ...] = ()
    numbers: dict[str, float | None] = field(default_factory=dict)


def verdict(answers: Iterable[Answer]) -> str:
    """A claim holds when all of its tests support it, and fails when one contradicts it."""
    known = list(answers)
    if any(answer is False for answer in known):
        return FAILS
    return HOLDS if known and all(answer is True for answer in known) else UNCLEAR


def above(estimate: float, stderr: float, border: float = 0.0) -> Answer:
    """Whether the estimate lies above the border, beyond its 95 % interval."""
    if not (math.isfinite(estimate) and math.isfinite(stderr)):
        return None
    distance = estimate - border
    if abs(distance) <= NORMAL_95 * stderr:
        return None
    return bool(distance > 0)


def below(estimate: float, stderr: float, border: float = 0.0) -> Answer:
    """Whether the estimate lies below the border, beyond its 95 % interval."""
    return above(-estimate, stderr, -border)


@dataclass(frozen=True)
class Levels:
    """A quantity at each learning rate, over the seeds.

    Attributes
    ----------
    lr, mean, stderr : (m,), by rising learning rate; the errors hold the spread of the seeds where there are several.
    """

    lr: FloatArray
    mean: FloatArray
    stderr: FloatArray


def loss_of(run: RunResult) -> Estimate | None:
    """Mean training loss of a run."""
    return run.loss


def entropy_of(run: RunResult) -> Estimate | None:
    """Entropy of a run by the study's estimator, nats."""
    return run.entropy


def paper_entropy_of(run: RunResult) -> float | None:
    """Entropy of a run's iterates by the paper's graph, graph units."""
    return run.paper.entropy


def estimates(runs: Iterable[RunResult], quantity: Quantity) -> list[tuple[float, Estimate]]:
    """Learning rate and estimate of each run that has the quantity."""
    found = ((run.lr, quantity(run)) for run in runs)
    return [(lr, one if isinstance(one, Estimate) else Estimate(one)) for lr, one in found if one is not None]


def levels(runs: Iterable[RunResult], quantity: Quantity) -> Levels:
    """Levels of a quantity over the runs that have it."""
    known = estimates(runs, quantity)
    lrs = sorted({lr for lr, _ in known})
    means, errors = [], []
    for lr in lrs:
        own = [one for other, one in known if other == lr]
        values = np.array([one.value for one in own])
        within = np.array([one.stderr or 0.0 for one in own])
        between = float(values.std(ddof=1)) if len(own) > 1 else 0.0
        means.append(float(values.mean()))
        errors.append(max(between, float(np.sqrt(np.mean(within**2)))) / math.sqrt(len(own)))
    return Levels(np.array(lrs), np.array(means), np.array(errors))


def rises(found: Levels) -> Answer:
    """Whether the levels rise: from first to last, and nowhere fall by more than noise (Bonferroni over the pairs)."""
    if len(found.lr) < 3:
        return None
    whole = above(found.mean[-1] - found.mean[0], math.hypot(found.stderr[0], found.stderr[-1]))
    steps = np.diff(found.mean)
    errors = np.hypot(found.stderr[1:], found.stderr[:-1])
    z = float(stats.norm.isf(0.025 / len(steps)))
    if whole is False or np.any(steps < -z * errors):
        return False
    return whole


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error, scaled so that ±1.96 of it is the 95 % interval of Student's t; NaN without two."""
    known = np.array([value for value in values if math.isfinite(value)])
    if len(known) < 2:
        return (float(known[0]) if len(known) else math.nan), math.nan
    stderr = float(known.std(ddof=1)) / math.sqrt(len(known))
    return float(known.mean()), stderr * float(stats.t.isf(0.025, len(known) - 1)) / NORMAL_95


def slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Slope of y on x by least squares and its standard error, scaled as in `mean_and_error`; NaN without three."""
    if len(x) < 3 or len(set(x)) < 2:
        return math.nan, math.nan
    fit = stats.linregress(x, y)
    return float(fit.slope), float(fit.stderr) * float(stats.t.isf(0.025, len(x) - 2)) / NORMAL_95


def interval(estimate: float, stderr: float, digits: int = 3) -> str:
    """An estimate with its 95 % interval, as text."""
    if not math.isfinite(estimate):
        return "-"
    if not math.isfinite(stderr):
        return _text(estimate, digits)
    low, high = estimate - NORMAL_95 * stderr, estimate + NORMAL_95 * stderr
    return f"{_text(estimate, digits)} [{_text(low, digits)}, {_text(high, digits)}]"


def _text(value: float, digits: int) -> str:
    """Thousands are easier to read than their powers of ten."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.{digits}g}"


def factor(log_estimate: float, log_stderr: float) -> str:
    """A factor with its 95 % interval, from its natural logarithm, as text."""
    if not math.isfinite(log_estimate):
        return "-"
    if not math.isfinite(log_stderr):
        return f"{math.exp(log_estimate):.3g}"
    low, high = math.exp(log_estimate - NORMAL_95 * log_stderr), math.exp(log_estimate + NORMAL_95 * log_stderr)
    return f"{math.exp(log_estimate):.3g} [{low:.3g}, {high:.3g}]"


def runs_in(study: StudyResult | None, regime: str) -> list[RunResult]:
    """The runs of a study that ended in a regime."""
    return [run for run in study.runs if run.regime == regime] if study is not None else []


def missing(number: int, setting: str, says: str, why: str, figures: tuple[str, ...] = ()) -> Claim:
    """The claim where its data are not there."""
    return Claim(number, setting, says, why, UNCLEAR, figures)
