"""The command that analyses a study, with its report and its results on the server."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from analysis.cli.display import steady_progress
from analysis.cli.selection import Selection, Whole, selects_runs
from mlflow_thermo.errors import ThermoError

if TYPE_CHECKING:
    from collections.abc import Callable

    from analysis.results import StudyResult
    from analysis.tracking import StudyRuns

#: Of an analysis with its report, the part before the report.
_ANALYSED = 0.75


@dataclass(frozen=True)
class _How:
    """How a study is to be analysed."""

    entropy: str
    method: str
    jobs: int
    scheduler: str


@click.command()
@selects_runs()
@click.option(
    "--folder",
    default="",
    metavar="DIR",
    help="Recorded runs in this folder, in the place of a server.  [default: a server]",
)
@click.option(
    "--entropy", default="auto", show_default=True, metavar="NAME", help="An estimator's short name; auto chooses one."
)
@click.option(
    "--method",
    default="local-quadratic",
    show_default=True,
    metavar="NAME",
    help="How dU/dS is fitted: local-quadratic, interval, convex or power-law.",
)
@click.option("--out", default="thermo-report", show_default=True, metavar="DIR", help="Folder for the report.")
@click.option(
    "--publish/--no-publish", "publishes", default=True, show_default=True, help="Write the results back to MLflow."
)
@click.option(
    "--cache/--no-cache",
    "caches",
    default=True,
    show_default=True,
    help="Take the report of the same runs and settings, if there is one.",
)
@click.option(
    "--jobs",
    default=0,
    type=Whole(min=0),
    metavar="N",
    help="Runs that are measured at the same time.  [default: one for each core]",
)
@click.option(
    "--scheduler",
    default="",
    metavar="ADDRESS",
    help="Dask scheduler, as tcp://10.0.0.1:8786, whose workers read and measure.  [default: this machine]",
)
def analyze(
    where: Selection,
    folder: str,
    entropy: str,
    method: str,
    out: str,
    publishes: bool,
    caches: bool,
    jobs: int,
    scheduler: str,
) -> None:
    """Entropy, temperature and free energy of the runs of an EXPERIMENT.

    Writes a report with figures and tables, and the numbers back to the runs. Exit status 1 where runs could not be
    read; the report on the others is there all the same.
    """
    from analysis.report import STUDY, ReportCache, require_folder, study_key, summary, text_table
    from analysis.results import NO_SNAPSHOTS, UNREADABLE
    from analysis.tracking import cache_folder

    require_folder(out, STUDY)
    how = _How(entropy, method, jobs or os.cpu_count() or 1, scheduler)
    inside = os.environ.get("MLFLOW_RUN_ID") if not where.experiment and not folder else None
    runs = _runs(where, folder, scheduler)
    settings = {"entropy": entropy, "method": method, "title": runs.title}
    key = study_key([run.identity for run in runs], settings) if caches else None
    cache = ReportCache(cache_folder(None) / "reports")
    result = cache.get(key, Path(out))
    # What was measured for minutes may have been published by another analysis since: the server is asked again.
    known = None if result is None else runs.origin.known
    if result is None:
        with steady_progress() as tell:
            result = _analysed(runs, how, tell)
            tell(_ANALYSED, "drawing the report")
            result.write(out)
            cache.put(key, result, Path(out))
    else:
        result = replace(result, origin=runs.origin)
        click.echo("nothing has changed: this is the report made before (--no-cache makes a new one)", err=True)
    click.echo(text_table(result))
    click.echo(summary(result))
    # Before the server is asked for anything: whatever it answers, the report is there.
    click.echo(f"report {Path(out).resolve() / 'report.html'}")
    if publishes and not folder:
        # Imported here: the runs of a folder need no MLflow.
        from analysis.tracking import publish_result

        run_id = publish_result(result, out, run_id=inside, known=known, digest=key)
        click.echo(f"analysis run {run_id}")
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    absent = sum(run.status == NO_SNAPSHOTS for run in result.runs)
    if absent:
        click.echo(f"note: {absent} of {len(result.runs)} runs hold no snapshots and are left out", err=True)
    if runs.others:
        click.echo(f"note: {in_words_of_others(len(runs.others))}", err=True)
    broken = [run for run in result.runs if run.status in UNREADABLE]
    if broken:
        raise ThermoError(f"{len(broken)} of {len(result.runs)} runs could not be read: {broken[0].note}")


def in_words_of_others(count: int) -> str:
    """That an experiment also holds runs of other tools, in one line however many they are."""
    return "1 run of another tool is left out" if count == 1 else f"{count} runs of other tools are left out"


def _runs(where: Selection, folder: str, scheduler: str) -> StudyRuns:
    import analysis
    from analysis.study import uri_for_all
    from analysis.tracking import default_uri

    if folder:
        if any((where.experiment, where.tracking_uri, where.filter, where.sweep)):
            raise ThermoError("--folder is read in the place of a server: leave out what chooses runs of one")
        return analysis.from_folder(Path(folder).absolute() if scheduler else folder)
    if scheduler:
        where = replace(where, tracking_uri=uri_for_all(where.tracking_uri or default_uri()))
    return where.runs()


def _analysed(runs: StudyRuns, how: _How, tell: Callable[[float, str], None]) -> StudyResult:
    import analysis
    from analysis.study import open_cluster

    config = analysis.StudyConfig(entropy=how.entropy, method=how.method, jobs=how.jobs)
    with ExitStack() as held:
        executor = None
        if how.scheduler:
            cluster = held.enter_context(open_cluster(how.scheduler))
            cluster.wait_for_workers()
            cluster.require()
            executor = cluster.executor
        return analysis.analyze(runs, config, executor, lambda share, doing: tell(share * _ANALYSED, doing))
