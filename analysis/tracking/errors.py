"""What can go wrong between the analysis and the place that keeps its runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow_thermo.errors import ThermoError, first_line


class SourceError(ThermoError):
    """The experiment, its runs or a run's snapshots cannot be read."""


class ServerError(ThermoError):
    """The tracking server cannot be reached, or refuses what it is asked."""


@contextmanager
def server_errors() -> Iterator[None]:
    """Raise a `ServerError` of one line for an error of MLflow or of the database behind it.

    Also a decorator.
    """
    try:
        yield
    except ThermoError:
        raise
    except Exception as error:
        # Imported here: reading a folder, or --help, must not wait for MLflow.
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if not isinstance(error, MlflowException | SQLAlchemyError):
            raise
        # Without its cause, whose text a notebook would show with the password of the tracking URI.
        raise ServerError(f"MLflow: {first_line(error)}") from None
