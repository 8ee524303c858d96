"""What can go wrong between the analysis and the place that keeps its runs."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from mlflow_thermo.disk import disk_trouble
from mlflow_thermo.errors import ThermoError, first_line

#: Bytes that a new sqlite store needs: MLflow's empty tables take one million.
_NEW_STORE = 2 * 2**20


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
        trouble = disk_trouble(error)
        words = f"the tracking store cannot be written: {trouble}" if trouble else first_line(error)
        # Without its cause, whose text a notebook would show with the password of the tracking URI.
        raise ServerError(f"MLflow: {words}") from None


def require_store(tracking_uri: str, *, writes: bool) -> None:
    """Raise ServerError where the disk of an sqlite store is full, read-only or gone.

    MLflow asks a database that cannot be opened ten times, which takes a minute, and then says nothing of the file.

    Parameters
    ----------
    tracking_uri : of any store; only the file of an sqlite database is looked at.
    writes : whether it has to take anything. A store that is not there yet is made, which is writing.
    """
    if not tracking_uri.startswith("sqlite:"):
        return
    from sqlalchemy import make_url

    database = make_url(tracking_uri).database
    if not database or database == ":memory:":
        return
    path = Path(database).absolute()
    try:
        if not path.exists():
            _require_room(path.parent)
        elif writes:
            _require_writable(path)
    except (OSError, sqlite3.Error) as error:
        trouble = disk_trouble(error)
        raise ServerError(f"the tracking store {path} cannot be written: {trouble or first_line(error)}") from error


def _require_room(folder: Path) -> None:
    """OSError unless a new store can be made in a folder, which may still have to be made itself."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    with tempfile.TemporaryFile(dir=there):
        # As in a folder it can be made.
        pass
    if shutil.disk_usage(there).free < _NEW_STORE:
        raise OSError("database or disk is full")


def _require_writable(path: Path) -> None:
    """sqlite3.Error unless the database takes a table, which is taken back; a database in use is one."""
    uri = f"file:{quote(str(path))}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
            database.execute("CREATE TABLE thermo_is_writable (x)")
            database.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
