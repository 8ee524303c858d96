"""Mistakes of users, over all commands: one line that names the thing and the remedy, at once; nothing left behind."""

import os
import socket
import time

import pytest

from mlflow_thermo import schema

SECRET = "kT-is-a-secret-0815"


def one_line(result, *words):
    code, out, err = result
    assert (code, out) == (1, ""), result
    assert err.count("\n") == 1, err
    assert err.startswith("error: ")
    for word in words:
        assert word in err
    assert "Traceback" not in err
    return err


@pytest.fixture
def nobody(monkeypatch):
    """The address of a server that is not there, on a port that nobody else gets."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


#: Commands that ask a server, with what they need.
ASKING = {
    "analyze": ("analyze", "study"),
    "doctor": ("doctor", "study"),
    "a run": ("doctor", "0123456789abcdef" * 2),
    "advise": ("advise", "study", "--lr", "0.1"),
    "export": ("export", "study"),
    "calibrate": ("calibrate", "--dims", "2", "--n", "50", "--estimators", "oas", "--experiment", "accuracy"),
}


@pytest.mark.parametrize("name", ASKING)
def test_a_store_that_is_not_there(command, nobody, tmp_path, monkeypatch, name):
    """MLflow alone asks such a server for four minutes, and makes a new database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    monkeypatch.setattr("analysis.tracking.reaching._PATIENCE", 0.0)
    begin = time.monotonic()
    said = one_line(
        command(*ASKING[name], "--tracking-uri", f"http://user:{SECRET}@{nobody}"),
        f"the tracking server http://{nobody} does not answer (connection refused: nothing listens there): start it",
    )
    assert SECRET not in said
    assert not {"urllib3", "HTTPConnectionPool", "Max retries"} & set(said.split())
    one_line(
        command(*ASKING[name], "--tracking-uri", f"postgresql://user:{SECRET}@{nobody}/db"),
        f"the database server {nobody} does not answer (Connection refused)",
    )
    if name != "calibrate":
        where = tmp_path / "there" / "none.db"
        one_line(command(*ASKING[name], "--tracking-uri", f"sqlite:///{where}"), f"there is no tracking store {where}")
    assert list(tmp_path.iterdir()) == []
    assert time.monotonic() - begin < 20


def test_the_current_folder_holds_no_store(command, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow.set_tracking_uri(None)
    one_line(command("doctor"), "there are no runs here", "mlflow.db does not exist: go to the folder that has it")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("ftp://a/b", "MLflow knows no tracking URI of this kind 'ftp://a/b'"),
        ("http://", "names no server: write http://HOST:PORT"),
        ("http://:5000", "names no server"),
        ("http://localhost:port", "names no server"),
        ("./mlruns", "is that of a folder, which MLflow does not write to any more"),
        ("file:///tmp/mlruns", "is that of a folder"),
        ("mssql://u:p@/db", "the Python module 'pyodbc' is missing for this store: pip install pyodbc"),
    ],
)
def test_a_tracking_uri_that_is_none(command, tmp_path, monkeypatch, uri, words):
    monkeypatch.chdir(tmp_path)
    one_line(command("doctor", "study", "--tracking-uri", uri), words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("analyze", "studdy"), "experiment 'studdy' does not exist: did you mean 'study'?"),
        (("analyze", "--experiment", "STUDY"), "did you mean 'study'?"),
        (("doctor", "sudy"), "did you mean 'study'?"),
        (("advise", "tudy"), "did you mean 'study'?"),
        (("export", "studies"), "did you mean 'study'?"),
        (("doctor", "0" * 32), "does not exist"),
        (("analyze", "study", "--experiment", "other"), "two experiments are named, 'study' and 'other'"),
        (("analyze", "study", "--folder", "."), "--folder is read in the place of a server"),
        (("analyze", "study", "--sweep", "frist"), "no training runs of a sweep 'frist': did you mean 'first'?"),
        (("analyze", "study", "--sweep", "first", "--filter", "x"), "give the one or the other"),
        (("analyze", "study", "--filter", "lr over 3"), "filter 'lr over 3' cannot be used"),
        (("analyze", "study", "--filter", "params.x = '1'"), "no training runs for filter params.x = '1'"),
        (("analyze", "study", "--entropy", "oasis"), "unknown entropy estimator 'oasis': choose one of"),
        (("analyze", "study", "--method", "cubic"), "method 'cubic' is unknown: choose one of"),
        (("analyze", "study", "--jobs", "-1"), "jobs: -1 is not in the range x>=0"),
        (("analyze", "study", "--jobs", "two"), "jobs: 'two' is not a valid integer"),
        (("analyze", "study", "--out", "mlflow.db"), "choose another folder"),
        (("analyze", "--folder", "nowhere"), "does not exist"),
        (("analyze", "--folder", "."), "holds no runs: expected RUN/spaced/index.json"),
        (("advise", "study", "--lr", "0,1"), "lr must be a finite positive number, got '0,1'"),
        (("advise", "study", "--lr", "-1"), "lr must be a finite positive number"),
        (("advise", "study", "--lr", "0.1", "--n-eff", "nan"), "n_eff must be a finite positive number"),
        (("advise", "study", "--n-eff", "100"), "give --lr, too"),
        (("export", "study", "--out", "mlflow.db"), "mlflow.db is a file: choose another folder"),
        (("export", "study", "--out", "/proc/none"), "/proc/none cannot be used (no such file or directory)"),
        (("deliver", "nowhere"), "nowhere"),
        (("deliver", "."), "holds nothing"),
        (("calibrate", "--estimators", "oracle"), "unknown estimator 'oracle': choose from"),
        (("calibrate", "--dims", ""), "is not a valid integer"),
    ],
)
def test_a_word_that_is_wrong(tracked, command, arguments, words):
    before = sorted(os.listdir())
    one_line(command(*arguments), words)
    assert sorted(os.listdir()) == before


def test_a_command_line_that_cannot_be_read(command):
    for arguments in (("nope",), ("doctor", "a", "b"), ("advise", "--nope"), ("analyze", "--out"), ("--jobs", "2")):
        code, _, err = command(*arguments)
        assert code == 2
        assert err.startswith(("Usage: ", "Error: "))
        assert "Traceback" not in err


class TestDebug:
    def test_shows_where_an_error_comes_from(self, command, nobody, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
        code, _, err = command("doctor", "study", "--debug", "--tracking-uri", f"http://user:{SECRET}@{nobody}")
        assert code == 1
        assert "Traceback" in err
        # Also what is kept from those who have not asked.
        assert "NewConnectionError" in err
        assert err.splitlines()[-1].startswith("error: the tracking server")
        assert SECRET not in err

    @pytest.mark.parametrize("place", ["before", "after", "environment"])
    def test_has_its_place_before_and_after_the_command(self, command, monkeypatch, place):
        if place == "environment":
            monkeypatch.setenv("MLFLOW_THERMO_DEBUG", "1")
        words = ["advise", "--lr", "x"]
        words = {"before": ["--debug", *words], "after": ["advise", "--debug", "--lr", "x"]}.get(place, words)
        code, _, err = command(*words)
        assert code == 1
        assert ("Traceback" in err) == (place != "none")

    def test_values_of_secret_variables_are_in_no_text(self):
        from analysis.cli.program import without_secrets

        environment = {
            "MLFLOW_TRACKING_TOKEN": SECRET,
            "AWS_SECRET_ACCESS_KEY": "abcde",
            "MY_PASSWORD": "a",
            "X": "text",
        }
        text = f"a text of {SECRET} and abcde at http://u:p@host"
        assert without_secrets(text, environment) == "a text of *** and *** at http://host"


class TestTheEnvironment:
    """An experiment that is left out is that of the environment."""

    @pytest.fixture
    def ids(self, tracked, monkeypatch):
        for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
            monkeypatch.delenv(name, raising=False)
        tracked.create_experiment("other")
        return {name: tracked.get_experiment_by_name(name).experiment_id for name in ("study", "other")}

    def test_by_name_and_by_id(self, ids, command, monkeypatch):
        one_line(command("advise"), "experiment 'Default' holds no training runs: train some, or name another")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
        one_line(command("advise"), "experiment 'other' holds no training runs")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "study")
        named = command("doctor", "study")
        assert command("doctor") == named
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", ids["study"])
        monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
        assert command("doctor") == named

    def test_two_that_differ(self, ids, command, monkeypatch):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", ids["other"])
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "study")
        one_line(command("doctor"), f"MLFLOW_EXPERIMENT_ID={ids['other']} is the experiment 'other'", "unset one")
        # What is named on the command line is meant.
        assert "MLFLOW_EXPERIMENT" not in command("doctor", "study")[2]
        # In `mlflow run --experiment-name` the id is newer than the name that the user has exported.
        monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
        one_line(command("doctor"), "experiment 'other' holds no training runs")

    @pytest.mark.parametrize("wrong", ["777", "study", "''"])
    def test_an_id_that_is_none(self, ids, command, monkeypatch, wrong):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", wrong)
        one_line(command("doctor"), f"experiment with id {wrong!r} does not exist: this server has ")


class TestDeleted:
    def test_a_run(self, tracked, command):
        where = tracked.get_experiment_by_name("study").experiment_id
        runs = tracked.search_runs([where])
        tracked.delete_run(runs[0].info.run_id)
        said = one_line(command("doctor", runs[0].info.run_id), "is deleted: restore it with `mlflow runs restore")
        assert runs[0].info.run_id in said
        # One fewer is a study all the same.
        code, out, err = command("doctor", "study")
        assert code == 0 or " of 8 runs" in err
        assert runs[0].info.run_id not in out

    def test_all_runs(self, tracked, command):
        where = tracked.get_experiment_by_name("study").experiment_id
        for run in tracked.search_runs([where]):
            tracked.delete_run(run.info.run_id)
        for name in ("analyze", "doctor", "advise", "export"):
            one_line(command(name, "study"), "no training runs, 9 are deleted: restore them, as with `mlflow runs rest")

    def test_the_experiment(self, tracked, command):
        where = tracked.get_experiment_by_name("study").experiment_id
        tracked.delete_experiment(where)
        for name in ("analyze", "doctor", "advise", "export"):
            one_line(command(name, "study"), "experiment 'study' is deleted: restore it with `mlflow experiments rest")

    def test_artifacts(self, tracked, study, tmp_path, command):
        """Of one run: named with its folder, and the others are analysed. Of all: the same line once."""
        import shutil

        where = tracked.get_experiment_by_name("study").experiment_id
        runs = tracked.search_runs([where])
        for run in runs:
            tracked.set_tag(run.info.run_id, schema.TAG_SNAPSHOTS, schema.SNAPSHOTS_COMPLETE)
        folders = [tmp_path / "artifacts" / run.info.run_id / "artifacts" / "thermo" for run in runs]
        shutil.rmtree(folders[0])
        code, out, err = command("analyze", "study", "--out", tmp_path / "out")
        assert code == 1
        assert "9 runs (8 stationary" in out
        assert f"its snapshots were removed from {folders[0]}: bring them back from a copy" in err
        for folder in folders[1:]:
            shutil.rmtree(folder)
        one_line(command("advise", "study"), "none of the 9 runs can be read: run ", "its snapshots were removed from")
