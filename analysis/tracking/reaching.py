"""Whether the place that keeps runs is there, asked before MLflow does: that takes minutes, or leaves a new one."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from analysis.tracking.errors import ServerError, no_answer
from mlflow_thermo.disk import disk_trouble
from mlflow_thermo.errors import first_line, without_password

#: Bytes that a new sqlite store needs: MLflow's empty tables take one million.
_NEW_STORE = 2 * 2**20
#: Where databases listen unless the URI says otherwise.
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
#: Seconds for a connection, and for the answer to a first question.
_TO_CONNECT, _TO_ANSWER = 5.0, 20.0
#: Seconds that a training waits for a server that is just being started again.
_PATIENCE = 10.0


def require_store(tracking_uri: str, *, writes: bool) -> None:
    """Raise ServerError where a tracking server does not answer, or the disk of an sqlite store is full or gone.

    MLflow asks a server that is not there for four minutes and a database that cannot be opened for one, with no word,
    and makes a new database where there is none.

    Parameters
    ----------
    tracking_uri : of any store; the kinds that are not known here are left to MLflow.
    writes : whether it has to take anything. A store that is not there yet is made, which is writing.
    """
    if tracking_uri.startswith(("http://", "https://")):
        _require_server(tracking_uri, _PATIENCE if writes else 0.0)
    elif tracking_uri.startswith(tuple(_PORTS)):
        _require_database(tracking_uri)
    if not tracking_uri.startswith("sqlite:"):
        return
    from sqlalchemy import make_url

    database = make_url(tracking_uri).database
    if not database or database == ":memory:":
        return
    _require_own_store(tracking_uri, Path(database))
    path = Path(database).absolute()
    try:
        if not path.exists():
            _require_room(path.parent)
            if not writes:
                raise ServerError(_no_store(tracking_uri, path))
        elif writes:
            _require_writable(path)
    except (OSError, sqlite3.Error) as error:
        trouble = disk_trouble(error)
        raise ServerError(f"the tracking store {path} cannot be written: {trouble or first_line(error)}") from error


def _no_store(tracking_uri: str, path: Path) -> str:
    chosen = "MLFLOW_TRACKING_URI or --tracking-uri"
    if os.environ.get("MLFLOW_TRACKING_URI") or path.name != "mlflow.db":
        return f"there is no tracking store {path} ({tracking_uri}): correct {chosen}"
    return f"there are no runs here, {path} does not exist: go to the folder that has it, or set {chosen}"


def _require_server(tracking_uri: str, patience: float) -> None:
    """ServerError unless anything answers at the address; what it answers is for MLflow to read."""
    import requests

    deadline = time.monotonic() + patience
    while True:
        try:
            with requests.get(
                f"{tracking_uri.rstrip('/')}/health",
                timeout=(_TO_CONNECT, _TO_ANSWER),
                allow_redirects=False,
                stream=True,
            ):
                return
        except (requests.exceptions.SSLError, requests.exceptions.ReadTimeout):
            # MLflow may have been told to trust it, and a slow server may be slow for this alone.
            return
        except (requests.RequestException, ValueError) as error:
            # What is being started again refuses for a while; a name that nobody knows stays unknown.
            if time.monotonic() >= deadline or "refused" not in str(error):
                raise ServerError(no_answer(tracking_uri, error)) from None
        time.sleep(1.0)


def _require_database(tracking_uri: str) -> None:
    """ServerError unless a database server takes a connection; MLflow tries for minutes, a warning each time."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(tracking_uri)
    except (ArgumentError, ValueError):
        # MLflow says what is wrong with it.
        return
    if not url.host or "," in url.host or url.host.startswith("/"):
        return
    port = url.port or _PORTS[next(kind for kind in _PORTS if tracking_uri.startswith(kind))]
    try:
        socket.create_connection((url.host, port), _TO_CONNECT).close()
    except OSError as error:
        raise ServerError(
            f"the database server {url.host}:{port} does not answer ({error.strerror or first_line(error)}): start it, "
            "or correct MLFLOW_TRACKING_URI"
        ) from None


def _require_own_store(tracking_uri: str, database: Path) -> None:
    """ServerError where ``mlflow run`` has its run in another store, since a relative path means another one here."""
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if not run_id or database.is_absolute() or tracking_uri != os.environ.get("MLFLOW_TRACKING_URI"):
        return
    try:
        with closing(_opened(database.absolute(), "ro")) as store:
            if store.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (run_id,)).fetchone():
                return
    except sqlite3.Error as error:
        if "locked" in str(error):
            # Somebody writes to it, which tells nothing.
            return
    raise ServerError(
        f"the tracking URI {without_password(tracking_uri)} is relative and `mlflow run` has changed the folder, so "
        f"that it means another file here: make it absolute, export MLFLOW_TRACKING_URI=sqlite:///$PWD/{database}"
    )


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    """An existing database; sqlite3.Error where there is none."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, timeout=0, isolation_level=None)


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
    with closing(_opened(path, "rw")) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
            database.execute("CREATE TABLE thermo_is_writable (x)")
            database.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
