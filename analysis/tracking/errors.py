"""What can go wrong between the analysis and the place that keeps its runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from mlflow_thermo.disk import disk_trouble
from mlflow_thermo.errors import ThermoError, first_line, without_password

#: What has to be installed for a module that a store wants, where the two have different names.
_PACKAGES = {
    "MySQLdb": "mysqlclient",
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "google": "google-cloud-storage",
    "azure": "azure-storage-blob azure-identity",
}
#: Programs of our own: a module of theirs that is missing is a mistake of ours.
_OURS = {"analysis", "mlflow_thermo", "projects"}
#: What SQLAlchemy and alembic say where the tables were being made, or were left so by a program that was killed.
_HALF_MADE = re.compile(
    r"_alembic_tmp_|Online migration expected|Circular dependency detected|Error\) (table \S+ already|duplicate column)"
)
_REMEDY = "start it, or correct MLFLOW_TRACKING_URI"


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
    except ModuleNotFoundError as error:
        # Databases and object stores have drivers of their own, which MLflow imports when they are first used.
        module = (error.name or "").split(".")[0]
        if not module or module in _OURS:
            raise
        package = _PACKAGES.get(module, module)
        raise ServerError(f"the Python module {module!r} is missing for this store: pip install {package}") from None
    except Exception as error:
        # Imported here: reading a folder, or --help, must not wait for MLflow.
        from alembic.util import CommandError
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if not isinstance(error, MlflowException | SQLAlchemyError | CommandError):
            raise
        # Without its cause, whose text a notebook would show with the password of the tracking URI.
        raise ServerError(_words_of(error)) from None


def _words_of(error: Exception) -> str:
    trouble = disk_trouble(error)
    if trouble:
        return f"MLflow: the tracking store cannot be written: {trouble}"
    if _HALF_MADE.search(str(error)):
        return (
            f"the tables of the tracking store are half made ({first_line(error)}), as when two commands open a new "
            "database at once: start again; if that fails, move the new database away, make it with `mlflow db upgrade "
            "URI` and then start"
        )
    return _of_the_network(error) or _of_access(error) or f"MLflow: {first_line(error)}"


def _of_the_network(error: BaseException) -> str:
    """That a server does not answer; empty where that is not what is wrong."""
    from requests import RequestException

    found: BaseException | None = error
    while found is not None and not isinstance(found, RequestException):
        found = found.__cause__ or found.__context__
    if found is None:
        return ""
    return no_answer(_url_in(str(error)), found)


def _url_in(text: str) -> str:
    found = re.search(r"https?://\S+", text)
    return found.group() if found else ""


def no_answer(url: str, error: BaseException) -> str:
    """That a server does not answer, and why, in place of the words of requests and urllib3."""
    from requests import exceptions

    parts = urlsplit(without_password(url))
    server = f"the tracking server {parts.scheme}://{parts.netloc}" if parts.netloc else "the tracking server"
    text = str(error)
    if isinstance(error, exceptions.SSLError):
        why = re.search(r"certificate verify failed: ([^(\[\"']+)", text)
        reason = f": {why.group(1).strip()}" if why else ""
        return f"{server} cannot be trusted, or speaks no TLS{reason}: correct MLFLOW_TRACKING_URI, or name its "\
            "certificate in MLFLOW_TRACKING_SERVER_CERT_PATH"  # fmt: skip
    if isinstance(error, exceptions.ProxyError):
        return f"{server} cannot be reached through the proxy: correct HTTPS_PROXY, or name the server in NO_PROXY"
    if isinstance(error, exceptions.RetryError):
        status = re.search(r"too many (\d+) error", text)
        return f"{server} is in trouble{f' (HTTP {status.group(1)})' if status else ''}: try later, or read its log"
    if isinstance(error, exceptions.InvalidURL | exceptions.InvalidSchema | exceptions.MissingSchema):
        return f"the tracking URI {without_password(url) or 'that is set'} names no server: write http://HOST:PORT"
    return f"{server} does not answer ({_cause(error, text)}): {_REMEDY}"


def _cause(error: BaseException, text: str) -> str:
    """In words of the user's, not of the network's."""
    from requests import exceptions

    if "Connection refused" in text:
        return "connection refused: nothing listens there"
    if "NameResolution" in text or "Name or service not known" in text or "getaddrinfo" in text:
        return "its name is not known"
    if isinstance(error, exceptions.Timeout) or "timed out" in text:
        return "no answer in time"
    if "unreachable" in text or "No route" in text:
        return "the network does not reach it"
    return "the connection broke off"


def _of_access(error: Exception) -> str:
    """That a server wants to know who asks, or forbids it; empty where that is not what is wrong."""
    text = str(error)
    code = getattr(error, "error_code", "")
    status = re.search(r"failed with error code (\d+)", text)
    number = status.group(1) if status else ""
    if number == "401" or code in ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"):
        return (
            "the tracking server needs a login, and that of now is missing or wrong: set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if number == "403" or code == "PERMISSION_DENIED":
        return "the tracking server does not allow that to this user: ask its administrator for the permission"
    if number == "404" or "not in a valid JSON format" in text:
        return "what answers is no MLflow server: correct MLFLOW_TRACKING_URI"
    if "unsupported URI" in text:
        uri = re.search(r"unsupported URI '([^']*)'", text)
        named = f" {without_password(uri.group(1))!r}" if uri else ""
        return f"MLflow knows no tracking URI of this kind{named}: write http://HOST:PORT or sqlite:////PATH/mlflow.db"
    if "MLFLOW_ALLOW_FILE_STORE" in text:
        return (
            "the tracking URI is that of a folder, which MLflow does not write to any more: give sqlite:////PATH/"
            "mlflow.db or http://HOST:PORT, or move its runs with `mlflow migrate-filestore`"
        )
    return ""
