"""Runs while they are trained: loss, independent snapshots and temperature as far as they can be had."""

from __future__ import annotations

import importlib
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from analysis.results import INCOMPLETE, OK, Estimate, RunResult
from analysis.study import analyze, analyze_run
from analysis.tracking.errors import ServerError, SourceError
from analysis.tracking.finding import experiment_of
from analysis.tracking.records import RunRecord
from analysis.tracking.server import from_tracking
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError

#: An analysis that takes longer than this share of the pause between two makes the pause longer.
_SHARE = 0.5
_HEAD = ("run", "lr", "seed", "state", "U", "n_eff", "T", "missing")


@dataclass(frozen=True)
class RunLook:
    """One run at one moment.

    Attributes
    ----------
    run_id, lr, seed, ended : of the run; MLflow's status.
    loss : mean training loss of the snapshots so far, or the last one that was logged.
    n_eff, needed : independent snapshots, and how many the run is to have; None where nobody knows.
    temperature, source : in loss units per nat, and what it is from.
    missing : what is not to be had yet, and what it waits for; empty where nothing is missing.
    """

    run_id: str
    lr: float
    seed: int
    ended: str
    loss: Estimate | None
    n_eff: float | None
    needed: float | None
    temperature: Estimate | None
    source: str
    missing: str

    def cells(self) -> tuple[str, ...]:
        """The run as the cells of a table."""
        n_eff = "-" if self.n_eff is None else f"{self.n_eff:.0f}"
        if self.needed is not None:
            n_eff += f" of {self.needed:.0f}"
        temperature = _shown(self.temperature) + (f" ({self.source})" if self.source else "")
        return (
            self.run_id[:8], f"{self.lr:.3g}", str(self.seed), self.ended.lower(), _shown(self.loss), n_eff,
            temperature, self.missing,
        )  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Some runs at one moment; a table in a notebook and in a terminal."""

    title: str
    runs: tuple[RunLook, ...]

    @property
    def over(self) -> bool:
        """Whether every run has ended."""
        return all(run.ended in schema.ENDED for run in self.runs)

    def __str__(self) -> str:
        rows = [_HEAD, *(run.cells() for run in self.runs)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([self.title, *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], kind: str) -> str:
            return f"<tr>{''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in cells)}</tr>"

        body = "".join(row(run.cells(), "td") for run in self.runs)
        return f"<p>{escape(self.title)}</p><table><thead>{row(_HEAD, 'th')}</thead><tbody>{body}</tbody></table>"


def watch(
    run_or_experiment: str | None = None,
    *,
    every: float = 5.0,
    tracking_uri: str | None = None,
    show: Callable[[Look], None] | None = None,
) -> Look:
    """Show the loss, the independent snapshots and the temperature of runs while they are trained.

    In a notebook one table is renewed in its place; elsewhere a new one is written. It ends with the runs, or when it
    is interrupted, which leaves the training alone.

    Parameters
    ----------
    run_or_experiment : id of a run, or name of an experiment, of which the newest sweep is meant; by default as
        `from_tracking`.
    every : seconds from one look to the next; longer where a look takes long.
    tracking_uri : by default MLflow's own choice.
    show : is given every look, in the place of the notebook or the terminal.

    Returns
    -------
    Look
        The last one.

    Raises
    ------
    ThermoError
        No such run or experiment, or none of its runs is a training; a server that does not answer at the beginning.

    Examples
    --------
    A run that has ended is looked at once:

    >>> from analysis import watch
    >>> look = watch("study", show=lambda look: None)
    >>> look.over, look.runs[4].source
    (True, 'dU/dS')
    """
    if not every > 0:
        raise ThermoError(f"every must be a positive number of seconds, got {every}")
    show = show or _display()
    look = first = look_at(run_or_experiment, tracking_uri)
    show(look)
    pause = every
    try:
        while not look.over:
            time.sleep(pause)
            begin = time.monotonic()
            try:
                look = look_at(run_or_experiment, tracking_uri)
            except ServerError as error:
                # The training goes on without its server, too.
                look = replace(look, title=f"{first.title} (not renewed: {error})")
            pause = max(every, (time.monotonic() - begin) / _SHARE)
            show(look)
    except KeyboardInterrupt:
        # Whoever has seen enough keeps what was there.
        pass
    return look


def look_at(run_or_experiment: str | None = None, tracking_uri: str | None = None) -> Look:
    """The runs as they are now."""
    inside = experiment_of(run_or_experiment, tracking_uri)
    if inside:
        found = from_tracking(
            tracking_uri=tracking_uri, filter=f"attributes.run_id = '{run_or_experiment}'", experiment_id=inside
        )
    else:
        found = from_tracking(run_or_experiment, tracking_uri)
    records = [replace(record, partial=True) for record in found]
    title = f"run {run_or_experiment}" if inside else found.title
    return Look(title, tuple(map(_look, records, _measured(records))))


def _measured(records: Sequence[RunRecord]) -> Sequence[RunResult]:
    """As a study where there are runs enough for one, else each alone."""
    if len({record.lr for record in records}) >= 3:
        try:
            return analyze(records).runs
        except (ServerError, SourceError):
            raise
        except ThermoError:
            # Too few of them have snapshots yet.
            pass
    return [analyze_run(record) for record in records]


def _look(record: RunRecord, found: RunResult) -> RunLook:
    logged = record.metrics.get(schema.METRIC_TRAIN_LOSS)
    loss = found.loss or (None if logged is None or not math.isfinite(logged) else Estimate(logged))
    needed = record.metrics.get(schema.METRIC_SAMPLING_NEEDED)
    n_eff = record.metrics.get(schema.METRIC_SAMPLING_N_EFF)
    if found.sampling.n_eff is not None and (needed is None or record.ended in schema.ENDED):
        n_eff = found.sampling.n_eff
    choice = ((found.temperature, "dU/dS"), (found.thermometers.noise, "noise"), (found.thermometers.virial, "virial"))
    temperature, source = next(((one, name) for one, name in choice if one is not None), (None, ""))
    missing = "" if found.status == OK else found.note or found.status
    if found.status == INCOMPLETE and record.ended == "RUNNING":
        missing = "no snapshots yet"
    elif temperature is None and not missing:
        missing = "T needs snapshots of at least 3 learning rates"
    if n_eff is not None and needed is not None and n_eff < needed and record.ended == "RUNNING":
        missing = f"n_eff {n_eff:.0f} of {needed:.0f}{'; ' if missing else ''}{missing}"
    return RunLook(
        record.run_id, record.lr, record.seed, record.ended, loss, n_eff, needed, temperature, source,
        missing.replace(f"run {record.run_id} ", ""),
    )  # fmt: skip


def _shown(one: Estimate | None) -> str:
    if one is None:
        return "-"
    if one.lower is not None and one.upper is not None:
        return f"{one.value:.3g} [{one.lower:.3g}, {one.upper:.3g}]"
    return f"{one.value:.4g}" + ("" if one.stderr is None else f" ± {one.stderr:.2g}")


def _write(look: Look) -> None:
    sys.stdout.write(f"{look}\n\n")
    sys.stdout.flush()


def _display() -> Callable[[Look], None]:
    """Renews one output of a notebook, or writes to the terminal."""
    shell = sys.modules.get("IPython")
    if shell is None or shell.get_ipython() is None:
        return _write
    display = importlib.import_module("IPython.display").display
    handles: list[Any] = []

    def renew(look: Look) -> None:
        if handles:
            handles[0].update(look)
        else:
            handles.append(display(look, display_id=True))

    return renew
