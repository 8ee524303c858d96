"""The options that several commands share: which runs, on which server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn

import click

from analysis.cli.completion import experiment_names
from mlflow_thermo.errors import ThermoError

if TYPE_CHECKING:
    from analysis.tracking import StudyRuns

URI = click.option(
    "--tracking-uri",
    default="",
    metavar="URI",
    help="Tracking server, as http://HOST:PORT, or sqlite:////PATH/mlflow.db.  [default: MLFLOW_TRACKING_URI, or "
    "mlflow.db in this folder]",
)


class Whole(click.IntRange):
    """A whole number in a range; any other value is bad input: one line, exit status 1."""

    name = "integer"

    def fail(self, message: str, param: click.Parameter | None = None, ctx: click.Context | None = None) -> NoReturn:
        """Raise ThermoError, with the name of the option."""
        raise ThermoError(f"{'' if param is None else f'{param.name}: '}{message.rstrip('.')}")


@dataclass(frozen=True)
class Selection:
    """Runs of an experiment, as the command line names them; empty texts choose the default."""

    experiment: str
    tracking_uri: str
    filter: str
    sweep: str

    def runs(self) -> StudyRuns:
        """The training runs that are meant."""
        import analysis

        return analysis.from_tracking(
            self.experiment or None, self.tracking_uri or None, self.filter, self.sweep or None
        )


def selects_runs(metavar: str = "[EXPERIMENT]") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that gives a command the options which choose runs, and hands them on as a `Selection`."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def command(
            named: str, experiment: str, tracking_uri: str, filter_string: str, sweep: str, **others: Any
        ) -> None:
            if named and experiment and named != experiment:
                raise ThermoError(f"two experiments are named, {named!r} and {experiment!r}: leave one of them out")
            function(Selection(named or experiment, tracking_uri, filter_string, sweep), **others)

        for option in (
            click.option("--sweep", default="", metavar="ID", help="Runs of this sweep.  [default: the newest sweep]"),
            click.option(
                "--filter",
                "filter_string",
                default="",
                metavar="QUERY",
                help='Runs that match, in MLflow\'s search syntax, as "metrics.`thermo/lr` > 0.01"; in the place of a '
                "sweep.  [default: all of the sweep]",
            ),
            URI,
            click.option(
                "--experiment",
                default="",
                metavar="NAME",
                shell_complete=experiment_names,
                help="The experiment, in the place of the argument.  [default: that of `mlflow run`, "
                "MLFLOW_EXPERIMENT_ID or MLFLOW_EXPERIMENT_NAME, or Default]",
            ),
            click.argument("named", default="", metavar=metavar, shell_complete=experiment_names),
        ):
            command = option(command)
        return command

    return decorate
