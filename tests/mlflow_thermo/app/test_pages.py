"""The page's files and its two searches, against MLflow's own app and a real store."""

import hashlib
import importlib
import json
import math
import re
import subprocess
import sys
from importlib.resources import files

import pytest
from click import ClickException

from analysis.results import REMEDIES
from mlflow_thermo import schema
from mlflow_thermo.app import pages

STATIC = files("mlflow_thermo.app").joinpath("static")


def test_every_route_answers_get_and_head_alone(client):
    assert {"/thermo", "/thermo/", "/thermo/page.js", "/thermo/runs", "/thermo/analyses"} <= set(pages.rules())
    for rule in pages.rules():
        path = f"{rule}?experiment_id=0"
        assert client.get(path).status_code == (308 if rule == "/thermo" else 200), rule
        assert client.head(path).status_code == client.get(path).status_code
        assert client.head(path).data == b""
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            assert client.open(path, method=method).status_code == 405, (method, rule)


def test_every_answer_has_its_headers(client):
    for rule in pages.rules():
        for path in (rule, f"{rule}?experiment_id=0"):
            headers = client.get(path).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            if rule.endswith(("runs", "analyses")):
                assert headers["Cache-Control"] == "no-store"


def test_files_have_their_types_and_are_not_sent_twice(client):
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json"}
    for file in STATIC.iterdir():
        found = client.get("/thermo/" if file.name == "index.html" else f"/thermo/{file.name}")
        assert found.data == file.read_bytes()
        assert found.content_type.startswith(types.get("." + file.name.rpartition(".")[2], "text/html"))
        again = client.get(found.request.path, headers={"If-None-Match": found.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
    assert client.get("/thermo/../pages.py").status_code == 404
    assert client.get("/thermo/%2e%2e/pages.py").status_code == 404
    assert client.get("/thermo/index.html").status_code == 404


def test_without_its_slash_it_leads_to_itself_wherever_that_is(client):
    found = client.get("/thermo?experiment=a%20b&runs=%22")
    assert found.headers["Location"] == "thermo/?experiment=a%20b&runs=%22"


def test_nothing_is_fetched_from_elsewhere_or_made_from_text():
    for file in STATIC.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|\"//|'//|url\(", text), file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(", text), file.name
    page = STATIC.joinpath("index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|style=|\son\w+=|<script(?! type=\"module\" src=)", page)


def test_a_run_with_what_the_page_shows_of_it(client, train):
    metrics = {schema.METRIC_TRAIN_LOSS: 0.5, schema.METRIC_TEMPERATURE: math.nan, schema.METRIC_ENTROPY: math.inf}
    run_id = train(metrics={**metrics, "mine": 1.0}, tags={schema.TAG_SWEEP: "first", "secret": "x"})
    found = client.get("/thermo/runs?experiment_id=1")
    assert found.json["more"] is False
    (run,) = found.json["runs"]
    assert (run["run_id"], run["run_name"], run["status"]) == (run_id, "lr=0.1", "RUNNING")
    assert run["params"] == {"lr": "0.1"}
    assert run["tags"] == {schema.TAG_KIND: "train", schema.TAG_SWEEP: "first"}
    assert run["metrics"].pop(schema.METRIC_ENTROPY)["value"] > 1e300
    assert run["metrics"] == {
        schema.METRIC_LR: {"value": 0.1, "step": 3},
        schema.METRIC_TRAIN_LOSS: {"value": 0.5, "step": 3},
        # Of an earlier analysis: JSON has no NaN.
        schema.METRIC_TEMPERATURE: {"value": None, "step": 3},
    }
    json.loads(found.text, parse_constant=pytest.fail)


def test_the_analyses_and_one_experiment_alone(client, store, train, monkeypatch):
    store.create_experiment("other")
    for i in range(3):
        train(lr=0.1 + i)
    done = train(kind=schema.KIND_ANALYSIS, tags={schema.TAG_SCOPE: "sweep 'quoted'"})
    elsewhere = train("other")
    (found,) = client.get("/thermo/analyses?experiment_id=1").json["runs"]
    assert (found["run_id"], found["tags"][schema.TAG_SCOPE]) == (done, "sweep 'quoted'")
    assert len(client.get("/thermo/runs?experiment_id=1").json["runs"]) == 4
    assert [one["run_id"] for one in client.get("/thermo/runs?experiment_id=2").json["runs"]] == [elsewhere]
    assert client.get("/thermo/runs?experiment_id=77").json == {"runs": [], "more": False}
    monkeypatch.setattr(pages, "MOST_RUNS", 2)
    newest = client.get("/thermo/runs?experiment_id=1").json
    assert (newest["more"], len(newest["runs"])) == (True, 2)


@pytest.mark.parametrize("asked", ["", "?experiment_id=", "?experiment_id=1'%20OR%201", "?experiment_id=" + 65 * "1"])
def test_a_wrong_question_gets_one_line(client, asked):
    for name in ("runs", "analyses"):
        found = client.get(f"/thermo/{name}{asked}")
        assert found.status_code == 400
        assert found.json == {"error": "experiment_id must be the id of one experiment, as in ?experiment_id=1"}


def test_pages_of_others_get_nothing(client, train):
    train()
    for site in ("cross-site", "same-site"):
        assert client.get("/thermo/runs?experiment_id=1", headers={"Sec-Fetch-Site": site}).status_code == 403
    for site in ("same-origin", "none"):
        assert client.get("/thermo/runs?experiment_id=1", headers={"Sec-Fetch-Site": site}).status_code == 200


def test_mlflow_judges_the_request_as_its_own(client, train):
    """What the app does before each request, it does before the search inside of it, with the headers that came."""
    train()
    seen = []

    def judge():
        from flask import request

        seen.append((request.method, request.path, request.headers.get("Authorization")))
        if request.path.endswith("/mlflow/runs/search") and request.headers.get("Authorization") != "Basic right":
            return "You are not authenticated.", 401, {"WWW-Authenticate": 'Basic realm="mlflow"'}
        return None

    app = client.application
    app.before_request_funcs[None].insert(0, judge)
    try:
        found = client.get("/thermo/runs?experiment_id=1", headers={"Authorization": "Basic wrong"})
        assert (found.status_code, found.json) == (401, {"error": "You are not authenticated."})
        assert found.headers["WWW-Authenticate"] == 'Basic realm="mlflow"'
        allowed = client.get("/thermo/runs?experiment_id=1", headers={"Authorization": "Basic right"})
        assert len(allowed.json["runs"]) == 1
    finally:
        app.before_request_funcs[None].remove(judge)
    assert seen[1] == ("POST", "/ajax-api/2.0/mlflow/runs/search", "Basic wrong")


def test_the_store_is_not_written(client, train, tmp_path):
    train()
    before = hashlib.sha256((tmp_path / "mlflow.db").read_bytes()).digest()
    for rule in pages.rules():
        client.get(f"{rule}?experiment_id=1")
    assert hashlib.sha256((tmp_path / "mlflow.db").read_bytes()).digest() == before


def test_every_status_has_its_remedy_on_the_page():
    assert json.loads(STATIC.joinpath("remedies.json").read_text(encoding="utf-8")) == REMEDIES


def test_who_forgets_the_passwords_is_stopped(monkeypatch):
    from mlflow_thermo.app import serving

    serving.refuse_forgotten_passwords()
    monkeypatch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "kT-is-a-secret")
    with pytest.raises(
        ClickException, match="^MLFLOW_FLASK_SERVER_SECRET_KEY is set.*--app-name thermo-basic-auth"
    ) as stop:
        serving.refuse_forgotten_passwords()
    assert "kT-is-a-secret" not in stop.value.message


def test_a_server_with_passwords_needs_its_key(app, monkeypatch):
    """It is missed before there are workers."""
    monkeypatch.delenv("MLFLOW_FLASK_SERVER_SECRET_KEY", raising=False)
    with pytest.raises(ClickException, match="MLFLOW_FLASK_SERVER_SECRET_KEY"):
        importlib.import_module("mlflow_thermo.app.basic_auth")


def test_nothing_is_loaded_before_a_server_starts():
    program = (
        "import sys, mlflow_thermo, mlflow_thermo.app; sys.exit(bool({'mlflow', 'flask', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
