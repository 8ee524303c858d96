"""How every program here begins and ends: what it says of an error, how long it waits, and its exit status."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

import click

from analysis.tracking import server_errors
from mlflow_thermo.disk import disk_trouble
from mlflow_thermo.errors import ThermoError, without_password
from mlflow_thermo.said import say_once

#: Shows the traceback of every error, as --debug does; an entry point of `mlflow run` takes no flags.
DEBUG = "MLFLOW_THERMO_DEBUG"
#: Variables whose values are secrets, by their names; shorter ones would blacken ordinary words.
_SECRET, _SHORTEST = re.compile(r"(PASSWORD|PASSWD|TOKEN|SECRET|SECRET_ACCESS_KEY|SECRET_KEY|API_KEY)$"), 5


def _note_debug(context: click.Context, option: click.Parameter, given: bool) -> None:
    if given:
        os.environ[DEBUG] = "1"


_DEBUG_OPTION: dict[str, Any] = {
    "is_flag": True, "expose_value": False, "callback": _note_debug, "envvar": DEBUG, "show_envvar": True,
    "help": "Show where in the program an error comes from.",
}  # fmt: skip


def entry(command: click.Command) -> None:
    """Run a command; an error that names its remedy becomes one line on stderr and exit status 1.

    Any other error shows its traceback, without the passwords that its text may quote.
    """
    # MLflow prints links to its runs, with the tracking URI as it is, password and all.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Progress bars of MLflow's client would bury the few lines that matter.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # MLflow's own 7 take four minutes when a server goes away.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    say_once()
    with_debug(command)
    try:
        with server_errors():
            command()
    except ThermoError as error:
        _fail(str(error), error)
    except Exception as error:
        if isinstance(error, OSError) and (trouble := disk_trouble(error)):
            _fail(f"{error.filename or 'a file'} cannot be written: {trouble}", error)
        if isinstance(error, OSError) and error.filename and error.strerror:
            # A path of the user's, on which something else lies than what is needed.
            _fail(f"{error.filename} cannot be used ({error.strerror[0].lower()}{error.strerror[1:]}): check it", error)
        click.echo(_traceback(error), err=True, nl=False)
        sys.exit(1)


def with_debug(command: click.Command) -> None:
    """Give a command, and every command below it, the option --debug."""
    if not any(option.name == "debug" for option in command.params):
        command.params.append(click.Option(["--debug"], **_DEBUG_OPTION))
    if isinstance(command, click.Group):
        for one in command.commands.values():
            with_debug(one)


def _fail(message: str, error: BaseException) -> NoReturn:
    if os.environ.get(DEBUG, "").lower() in ("1", "true", "yes", "on"):
        click.echo(_traceback(error), err=True, nl=False)
    click.echo(f"error: {without_secrets(message)}", err=True)
    sys.exit(1)


def _traceback(error: BaseException) -> str:
    """Of an error and of all that led to it, also where that is kept from a user who did not ask."""
    found: BaseException | None = error
    while found is not None:
        found.__suppress_context__ = False
        found = found.__cause__ or found.__context__
    return without_secrets("".join(traceback.format_exception(error)))


def without_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text without passwords in URIs, and without the values of variables that hold secrets."""
    for name, value in environment.items():
        if _SECRET.search(name) and len(value) >= _SHORTEST:
            text = text.replace(value, "***")
    return without_password(text)
