"""Results in words and in the lines of a terminal; imports nothing heavy."""

from __future__ import annotations

from statistics import median
from typing import Any

from analysis.results import Estimate, StudyResult


def summary(result: StudyResult) -> str:
    """The study in one sentence."""
    counts = {
        regime: sum(r.regime == regime for r in result.runs) for regime in ("stationary", "converging", "uniform")
    }
    said = ", ".join(f"{n} {regime}" for regime, n in counts.items() if n) or "none readable"
    law = result.power_law
    if law is None:
        return f"{len(result.runs)} runs ({said}); no power law."
    ratios = [run.paper.ratio for run in result.runs if run.paper.ratio is not None]
    ratio = f" The paper's estimate is {median(ratios):.2f} of it (median)." if ratios else ""
    return f"{len(result.runs)} runs ({said}); {law.words(result.axis)}.{ratio}"


def bounds(result: StudyResult) -> str:
    """What the lower and upper temperature are: the paper's method gives bounds of no stated level."""
    return "bounds" if result.method == "interval" else "95 % interval"


def text_table(result: StudyResult) -> str:
    """The runs as lines for a terminal."""
    lines = [
        f"{result.axis:>9} {'seed':>4} {'U':>9} {'S':>11} {'T':>10} {bounds(result):>23} {'n_eff':>7}  "
        f"{'regime':<11} status"
    ]
    for r in result.runs:
        loss, entropy, temperature = (None if e is None else e.value for e in (r.loss, r.entropy, r.temperature))
        lines.append(
            f"{r.lr:>9.3g} {r.seed:>4} {shown(loss):>9} {shown(entropy, 7):>11} {shown(temperature):>10} "
            f"{interval(r.temperature):>23} {shown(r.sampling.n_eff, 3):>7}  {r.regime or '-':<11} {r.status}"
        )
    return "\n".join(lines)


def interval(estimate: Estimate | None) -> str:
    """Both ends of an interval; a dash where there is no number."""
    return "-" if estimate is None else f"{shown(estimate.lower)} … {shown(estimate.upper)}"


def shown(value: Any, digits: int = 4) -> str:
    """A cell as text: four digits for a number, a dash for none."""
    if value is None:
        return "-"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


#: What a cell of a spreadsheet begins with that is a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: Any) -> Any:
    """A value as a CSV file takes it: a text that a spreadsheet would compute begins with an apostrophe.

    Examples
    --------
    >>> cell("=HYPERLINK(0)"), cell("run"), cell(-0.5)
    ("'=HYPERLINK(0)", 'run', -0.5)
    """
    # Names of runs are anybody's text; numbers, whose sign comes first, are ours.
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
