"""The README's commands as a new user types them: a scratch copy, a fresh store, no pyenv, conda or uv on the PATH."""

import json

import pytest

from mlflow_thermo import schema

SHORT = ("-P", "steps=400", "-P", "log_points=2", "-P", "noise_batches=2", "-P", "width=1")
SWEEP = ("-e", "sweep", "-P", "preset=digits-up", "-P", "lrs=1e-3:1e-1:4", *SHORT)


def test_the_plain_command_on_an_empty_folder(user):
    done = user("mlflow", "run", ".", "-P", "lr=0.1", *SHORT)
    assert done.returncode == 0, done.stderr
    run = user.client().search_runs(["0"])[0]
    assert f"run       {run.info.run_id}" in done.stdout
    assert run.info.status == "FINISHED"
    assert run.data.params["lr"] == "0.1"
    assert run.data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_COMPLETE
    assert "MlflowException" not in done.stderr


@pytest.mark.slow
def test_env_manager_local(user):
    done = user("mlflow", "run", ".", "--env-manager", "local", "-P", "lr=1e-2", *SHORT)
    assert done.returncode == 0, done.stderr
    assert user.client().search_runs(["0"])[0].info.status == "FINISHED"


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("lr=-0.1", "lr must be a finite positive number"),
        pytest.param("model=vgg", "model 'vgg' is unknown", marks=pytest.mark.slow),
    ],
)
def test_a_bad_parameter_fails_the_run_with_one_line(user, parameter, message):
    lr = () if parameter.startswith("lr") else ("-P", "lr=0.1")
    done = user("mlflow", "run", ".", *lr, "-P", parameter, *SHORT)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert [r.info.status for r in user.client().search_runs(["0"])] == ["FAILED"]


def check_sweep_and_analysis(client, experiment_id, folder, printed):
    runs = client.search_runs([experiment_id], f"tags.`{schema.TAG_KIND}` = 'train'")
    assert len(runs) == 4
    assert {r.info.status for r in runs} == {"FINISHED"}
    # Flat runs of one sweep, tagged by the analysis.
    assert len({r.data.tags[schema.TAG_SWEEP] for r in runs}) == 1
    assert all(schema.TAG_STATUS in r.data.tags and schema.METRIC_ENTROPY in r.data.metrics for r in runs)
    raw = json.loads((folder / "result.json").read_text())
    assert {r["run_id"] for r in raw["runs"]} == {r.info.run_id for r in runs}
    assert (folder / "report.html").stat().st_size > 100_000
    analysis = client.search_runs([experiment_id], f"tags.`{schema.TAG_KIND}` = 'analysis'")
    assert len(analysis) == 1
    assert f"analysis run {analysis[0].info.run_id}" in printed
    assert {f.path for f in client.list_artifacts(analysis[0].info.run_id)} >= {"report.html", "result.json"}


@pytest.mark.slow
def test_sweep_then_analyze(user):
    done = user("mlflow", "run", ".", *SWEEP)
    assert done.returncode == 0, done.stderr
    assert "[4/4]" in done.stderr
    for _ in range(2):  # the second analysis replaces the first
        done = user("mlflow", "run", ".", "-e", "analyze")
        assert done.returncode == 0, done.stderr
        check_sweep_and_analysis(user.client(), "0", user.folder / "thermo-report", done.stdout)


@pytest.mark.slow
def test_sweep_then_analyze_through_a_server(user, server):
    """Everything over HTTP; the artifacts go through the server's proxy into a folder that the client cannot name."""
    remote = {"MLFLOW_TRACKING_URI": server.uri}
    before = len(server.log.read_text())
    done = user("mlflow", "run", ".", "--experiment-name", "remote", *SWEEP, **remote)
    assert done.returncode == 0, done.stderr
    out = user.folder / "elsewhere"
    done = user("mlflow-thermo", "analyze", "--experiment", "remote", "--out", str(out), **remote)
    assert done.returncode == 0, done.stderr
    where = server.client.get_experiment_by_name("remote").experiment_id
    check_sweep_and_analysis(server.client, where, out, done.stdout)
    assert not (user.folder / "mlflow.db").exists()
    assert not (user.folder / "mlruns").exists()
    # One download for each run, kept for the next analysis, and the report.
    cached = user.folder.parent / "home" / ".cache" / "mlflow-thermo"
    assert len([one for one in cached.iterdir() if one.is_dir() and one.name != "reports"]) == 4
    assert len(list((cached / "reports").iterdir())) == 1
    log = server.log.read_text()[before:]
    assert log.count("runs/log-batch") > 0
    assert log.count("runs/log-metric") == 0
