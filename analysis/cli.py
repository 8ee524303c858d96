"""The console command ``mlflow-thermo``: thin, and quick to say --help."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from mlflow_thermo.schema import ThermoError


@click.group()
def cli() -> None:
    """Measure the temperature of SGD from recorded weights."""


@cli.command()
@click.option("--experiment", default="", help="Experiment name; inside `mlflow run` its own experiment.")
@click.option("--folder", default="", help="Read recorded runs from this folder instead of a tracking server.")
@click.option("--tracking-uri", default="", help="Tracking server; default MLFLOW_TRACKING_URI.")
@click.option("--filter", "filter_string", default="", help="MLflow search filter; default the newest sweep.")
@click.option("--sweep", default="", help="Id of the sweep; default the newest.")
@click.option("--entropy", default="auto", show_default=True, help="auto, or an estimator's short name.")
@click.option("--method", default="local-quadratic", show_default=True, help="local-quadratic or interval.")
@click.option("--out", default="thermo-report", show_default=True, help="Folder for the report.")
@click.option("--publish/--no-publish", "publishes", default=True, help="Write the results back to MLflow.")
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
) -> None:
    """Entropy, temperature and free energy of the runs of an experiment."""
    from analysis import report, source
    from analysis.results import CORRUPT, NO_SNAPSHOTS
    from analysis.workflow import StudyConfig
    from analysis.workflow import analyze as run_analysis

    inside = os.environ.get("MLFLOW_RUN_ID") if not experiment and not folder else None
    selection = None
    if folder:
        records, title = source.from_folder(folder), f"Runs in {Path(folder).name}"
    else:
        selection = source.from_tracking(
            experiment or (None if inside else "Default"),
            experiment_id=os.environ.get("MLFLOW_EXPERIMENT_ID") if inside else None,
            filter_string=filter_string,
            sweep=sweep or None,
            tracking_uri=tracking_uri or None,
        )
        records, title = selection.records, f"{selection.experiment}: {selection.scope}"
    if method not in ("local-quadratic", "interval"):
        raise ThermoError(f"method {method!r} is unknown: choose local-quadratic or interval")
    result = run_analysis(records, StudyConfig(entropy=entropy, method=method))
    report.write_report(result, out, title)
    click.echo(report.text_table(result))
    click.echo(report.summary(result))
    if selection is not None and publishes:
        from analysis.publish import publish

        run_id = publish(
            result,
            out,
            experiment_id=selection.experiment_id,
            scope=selection.scope,
            run_id=inside,
            tracking_uri=tracking_uri or None,
        )
        click.echo(f"analysis run {run_id}")
    click.echo(f"report {Path(out).resolve() / 'report.html'}")
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    broken = [run for run in result.runs if run.status in (CORRUPT, NO_SNAPSHOTS)]
    if broken:
        raise ThermoError(f"{len(broken)} of {len(result.runs)} runs could not be read: {broken[0].note}")


def main() -> None:
    """Run the command; a mendable error becomes one line on stderr and exit status 1."""
    try:
        cli()
    except Exception as error:
        # Imported here: --help must not wait for MLflow.
        from mlflow.exceptions import MlflowException

        if isinstance(error, ThermoError):
            message = str(error)
        elif isinstance(error, MlflowException):
            message = f"MLflow: {str(error).splitlines()[0]}"
        else:
            raise
        click.echo(f"error: {message}", err=True)
        sys.exit(1)
