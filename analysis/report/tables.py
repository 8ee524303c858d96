"""The runs of a study as tables that fit on a sheet of paper; a column that no run fills is left out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from analysis.report.numbers import in_words, with_error
from analysis.report.text import shown
from analysis.results import Estimate, RunResult, StudyResult

_Cell = Callable[[RunResult], str]
#: Letters of a name that a table has room for.
_LONGEST = 16


@dataclass(frozen=True)
class Table:
    """A caption, the names of the columns, which of them hold texts, and the rows."""

    caption: str
    columns: tuple[str, ...]
    texts: frozenset[str]
    rows: tuple[tuple[str, ...], ...]


def run_tables(result: StudyResult) -> tuple[Table, Table, Table]:
    """The results of all runs, their other thermometers, and how well they were sampled."""
    results = {
        "U": lambda run: _bare(run.loss),
        "S (nats)": lambda run: _bare(run.entropy),
        "T (loss per nat)": lambda run: str(in_words(run.temperature)),
        "regime": lambda run: run.regime or "-",
    }  # fmt: skip
    thermometers = {
        "virial": lambda run: str(in_words(run.thermometers.virial)),
        "gradient noise": lambda run: str(in_words(run.thermometers.noise)),
        "equipartition": _equipartition,
        "late dU/dS": lambda run: shown(run.late_temperature, 3),
        "paper's": lambda run: shown(run.paper.temperature, 3),
        "paper's / T": lambda run: shown(run.paper.ratio, 2),
        "fluctuation ratio": lambda run: "-" if run.fluctuation_ratio is None else f"{run.fluctuation_ratio:.3f}",
    }  # fmt: skip
    sampling = {
        "n_eff": lambda run: "-" if run.sampling.n_eff is None else f"{run.sampling.n_eff:.0f}",
        "tau (snapshots)": lambda run: shown(run.sampling.tau, 3),
        "chains": lambda run: _known(run.sampling.evidence.chains, ".0f"),
        "used": lambda run: shown(run.sampling.n_used),
        "burn-in": lambda run: shown(run.sampling.burn_in),
        "spacing (steps)": lambda run: shown(run.sampling.spacing),
        "last step": lambda run: shown(run.sampling.last_step),
        "p of equal chains": lambda run: _known(run.sampling.evidence.between_p_value, ".2g"),
        "p of no drift": lambda run: _known(run.sampling.evidence.drift_p_value, ".2g"),
    }  # fmt: skip
    return (
        _table(result, "All runs; ± is the standard error, brackets hold the interval.", results, always=True),
        _table(result, "Temperatures by other thermometers, in loss per nat.", thermometers),
        _table(result, "How many independent snapshots stand behind each run.", sampling),
    )


def _table(result: StudyResult, caption: str, columns: dict[str, _Cell], always: bool = False) -> Table:
    filled = {name: cell for name, cell in columns.items() if any(cell(run) != "-" for run in result.runs)}
    every: dict[str, _Cell] = {
        result.axis: lambda run: f"{run.lr:.3g}",
        "seed": lambda run: str(run.seed),
        **filled,
        "status": lambda run: run.status,
        "run": lambda run: run.run_id,
    }
    # A table of what identifies the runs says nothing.
    rows = tuple(tuple(cell(run) for cell in every.values()) for run in result.runs) if filled or always else ()
    return Table(caption, tuple(every), frozenset({"regime", "status", "run"}), rows)


def short(name: str) -> str:
    """A run's id, or the name of its folder, in a few letters.

    Examples
    --------
    >>> short("88caeddc2b4b45f08247be1419af0bd5"), short("width 64"), short("digits-up-lr-0.1-seed-3")
    ('88caeddc…', 'width 64', 'digits-u…-seed-3')
    """
    if re.fullmatch(r"[0-9a-f]{32}", name):
        return f"{name[:8]}…"
    return name if len(name) <= _LONGEST else f"{name[:8]}…{name[-7:]}"


def _bare(estimate: Estimate | None) -> str:
    return "-" if estimate is None else with_error(estimate.value, estimate.stderr)


def _equipartition(run: RunResult) -> str:
    """From losses alone, where gradients say nothing better."""
    found = run.equipartition
    if found is None or found.temperature is None or run.thermometers.virial is not None:
        return "-"
    return with_error(found.temperature, found.stderr)


def _known(value: float, digits: str) -> str:
    return "-" if math.isnan(value) else f"{value:{digits}}"
