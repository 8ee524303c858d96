"""The console command: exit codes, one line for every mistake, nothing slow for --help."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from analysis import cli
from mlflow_thermo import schema
from mlflow_thermo.store import read_index


def test_analyses_an_experiment(tracked, tmp_path, command):
    code, out, _ = command("analyze", "--experiment", "study", "--out", tmp_path / "out")
    assert code == 0
    assert "9 runs (9 stationary); T = " in out
    raw = json.loads((tmp_path / "out" / "result.json").read_text())
    assert len(raw["runs"]) == 9
    analysis_run = out.split("analysis run ")[1].split()[0]
    assert tracked.get_run(analysis_run).info.status == "FINISHED"
    assert {f.path for f in tracked.list_artifacts(analysis_run)} >= {"report.html", "result.json", "figures"}


def test_analyses_a_folder_without_a_server(study, tmp_path, command):
    study.write_all()
    code, out, _ = command("analyze", "--folder", study.root, "--out", tmp_path / "out", "--entropy", "gaussian-ml")
    assert code == 0
    assert "analysis run" not in out
    assert json.loads((tmp_path / "out" / "result.json").read_text())["estimator"]["name"] == "gaussian-ml"


def test_a_folder_that_holds_other_things(tracked, tmp_path, command):
    """`--out .`: nothing of the user's is removed, and nothing of it goes to the server."""
    out = tmp_path / "desk"
    (out / "figures").mkdir(parents=True)
    for name in ("figures/mine.png", "secret.txt"):
        (out / name).write_text("mine")
    for _ in range(2):
        code, told, _ = command("analyze", "--experiment", "study", "--out", out)
        assert code == 0
        assert {(out / name).read_text() for name in ("figures/mine.png", "secret.txt")} == {"mine"}
        run_id = told.split("analysis run ")[1].split()[0]
        sent = {f.path for place in (None, "figures") for f in tracked.list_artifacts(run_id, place)}
        assert sent >= {"report.html", "result.json", "temperature.csv", "figures/temperature.png"}
        assert not {path for path in sent if "mine" in path or "secret" in path or path.startswith(".")}


def test_uri_filter_and_no_publish(tracked, tmp_path, command, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    code, out, _ = command(
        "analyze", "--experiment", "study", "--tracking-uri", uri, "--filter", "metrics.`thermo/lr` > 0.05",
        "--out", tmp_path / "out", "--no-publish", "--method", "interval",
    )  # fmt: skip
    assert code == 0
    assert "analysis run" not in out
    assert len(json.loads((tmp_path / "out" / "result.json").read_text())["runs"]) == 6
    # The paper's bounds have no stated level.
    assert "bounds" in out
    assert "95 % interval" not in out


@pytest.mark.parametrize(
    ("uri", "word"),
    [
        ("http://user:secret@127.0.0.1:1", "does not answer (connection refused"),
        ("http://user:sec%2Fret@127.0.0.1:no-port", "names no server"),
        ("postgresql://user:secret@127.0.0.1:no-port/db", ""),
    ],
)
def test_a_password_is_in_no_error(command, monkeypatch, uri, word):
    """Whoever complains: MLflow, requests, or SQLAlchemy with a traceback."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    code, out, err = command("analyze", "--experiment", "study", "--tracking-uri", uri)
    assert code == 1
    assert word in err
    assert "127.0.0.1" in err or "no-port" in err
    assert "user:" not in out + err
    assert "sec" not in (out + err).replace("secure", "").replace("second", "")


def test_a_database_that_is_none_is_one_line(command, tmp_path):
    (tmp_path / "text.db").write_text("text" * 1000)
    code, _, err = command("analyze", "--experiment", "study", "--tracking-uri", f"sqlite:///{tmp_path}/text.db")
    assert code == 1
    assert err.splitlines()[-1].startswith("error: MLflow: ")
    assert "Traceback" not in err


class TestBadInput:
    def check(self, result, message):
        code, _, err = result
        assert code == 1
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        assert message in lines[0]

    def test_experiment(self, store, command):
        self.check(command("analyze", "--experiment", "nope"), "experiment 'nope' does not exist")

    def test_folder(self, tmp_path, command):
        self.check(command("analyze", "--folder", tmp_path / "none"), "does not exist")

    def test_too_few_learning_rates(self, study, command):
        study.write_run("a", 0.1)
        self.check(command("analyze", "--folder", study.root), "at least 3 learning rates, 1 have")

    def test_no_snapshots(self, study, store, command):
        where = store.get_experiment_by_name("study").experiment_id
        run_id = study.log_run(store, where, None, 0.1)
        self.check(command("analyze", "--experiment", "study"), f"run {run_id} holds no series")

    def test_corrupted_chunk_still_reports_the_rest(self, tracked, study, tmp_path, command):
        where = tracked.get_experiment_by_name("study").experiment_id
        bad = tracked.search_runs([where])[0].info.run_id
        folder = tmp_path / "artifacts" / bad / "artifacts" / "thermo" / "spaced"
        chunk = folder / read_index(folder).chunks[1].file
        chunk.write_bytes(chunk.read_bytes()[:-5])
        result = command("analyze", "--experiment", "study", "--out", tmp_path / "out")
        self.check(result, f"run {bad}: chunk {chunk.name} is half-written")
        assert (
            sum(r["temperature"] is not None for r in json.loads((tmp_path / "out/result.json").read_text())["runs"])
            == 8
        )
        assert tracked.get_run(bad).data.tags[schema.TAG_STATUS] == "corrupt"

    def test_nan_weights(self, study, store, command):
        where = store.get_experiment_by_name("study").experiment_id
        weights, loss = study.samples(0.1)
        weights[3:] = float("nan")
        folder = study.write_series(study.root / "nan", 0.1, weights, loss).parent
        run_id = study.log_run(store, where, folder, 0.1)
        self.check(command("analyze", "--experiment", "study"), f"run {run_id} holds weights or losses that are not")

    def test_an_index_that_is_not_one_still_reports_the_rest(self, study, tmp_path, command):
        folders = study.write_all()
        (folders[1] / "spaced" / "index.json").write_text("{}")
        code, out, err = command("analyze", "--folder", study.root, "--out", tmp_path / "out")
        assert code == 1
        assert "error: 1 of 9 runs could not be read: run run1: snapshot index has schema_version None" in err
        raw = json.loads((tmp_path / "out" / "result.json").read_text())
        assert next(run for run in raw["runs"] if run["run_id"] == "run1")["lr"] is None
        assert (tmp_path / "out" / "figures" / "temperature.png").is_file()
        assert "9 runs (8 stationary" in out

    def test_out_is_a_file(self, study, tmp_path, command):
        study.write_all()
        (tmp_path / "taken").write_text("x")
        self.check(command("analyze", "--folder", study.root, "--out", tmp_path / "taken"), "choose another folder")

    @pytest.mark.parametrize("name", ["report.html", "figures/loss.png"])
    def test_a_file_of_the_user_is_in_the_way(self, study, tmp_path, command, monkeypatch, name):
        """It is said before anything is measured, and the file stays."""
        study.write_all()
        monkeypatch.setattr("analysis.study.workflow.analyze", None)
        (tmp_path / "out" / name).parent.mkdir(parents=True)
        (tmp_path / "out" / name).write_text("mine")
        result = command("analyze", "--folder", study.root, "--out", tmp_path / "out")
        self.check(result, f"{name} was not written by an earlier report and would be lost: move it away")
        assert (tmp_path / "out" / name).read_text() == "mine"

    def test_unknown_words(self, study, command):
        study.write_all()
        self.check(command("analyze", "--folder", study.root, "--entropy", "x"), "unknown entropy estimator 'x'")
        self.check(command("analyze", "--folder", study.root, "--method", "x"), "method 'x' is unknown")


def test_help_is_quick():
    code = "import sys; from analysis.cli import cli; cli(['analyze', '--help'], standalone_mode=False); "
    shown = subprocess.run(
        [sys.executable, "-c", code + "print(*sys.modules)"], check=True, capture_output=True, text=True
    ).stdout
    assert not {"mlflow", "numpy", "torch", "sklearn"} & set(shown.split())


def test_module_form():
    shown = subprocess.run([sys.executable, "-m", "analysis.cli", "--help"], check=True, capture_output=True, text=True)
    assert "analyze" in shown.stdout
    assert CliRunner().invoke(cli.cli, ["--help"]).exit_code == 0


class TestCalibrate:
    def test_table_on_the_screen_in_files_and_on_a_run(self, store, tmp_path, command):
        out = tmp_path / "out"
        code, shown, _ = command(
            "calibrate", "--dims", "2,3", "--n", 100, "--estimators", "oas;kl, whitened", "--out", out,
            "--experiment", "accuracy",
        )  # fmt: skip
        assert code == 0
        # Five systems in two numbers of dimensions by two estimators, and the head of the table.
        assert sum(" | " in line for line in shown.splitlines()) == 21
        assert len((out / "accuracy.csv").read_text().splitlines()) == 21
        assert len((out / "accuracy.md").read_text().splitlines()) == 22
        done = store.get_run(shown.split("calibration run ")[1].split()[0])
        assert done.info.status == "FINISHED"
        assert done.data.tags[schema.TAG_KIND] == schema.KIND_CALIBRATION
        assert len(done.data.metrics) == 20
        assert {item.path for item in store.list_artifacts(done.info.run_id)} == {"accuracy.csv", "accuracy.md"}

    def test_few_snapshots_leave_out_what_needs_more(self, tmp_path, command):
        code, shown, _ = command("calibrate", "--dims", "2", "--n", 40, "--out", tmp_path / "out")
        assert code == 0
        names = {line.split(" | ")[3] for line in shown.splitlines() if " | " in line}
        assert "knn-graph" not in names
        assert {"kl", "oas", "ppca"} <= names

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("--dims", "2,x"), "dims: 'x' is not a valid integer"),
            (("--dims", "1"), "dims: 1 is not in the range x>=2"),
            (("--n", 5), "n: 5 is not in the range x>=20"),
            (("--n", "many"), "n: 'many' is not a valid integer"),
            (("--studies", 0), "studies: 0 is not in the range x>=1"),
            (("--seed", -1), "seed: -1 is not in the range x>=0"),
            (("--estimators", "oracle"), "unknown estimator 'oracle': choose from knn-graph"),
        ],
    )
    def test_bad_input_is_one_line(self, tmp_path, command, words, message):
        code, _, err = command("calibrate", *words, "--out", tmp_path / "out")
        assert code == 1
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert message in err
        assert not (tmp_path / "out").exists()
