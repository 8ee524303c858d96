"""The console command ``mlflow-thermo``: a thin layer that imports little, so that ``--help`` is fast."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import click

from analysis.cli.care import advise, doctor, export
from analysis.tracking import server_errors
from mlflow_thermo.disk import disk_trouble
from mlflow_thermo.errors import ThermoError, without_password
from mlflow_thermo.said import say_once


class Whole(click.IntRange):
    """A whole number in a range; any other value is bad input: one line, exit status 1."""

    name = "integer"

    def fail(self, message: str, param: click.Parameter | None = None, ctx: click.Context | None = None) -> NoReturn:
        """Raise ThermoError, with the name of the option."""
        raise ThermoError(f"{'' if param is None else f'{param.name}: '}{message.rstrip('.')}")


def _whole_numbers(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """Numbers of weights, separated by commas; with a single weight a sphere would have two points."""
    one = Whole(min=2)
    return [one(part.strip(), parameter, context) for part in value.split(",")]


@click.group()
def cli() -> None:
    """Measure the temperature of SGD from recorded weights."""


@cli.command()
@click.option("--experiment", default="", help="Name; default that of `mlflow run`, or MLFLOW_EXPERIMENT_NAME.")
@click.option("--folder", default="", help="Read recorded runs from this folder instead of a tracking server.")
@click.option("--tracking-uri", default="", help="Tracking server; default MLFLOW_TRACKING_URI.")
@click.option("--filter", "filter_string", default="", help="MLflow search filter; default the newest sweep.")
@click.option("--sweep", default="", help="Id of the sweep; default the newest.")
@click.option("--entropy", default="auto", show_default=True, help="auto, or an estimator's short name.")
@click.option(
    "--method", default="local-quadratic", show_default=True, help="local-quadratic, interval, convex or power-law."
)
@click.option("--out", default="thermo-report", show_default=True, help="Folder for the report.")
@click.option("--publish/--no-publish", "publishes", default=True, help="Write the results back to MLflow.")
@click.option("--cache/--no-cache", "caches", default=True, help="Reuse the report of the same runs, if there is one.")
@click.option(
    "--jobs", default=0, type=Whole(min=0), help="Runs that are measured at the same time; default one for each core."
)
@click.option("--scheduler", default="", help="Address of a Dask scheduler, tcp://…, whose workers read and measure.")
def analyze(
    experiment: str,
    folder: str,
    tracking_uri: str,
    filter_string: str,
    sweep: str,
    entropy: str,
    method: str,
    out: str,
    publishes: bool,
    caches: bool,
    jobs: int,
    scheduler: str,
) -> None:
    """Entropy, temperature and free energy of the runs of an experiment."""
    import analysis
    from analysis.report import STUDY, ReportCache, require_folder, study_key, summary, text_table
    from analysis.results import CORRUPT, NO_SNAPSHOTS
    from analysis.study import open_cluster, uri_for_all
    from analysis.tracking import cache_folder, default_uri

    require_folder(out, STUDY)
    inside = os.environ.get("MLFLOW_RUN_ID") if not experiment and not folder else None
    if folder:
        runs = analysis.from_folder(Path(folder).absolute() if scheduler else folder)
    else:
        if scheduler:
            tracking_uri = uri_for_all(tracking_uri or default_uri())
        runs = analysis.from_tracking(
            experiment or None,
            tracking_uri or None,
            filter_string,
            sweep or None,
            experiment_id=os.environ.get("MLFLOW_EXPERIMENT_ID") if inside else None,
        )
    settings = {"entropy": entropy, "method": method, "title": runs.title}
    key = study_key([run.identity for run in runs], settings) if caches else None
    cache = ReportCache(cache_folder(None) / "reports")
    result = cache.get(key, Path(out))
    # What was measured for minutes may have been published by another analysis since: the server is asked again.
    known = None if result is None else runs.origin.known
    if result is None:
        config = analysis.StudyConfig(entropy=entropy, method=method, jobs=jobs or os.cpu_count() or 1)
        with ExitStack() as held:
            executor = None
            if scheduler:
                cluster = held.enter_context(open_cluster(scheduler))
                cluster.wait_for_workers()
                cluster.require()
                executor = cluster.executor
            result = analysis.analyze(runs, config, executor)
        cache.put(key, result.write(out), Path(out))
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
    broken = [run for run in result.runs if run.status == CORRUPT]
    if broken:
        raise ThermoError(f"{len(broken)} of {len(result.runs)} runs could not be read: {broken[0].note}")


@cli.command()
@click.option("--quick", is_flag=True, help="D up to 100, 300 snapshots, no slow estimators: under a minute.")
@click.option(
    "--dims",
    default="2,10,100,1000",
    show_default=True,
    callback=_whole_numbers,
    help="Numbers of weights, comma-separated.",
)
@click.option(
    "--n", default=1000, show_default=True, type=Whole(min=20), help="Independent snapshots at each temperature."
)
@click.option(
    "--studies", default=1, show_default=True, type=Whole(min=1), help="Repetitions, whose medians make a row."
)
@click.option("--estimators", default="", help="Rows to compute, separated by semicolons; default all that suit d.")
@click.option("--seed", default=0, show_default=True, type=Whole(min=0), help="Seed of the samples.")
@click.option("--out", default="thermo-calibration", show_default=True, help="Folder for accuracy.csv and .md.")
@click.option("--experiment", default="", help="Log the table to this experiment; inside `mlflow run` to its own run.")
@click.option("--tracking-uri", default="", help="Tracking server; default MLFLOW_TRACKING_URI.")
def calibrate(
    quick: bool,
    dims: list[int],
    n: int,
    studies: int,
    estimators: str,
    seed: int,
    out: str,
    experiment: str,
    tracking_uri: str,
) -> None:
    """Accuracy of every estimator on systems whose temperature is known."""
    import numpy as np

    from analysis.report import ACCURACY, require_folder, write_accuracy
    from analysis.results import InsufficientData
    from analysis.testsystems import COLUMNS, ESTIMATORS, calibrate as measured_rows, table_row

    chosen = [name.strip() for name in estimators.split(";") if name.strip()]
    if quick:
        dims, n = [2, 10, 100], 300
        chosen = chosen or [name for name in ESTIMATORS if name not in ("mixture", "kde")]
    unknown = [name for name in chosen if name not in ESTIMATORS]
    if unknown:
        raise ThermoError(f"unknown estimator {unknown[0]!r}: choose from {', '.join(ESTIMATORS)}")
    require_folder(out, ACCURACY)
    rows = []
    click.echo(" | ".join(COLUMNS))
    try:
        for row in measured_rows(dims, n, np.random.default_rng(seed), studies=studies, estimators=chosen):
            rows.append(row)
            click.echo(" | ".join(table_row(row)))
    except InsufficientData as error:
        raise ThermoError(str(error)) from error
    for path in write_accuracy(rows, out):
        click.echo(f"wrote {path}")
    inside = None if experiment else os.environ.get("MLFLOW_RUN_ID")
    if experiment or inside:
        from analysis.tracking import publish_accuracy

        run_id = publish_accuracy(rows, out, experiment=experiment, run_id=inside, tracking_uri=tracking_uri or None)
        click.echo(f"calibration run {run_id}")


@cli.command()
@click.argument("folder", type=click.Path())
@click.option("--tracking-uri", default="", help="Tracking server; default MLFLOW_TRACKING_URI.")
def deliver(folder: str, tracking_uri: str) -> None:
    """Send what a recording has left in FOLDER because its server was away, or because it was killed."""
    from mlflow_thermo.delivery import deliver as delivered

    for one in delivered(folder, tracking_uri or None):
        click.echo(f"run {one.run_id}: {one.entries} entries delivered from {one.folder}, which can be removed now")


@cli.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []})
@click.pass_context
def paper(context: click.Context) -> None:
    """Train and judge every claim of arXiv 2505.23489: --scale laptop or full."""
    import subprocess

    root = _checkout()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))}
    code = subprocess.call([sys.executable, "-m", "projects.paper.run", *context.args], env=environment)
    if code:
        # It has printed the reason.
        sys.exit(code if code > 0 else 1)


def _checkout() -> Path:
    """The folder that holds the training projects: this one, or that of an editable installation."""
    for folder in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if (folder / "projects" / "paper" / "run.py").is_file():
            return folder
    raise ThermoError(
        "the training projects are not installed with the package: run this in a checkout of mlflow-thermo, with "
        "pip install -e '.[train]'"
    )


def main() -> None:
    """The console command."""
    entry(cli)


def entry(command: click.Command) -> None:
    """Run a command; an error that names its remedy becomes one line on stderr and exit status 1.

    Any other error shows its traceback, without the passwords that its text may quote.
    """
    # MLflow prints links to its runs, with the tracking URI as it is, password and all.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Progress bars of MLflow's client would bury the few lines that matter.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    say_once()
    try:
        with server_errors():
            command()
    except ThermoError as error:
        _fail(str(error))
    except Exception as error:
        if isinstance(error, OSError) and (trouble := disk_trouble(error)):
            _fail(f"{error.filename or 'a file'} cannot be written: {trouble}")
        click.echo(without_password(traceback.format_exc()), err=True, nl=False)
        sys.exit(1)


def _fail(message: str) -> NoReturn:
    click.echo(f"error: {without_password(message)}", err=True)
    sys.exit(1)


for _command in (doctor, advise, export):
    cli.add_command(_command)
