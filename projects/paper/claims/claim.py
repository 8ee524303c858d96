"""A claim of arXiv 2505.23489 with what was measured here, and the three-valued tests that verdicts are made of.

A test answers True where the data support a statement, False where they contradict it, None where they cannot tell:
its estimate is within two standard errors of the border between both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from analysis.results import NORMAL_95

HOLDS, FAILS, UNCLEAR = "holds", "does not hold", "cannot tell"
VERDICTS = (HOLDS, FAILS, UNCLEAR)

Answer = bool | None


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


def missing(number: int, setting: str, says: str, why: str, figures: tuple[str, ...] = ()) -> Claim:
    """The claim where its data are not there."""
    return Claim(number, setting, says, why, UNCLEAR, figures)
