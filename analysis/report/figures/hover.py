"""What a point of a figure says of itself under the pointer: its run, and its value with the error."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import pandas as pd

from analysis.results import NORMAL_95, Estimate, RunResult

#: In words, for the reader of a tooltip.
_SHOWN = (
    "format(datum.value, '.4~g') + (datum.high > datum.low ? ' ± ' + format((datum.high - datum.low) / 2, '.2~g') : '')"
)
_BETWEEN = "datum.high > datum.low ? format(datum.low, '.4~g') + ' to ' + format(datum.high, '.4~g') : 'no error known'"


def of_run(run: RunResult) -> dict[str, Any]:
    """The fields of every point that belongs to a run."""
    chains = run.sampling.evidence.chains
    return {
        "run": run.run_id,
        "lr": run.lr,
        # As text: a seed of 64 bits is no number of a browser.
        "seed": str(run.seed),
        "chains": 1 if math.isnan(chains) else int(chains),
        "regime": run.regime or "-",
        "status": run.status,
    }


def points(runs: Sequence[RunResult], number: Callable[[RunResult], Estimate | None]) -> pd.DataFrame:
    """`number` of each run that has it: `value`, and `low` and `high` of its interval."""
    rows = []
    for run in runs:
        found = number(run)
        if found is not None:
            low, high = ends(found)
            rows.append({**of_run(run), "value": found.value, "low": low, "high": high})
    frame: pd.DataFrame = pd.DataFrame(rows)
    return frame


def ends(estimate: Estimate) -> tuple[float, float]:
    """Both ends of the 95 % interval, normal where only a standard error is known; the value itself without one."""
    error = NORMAL_95 * (estimate.stderr or 0.0)
    low, high = estimate.lower, estimate.upper
    return estimate.value - error if low is None else low, estimate.value + error if high is None else high


def hovered(chart: alt.Chart, name: str, axis: str = "lr", more: Sequence[alt.Tooltip] = ()) -> alt.Chart:
    """A chart of `points` that says under the pointer which run it is, and its value ± half of the 95 % interval.

    Parameters
    ----------
    name : of the value.
    axis : of what the runs differ in.
    more : further fields, before the value.
    """
    known = [one for one in ("seed", "chains", "regime", "status") if one in chart.data]
    tips = [
        alt.Tooltip("run:N"),
        alt.Tooltip("lr:Q", title=axis, format=".4~g"),
        *[alt.Tooltip(f"{one}:N") for one in known],
        *more,
        alt.Tooltip("shown:N", title=name),
        alt.Tooltip("between:N", title="interval"),
    ]
    found: alt.Chart = chart.transform_calculate(shown=_SHOWN, between=_BETWEEN).encode(tooltip=tips)
    return found
