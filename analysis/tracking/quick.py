"""Names of experiments within a moment and without MLflow, whose import alone takes longer: for a shell that waits."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

#: Of MLflow, where no tracking URI is set.
_DEFAULT = "sqlite:///mlflow.db"
#: Most names that a shell is offered.
_MOST = 1000


def quick_experiment_names(tracking_uri: str, limit: float) -> list[str]:
    """Names of the experiments of a store, without a word where they are not to be had in `limit` seconds.

    Parameters
    ----------
    tracking_uri : by default MLFLOW_TRACKING_URI, or ``mlflow.db`` in the current folder; sqlite and HTTP alone.
    limit : seconds.
    """
    found: list[str] = []
    # A name that nobody knows is looked up for longer than any timeout of a request says.
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or _DEFAULT
    asking = Thread(target=_ask, args=(uri, limit, found), daemon=True)
    asking.start()
    asking.join(limit)
    return sorted(found)


def _ask(uri: str, limit: float, found: list[str]) -> None:
    # A shell shows what is typed; an error in the middle of it would be worse than no offer.
    with suppress(OSError, ValueError, KeyError, TypeError, sqlite3.Error):
        found += _from_server(uri, limit) if uri.startswith("http") else _from_file(uri, limit)


def _from_file(uri: str, limit: float) -> list[str]:
    if not uri.startswith("sqlite:///"):
        return []
    path = Path(unquote(uri.removeprefix("sqlite:///").split("?")[0])).absolute()
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=limit)) as store:
        rows = store.execute(
            "SELECT name FROM experiments WHERE lifecycle_stage = 'active' ORDER BY last_update_time DESC LIMIT ?",
            (_MOST,),
        )
        return [str(name) for (name,) in rows]


def _from_server(uri: str, limit: float) -> list[str]:
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    user = unquote(parts.username or "") or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = unquote(parts.password or "") or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    headers = {"Content-Type": "application/json"}
    if user:
        headers["Authorization"] = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    elif token:
        headers["Authorization"] = f"Bearer {token}"
    url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}/api/2.0/mlflow/experiments/search"
    request = Request(url, json.dumps({"max_results": _MOST}).encode(), headers)
    with urlopen(request, timeout=limit) as answer:
        return [str(one["name"]) for one in json.load(answer).get("experiments", [])]
