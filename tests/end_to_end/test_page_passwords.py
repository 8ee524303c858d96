"""The page on a server with passwords, below a static prefix: nobody sees there what MLflow would not show."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mlflow_thermo.app import pages
from tests.browser import needs_chromium
from tests.end_to_end.conftest import free_port, running
from tests.end_to_end.studies import DESKTOP, analysed

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]

ADMIN, PASSWORD = "keeper", "kT-of-the-keeper-0815"
USERS = {"alice": "kT-of-alice-0815", "bob": "kT-of-bob-00815"}
PREFIX = "/lab"


@dataclass(frozen=True)
class Protected:
    """The server, and what is on it: a study that Alice may read, and one that nobody but its keeper may."""

    uri: str
    log: Path
    open: str
    closed: str

    def ask(self, path, user=None, *, password=None, method="GET", body=None, **headers):
        """Status and text of an answer."""
        if user:
            word = password or {ADMIN: PASSWORD, **USERS}[user]
            headers["Authorization"] = "Basic " + b64encode(f"{user}:{word}".encode()).decode()
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.uri}{path}", data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture(scope="module")
def protected(tmp_path_factory, empty_database):
    folder = tmp_path_factory.mktemp("protected")
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\nauthorization_function = "
        "mlflow.server.auth:authenticate_request_basic_auth\n"
        f"database_uri = sqlite:///{folder / 'auth.db'}\nadmin_username = {ADMIN}\nadmin_password = {PASSWORD}\n"
        # Else each of some hundred requests takes a tenth of a second.
        "auth_cache_ttl_seconds = 600\n"
    )
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    store, kept = f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts"
    made = [
        analysed(MlflowClient(store), store, tmp_path_factory.mktemp("study"), name, str(kept / name[:6]))
        for name in ("shared study", "secret study")
    ]
    port = free_port()
    environment = {
        **os.environ, "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "x" * 20,
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
    }  # fmt: skip
    # Two workers, and a database of users that is not there yet.
    command = [
        sys.executable, "-m", "mlflow", "server", "--app-name", "thermo-basic-auth", "--static-prefix", PREFIX,
        "--host", "127.0.0.1", "--port", str(port), "--workers", "2",
        "--backend-store-uri", store, "--artifacts-destination", str(kept),
    ]  # fmt: skip
    uri, log = f"http://127.0.0.1:{port}{PREFIX}", folder / "server.log"
    with running(command, log, f"{uri}/health", env=environment, cwd=folder):
        found = Protected(uri, log, *(one.experiment_id for one in made))
        for name, password in USERS.items():
            body = {"username": name, "password": password}
            assert found.ask("/api/2.0/mlflow/users/create", ADMIN, method="POST", body=body)[0] == 200
        grant = {"username": "alice", "resource_type": "experiment", "resource_id": found.open, "permission": "READ"}
        assert found.ask("/api/3.0/mlflow/users/permissions/grant", ADMIN, method="POST", body=grant)[0] == 200
        yield found
        words = log.read_text()
        assert not any(word in words for word in (PASSWORD, *USERS.values(), "x" * 20))
        assert "Traceback" not in words


def test_without_a_login_there_is_nothing(protected):
    for rule in pages.rules():
        for query in ("", f"?experiment_id={protected.open}"):
            for method in ("GET", "HEAD"):
                status, text = protected.ask(f"{rule}{query}", method=method)
                assert status == 401, rule
                assert "study" not in text
    for path in ("/thermo/", f"/thermo/runs?experiment_id={protected.open}"):
        assert protected.ask(path, "alice", password="not-her-password")[0] == 401


def test_each_sees_what_mlflow_would_show(protected):
    def runs(user, experiment_id, name="runs"):
        status, text = protected.ask(f"/thermo/{name}?experiment_id={experiment_id}", user)
        assert status == 200
        return json.loads(text)["runs"]

    for name, count in (("runs", 10), ("analyses", 1)):
        assert len(runs(ADMIN, protected.closed, name)) == count
        assert len(runs("alice", protected.open, name)) == count
        for user, experiment_id in (("alice", protected.closed), ("bob", protected.closed), ("bob", protected.open)):
            assert runs(user, experiment_id, name) == []
    # What else the page asks for, MLflow itself protects.
    hidden = runs(ADMIN, protected.closed, "analyses")[0]["run_id"]
    for path in (
        f"/get-artifact?path=result.json&run_uuid={hidden}",
        f"/ajax-api/2.0/mlflow/artifacts/list?run_id={hidden}",
        f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={hidden}&metric_key=train/loss",
    ):
        assert protected.ask(path, ADMIN)[0] == 200
        assert protected.ask(path, "alice")[0] == 403
    assert "secret" not in protected.ask("/ajax-api/2.0/mlflow/experiments/search?max_results=100", "alice")[1]


def test_no_header_of_a_request_changes_who_asks(protected):
    """Nor its method, nor the host that it names."""
    path = f"/thermo/runs?experiment_id={protected.closed}"
    for headers in (
        {"X-HTTP-Method-Override": "POST"}, {"Content-Type": "application/json"}, {"X-Original-URL": "/graphql"},
        {"X-Forwarded-User": ADMIN}, {"X-MLFLOW-Authorization": ADMIN},
    ):  # fmt: skip
        status, text = protected.ask(path, "alice", **headers)
        assert (status, json.loads(text)["runs"]) == (200, [])
    status, text = protected.ask(path, "alice", body={"experiment_ids": [protected.closed], "filter": ""})
    assert (status, json.loads(text)["runs"]) == (200, [])
    assert protected.ask(path, "alice", **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert protected.ask(path, "alice", method=method)[0] in (403, 405)
        assert protected.ask(path, ADMIN, method=method)[0] == 405
    status, text = protected.ask(path, ADMIN, Host="rebound.example")
    assert (status, "Invalid Host" in text) == (403, True)


@needs_chromium
def test_what_her_browser_shows(protected, browser):
    asked = (("alice", "shared study", True), ("alice", "secret study", False), ("bob", "shared study", False))
    for user, name, seen in asked:
        context = browser.new_context(**DESKTOP, http_credentials={"username": user, "password": USERS[user]})
        page = context.new_page()
        # Without the slash: the server leads to the page, below its prefix.
        page.goto(f"{protected.uri}/thermo?experiment={name}")
        page.wait_for_selector("main[aria-busy=false]")
        if seen:
            page.locator("#chart-temperature .mark").first.wait_for()
            assert page.url == f"{protected.uri}/thermo/?experiment={name.replace(' ', '%20')}"
            link = page.locator("tbody a").first.evaluate("link => link.href")
            assert re.fullmatch(rf"{protected.uri}/#/experiments/{protected.open}/runs/\w+\?workflowType=.*", link)
            assert page.locator("#experiment option").count() == 2
            assert "secret" not in page.content()
        else:
            assert page.locator("#state").inner_text() == f'There is no experiment "{name}" that you may read.'
            assert page.locator("figure, tbody tr").count() == 0
            assert page.locator("#summary").get_by_text(name).count() == 0
        context.close()


def test_a_server_that_cannot_start_says_so_once(tmp_path):
    """In one line, before there are workers, each of which would fail again and again."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "server", "--app-name", "thermo", "--backend-store-uri", "sqlite:///x.db"],
        cwd=tmp_path, env={**given, "MLFLOW_FLASK_SERVER_SECRET_KEY": "kT-is-a-secret"}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.search(r"^Error: .*use --app-name thermo-basic-auth, or unset .*$", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr
    assert "kT-is-a-secret" not in done.stderr + done.stdout
