"""The files of the page, and as GET the two searches for runs that MLflow offers by POST alone."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from io import BytesIO
from typing import Any

from flask import Blueprint, Response, current_app, request
from werkzeug.wrappers import Response as AnyResponse

from mlflow_thermo import schema

#: Where the page is, below the static prefix of the server.
PLACE = "/thermo"
#: Types of the files, by their endings: what a machine guesses is not the same everywhere, and browsers insist on it.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
#: A text that comes from a run can neither be a script, nor fetch one, nor become markup.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'self'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
#: The newest runs of an experiment that an answer holds.
MOST_RUNS = 1000
#: Filters of MLflow's search, by the name of the route.
_SEARCHES = {"runs": "", "analyses": f"tags.`{schema.TAG_KIND}` = '{schema.KIND_ANALYSIS}'"}
#: What the page needs of a run; a training may have logged thousands of other things.
_PARAMS = ("lr", "seed", "steps", "max_steps", "until", "chains")
_METRICS = (schema.METRIC_TRAIN_LOSS, schema.METRIC_SAMPLING_N_EFF, schema.METRIC_SAMPLING_NEEDED)
_TAGS = (
    schema.TAG_STATUS, schema.TAG_REGIME, schema.TAG_SWEEP, schema.TAG_KIND, schema.TAG_SNAPSHOTS, schema.TAG_ALIVE,
    schema.TAG_SCOPE,
)  # fmt: skip


def static_prefix() -> str:
    """What the paths of this server begin with."""
    from mlflow.server.handlers import STATIC_PREFIX_ENV_VAR

    return os.environ.get(STATIC_PREFIX_ENV_VAR, "").rstrip("/")


def pages(prefix: str = "") -> Blueprint:
    """The page as a blueprint for the Flask app of MLflow's server.

    Every route answers GET and HEAD alone. None reads the tracking store itself.

    Parameters
    ----------
    prefix : static prefix of the server, ``/mlflow`` for one.
    """
    found = Blueprint("thermo", __name__, url_prefix=f"{prefix}{PLACE}")

    def add(rule: str, view: Any) -> None:
        # Flask would answer OPTIONS by itself.
        endpoint = rule.replace(".", "-").strip("/") or f"page{len(rule)}"
        found.add_url_rule(rule, endpoint, view, methods=["GET"], provide_automatic_options=False)

    add("", _to_folder)
    for rule, content, kind in _files():
        add(rule, partial(_file, content, kind, hashlib.sha256(content).hexdigest()[:16]))
    for name, query in _SEARCHES.items():
        add(f"/{name}", partial(_search, prefix, query))
    found.after_request(_with_headers)
    return found


def rules() -> list[str]:
    """The routes below the prefix of the server."""
    return [PLACE, *(PLACE + rule for rule, _, _ in _files()), *(f"{PLACE}/{name}" for name in _SEARCHES)]


def _files() -> Iterator[tuple[str, bytes, str]]:
    """Route, content and type of each file."""
    for file in files("mlflow_thermo.app").joinpath("static").iterdir():
        kind = _TYPES.get("." + file.name.rpartition(".")[2])
        if kind is not None:
            yield "/" if file.name == "index.html" else f"/{file.name}", file.read_bytes(), kind


def _to_folder() -> Response:
    """To the same page with the slash that its relative links need; relative, for a proxy may have put us elsewhere."""
    query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
    return Response(status=308, headers={"Location": f"{PLACE.strip('/')}/{query}"})


def _file(content: bytes, kind: str, digest: str) -> AnyResponse:
    found = Response(content, content_type=kind)
    found.set_etag(digest)
    # Asked for again each time: after an upgrade no old script works on a new page.
    found.headers["Cache-Control"] = "no-cache"
    return found.make_conditional(request)


def _search(prefix: str, query: str) -> Response:
    """The newest runs of an experiment, as MLflow's own search gives them to whoever asks."""
    experiment_id = request.args.get("experiment_id", "")
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,64}", experiment_id):
        return _json({"error": "experiment_id must be the id of one experiment, as in ?experiment_id=1"}, 400)
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return _json({"error": "this is for the page of this server alone"}, 403)
    asked = {
        "experiment_ids": [experiment_id],
        "filter": query,
        "max_results": MOST_RUNS,
        "order_by": ["attributes.start_time DESC"],
    }
    found = _asked_of_mlflow(f"{prefix}/ajax-api/2.0/mlflow/runs/search", asked)
    if found.status_code != 200:
        # 401 asks for a login; whatever else MLflow says is passed on as text.
        answer = _json({"error": found.get_data(as_text=True)[:500]}, found.status_code)
        if "WWW-Authenticate" in found.headers:
            answer.headers["WWW-Authenticate"] = found.headers["WWW-Authenticate"]
        return answer
    content = json.loads(found.get_data())
    runs = [_needed(run) for run in content.get("runs", [])]
    return _json({"runs": runs, "more": bool(content.get("next_page_token"))})


def _asked_of_mlflow(path: str, content: dict[str, Any]) -> AnyResponse:
    """The answer of MLflow to a POST inside this server, from the one whose request this is.

    The request goes through everything that MLflow puts before and after its own routes, with the headers that came
    from the browser: passwords and permissions are judged there, and as they are for MLflow's own pages.
    """
    body = json.dumps(content).encode()
    left_out = ("werkzeug.", "flask.", "HTTP_TRANSFER_ENCODING", "RAW_URI", "REQUEST_URI")
    environ = {key: value for key, value in request.environ.items() if not key.startswith(left_out)}
    environ |= {
        "REQUEST_METHOD": "POST", "PATH_INFO": path, "QUERY_STRING": "", "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body),
    }  # fmt: skip
    return Response.from_app(current_app.wsgi_app, environ, buffered=True)


def _needed(run: dict[str, Any]) -> dict[str, Any]:
    """The part of a run, in MLflow's JSON, that the page shows."""
    info, data = run["info"], run.get("data", {})
    return {
        **{key: info.get(key) for key in ("run_id", "run_name", "status", "start_time", "end_time")},
        "params": {one["key"]: one["value"] for one in data.get("params", []) if one["key"] in _PARAMS},
        "tags": {one["key"]: one["value"] for one in data.get("tags", []) if one["key"] in _TAGS},
        "metrics": {
            one["key"]: {"value": _number(one.get("value")), "step": int(one.get("step", 0))}
            for one in data.get("metrics", [])
            if one["key"] in _METRICS or one["key"].startswith(schema.PREFIX_RESULT)
        },
    }


def _number(value: Any) -> float | None:
    """A metric, or None where it is not finite: JSON has no such number, and MLflow writes it in several ways."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _json(content: dict[str, Any], status: int = 200) -> Response:
    found = Response(json.dumps(content), status=status, mimetype="application/json")
    found.headers["Cache-Control"] = "no-store"
    return found


def _with_headers(response: Response) -> Response:
    response.headers.update(_HEADERS)
    return response
