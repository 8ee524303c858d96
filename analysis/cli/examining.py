"""The commands that look at runs: what is wrong with them, and how far those are that are still trained."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from analysis.cli.care import AS_JSON, Positive, analysed, finite
from analysis.cli.completion import experiment_names
from analysis.cli.selection import URI, Selection, selects_runs
from mlflow_thermo.errors import ThermoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.results import RunResult
    from analysis.study import Complaint
    from analysis.tracking import Orphan, Other, RunRecord

#: Runs of other tools that are named one by one.
_NAMED = 10


@dataclass(frozen=True)
class _Found:
    """What an examination has found."""

    runs: Sequence[RunRecord]
    orphans: Sequence[Orphan]
    complaints: Sequence[Complaint]
    others: Sequence[Other]

    @property
    def running(self) -> int:
        """Runs that a program still writes to."""
        lost = {one.run_id for one in self.orphans}
        return sum(run.ended == "RUNNING" and run.run_id not in lost for run in self.runs)


@click.command()
@selects_runs("[RUN_OR_EXPERIMENT]")
@click.option("--fix", is_flag=True, help="Close the runs that say RUNNING although their program has ended.")
@AS_JSON
def doctor(where: Selection, fix: bool, as_json: bool) -> None:
    """Say what is wrong with a run, or with the runs of an experiment, and what to do about it.

    Names every run whose numbers are tentative or missing, with the steps that it lacks where more steps help; runs
    that a killed program has left RUNNING; and runs of other tools, with which nothing is wrong. --fix changes nothing
    but the status of runs that say RUNNING for ever. Exit status 1 where something is wrong.
    """
    found = _examined(where, fix)
    if as_json:
        said = {
            "orphans": [asdict(one) for one in found.orphans],
            "complaints": [asdict(one) for one in found.complaints],
            "others": [asdict(one) for one in found.others],
            "running": found.running,
        }
        click.echo(json.dumps(finite(said), indent=1))
    else:
        for line in _in_words(found, fix):
            click.echo(line)
    if found.orphans and not fix:
        raise ThermoError(f"{len(found.orphans)} of the runs that say RUNNING will say so for ever: --fix closes them")
    if found.complaints:
        raise ThermoError(
            f"{len(found.complaints)} of {len(found.runs)} runs have numbers that are tentative or missing, see above"
        )


def _examined(where: Selection, fix: bool) -> _Found:
    from analysis.study import complaints
    from analysis.tracking import SourceError, close_orphans, experiment_of, from_tracking, orphans_of

    uri, run_id = where.tracking_uri or None, where.experiment
    inside = experiment_of(run_id, uri)
    lost = orphans_of(where.experiment, uri, experiment_id=inside)
    runs: Sequence[RunRecord] = ()
    others: Sequence[Other] = ()
    try:
        if inside:
            chosen = from_tracking(tracking_uri=uri, filter=f"attributes.run_id = '{run_id}'", experiment_id=inside)
            lost = [one for one in lost if one.run_id == run_id]
        else:
            chosen = where.runs()
        runs, others = chosen, chosen.others
    except SourceError:
        # An experiment of orphans alone is one, too.
        if not lost:
            raise
    if fix:
        close_orphans(lost, uri)
    # What is still being recorded is not complete yet, and nothing is wrong with it.
    healthy = {run.run_id for run in runs if run.ended == "RUNNING"} | {one.run_id for one in lost}
    return _Found(runs, lost, complaints([run for run in _judged(runs) if run.run_id not in healthy]), others)


def _judged(runs: Sequence[RunRecord]) -> Sequence[RunResult]:
    """The runs as a study, or each alone where they are none."""
    from analysis import analyze_run
    from analysis.tracking import ServerError

    if len({run.lr for run in runs}) >= 3:
        try:
            return analysed(runs).runs
        except ServerError:
            raise
        except ThermoError:
            # Too few of them can be read, or they are of several kinds: then each says what is wrong with it.
            pass
    return [analyze_run(run) for run in runs]


def _in_words(found: _Found, fixed: bool) -> list[str]:
    lines = [
        f"run {one.run_id} ({one.name}): {one.why}{', closed as KILLED' if fixed else ''}" for one in found.orphans
    ]
    for one in found.complaints:
        longer = "" if one.steps is None else f" (about {one.steps:,} steps more)"
        lines.append(f"run {one.run_id} (lr={one.lr:g} seed={one.seed}): {one.status}: {one.what}{longer}")
    lines += [f"run {one.run_id} ({one.name}): of another tool, left out" for one in found.others[:_NAMED]]
    if len(found.others) > _NAMED:
        lines.append(f"{len(found.others) - _NAMED} more runs of other tools, left out")
    if not found.complaints and (fixed or not found.orphans):
        ended = len(found.runs) - found.running
        going = f", {found.running} still running" if found.running else ""
        lines.append(f"{ended} runs, every one ok{going}; no run says RUNNING whose program has ended")
    return lines


@click.command()
@click.argument("run_or_experiment", default="", metavar="[RUN_OR_EXPERIMENT]", shell_complete=experiment_names)
@URI
@click.option("--every", default=5.0, show_default=True, type=Positive(), help="Seconds from one look to the next.")
def watch(run_or_experiment: str, tracking_uri: str, every: float) -> None:
    """Show loss, independent snapshots and temperature of runs while they are trained, until they end or Ctrl-C."""
    from analysis.tracking import watch as watch_runs

    watch_runs(run_or_experiment or None, every=every, tracking_uri=tracking_uri or None)
