"""The command that measures how accurate the estimators are."""

from __future__ import annotations

import os

import click

from analysis.cli.completion import experiment_names
from analysis.cli.selection import URI, Whole
from mlflow_thermo.errors import ThermoError


def _whole_numbers(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """Numbers of weights, separated by commas; with a single weight a sphere would have two points."""
    one = Whole(min=2)
    return [one(part.strip(), parameter, context) for part in value.split(",")]


@click.command()
@click.option("--quick", is_flag=True, help="D up to 100, 300 snapshots, no slow estimators: under a minute.")
@click.option(
    "--dims",
    default="2,10,100,1000",
    show_default=True,
    callback=_whole_numbers,
    metavar="D,D,…",
    help="Numbers of weights, comma-separated.",
)
@click.option(
    "--n", default=1000, show_default=True, type=Whole(min=20), help="Independent snapshots at each temperature."
)
@click.option(
    "--studies", default=1, show_default=True, type=Whole(min=1), help="Repetitions, whose medians make a row."
)
@click.option(
    "--estimators",
    default="",
    metavar="NAME;NAME;…",
    help="Rows to compute, separated by semicolons.  [default: all that suit d]",
)
@click.option("--seed", default=0, show_default=True, type=Whole(min=0), help="Seed of the samples.")
@click.option(
    "--out", default="thermo-calibration", show_default=True, metavar="DIR", help="Folder for accuracy.csv and .md."
)
@click.option(
    "--experiment",
    default="",
    metavar="NAME",
    shell_complete=experiment_names,
    help="Log the table to this experiment.  [default: to no run, inside `mlflow run` to its own]",
)
@URI
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
    inside = None if experiment else os.environ.get("MLFLOW_RUN_ID")
    if experiment or inside:
        from analysis.tracking import default_uri, require_store

        # Before minutes of work whose table would have nowhere to go.
        require_store(tracking_uri or default_uri(), writes=True)
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
    if experiment or inside:
        from analysis.tracking import publish_accuracy

        run_id = publish_accuracy(rows, out, experiment=experiment, run_id=inside, tracking_uri=tracking_uri or None)
        click.echo(f"calibration run {run_id}")
