"""An unchanged experiment is not analysed again, and a changed one is."""

import json
import shutil
from dataclasses import replace

import pytest

from analysis.report import STUDY, ReportCache, cache, new_report, report_files, study_key
from analysis.results import OK, Estimate, EstimatorUsed, RunResult, StudyResult
from analysis.study import StudyConfig, analyze
from analysis.tracking import from_folder, from_tracking, records
from mlflow_thermo import schema

WORDS = "nothing has changed"


@pytest.fixture
def analysed(tracked, tmp_path, command):
    """The study after its first analysis, and what analyses it again; snapshots cannot be read any more."""

    def again(*options):
        return command("analyze", "--experiment", "study", "--out", tmp_path / "again", *options)

    code, _, err = command("analyze", "--experiment", "study", "--out", tmp_path / "first")
    assert code == 0
    assert WORDS not in err
    return tracked, again


def forbid(monkeypatch):
    def refuse(*_):
        raise AssertionError("a snapshot was read")

    monkeypatch.setattr(records, "read_snapshots", refuse)


def test_an_unchanged_experiment_touches_no_snapshot(analysed, tmp_path, monkeypatch):
    _, again = analysed
    forbid(monkeypatch)
    code, out, err = again()
    assert code == 0
    assert WORDS in err
    assert "9 runs (9 stationary); T = " in out
    first, second = tmp_path / "first", tmp_path / "again"
    names = sorted(str(p.relative_to(first)) for p in first.rglob("*") if p.is_file())
    assert names == sorted(str(p.relative_to(second)) for p in second.rglob("*") if p.is_file())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_a_report_that_was_cut_in_the_cache_is_made_again(analysed, tmp_path):
    _, again = analysed
    page = next((tmp_path / "thermo-cache" / "reports").glob("*/report.html"))
    page.write_bytes(page.read_bytes()[:100])
    code, _, err = again()
    assert (code, WORDS in err) == (0, False)
    assert (tmp_path / "again" / "report.html").read_bytes() == (tmp_path / "first" / "report.html").read_bytes()
    assert WORDS in again()[2]


def test_it_writes_nothing_to_the_server(analysed):
    client, again = analysed
    before = {r.info.run_id: r.to_dictionary() for r in client.search_runs(["1"])}
    assert again()[0] == 0
    assert {r.info.run_id: r.to_dictionary() for r in client.search_runs(["1"])} == before


@pytest.mark.parametrize("options", [("--no-cache",), ("--entropy", "gaussian-ml"), ("--method", "convex")])
def test_other_settings_are_another_analysis(analysed, options):
    _, again = analysed
    code, _, err = again(*options)
    assert code == 0
    assert WORDS not in err


def test_a_chunk_that_was_damaged_since_is_found(analysed, tmp_path):
    _, again = analysed
    path = next((tmp_path / "artifacts").rglob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-10])
    code, _, err = again()
    assert code == 1
    assert "half-written" in err


def test_another_run_makes_another_study(analysed, study):
    client, again = analysed
    extra = study.write_run("extra", 0.2)
    study.log_run(client, "1", extra, 0.2, seed=1, tags={schema.TAG_SWEEP: "first"})
    code, out, err = again()
    assert code == 0
    assert WORDS not in err
    assert "10 runs" in out


def test_a_run_that_goes_on_has_no_identity(tracked, server, study):
    """On a server nothing but its digest names what a run holds, and it has none before its end."""
    experiment = server.client.create_experiment("running")
    folder = study.write_run("more", 0.3)
    study.log_run(server.client, experiment, folder, 0.3, status="RUNNING")
    study.log_run(server.client, experiment, folder, 0.3, status="KILLED")
    study.log_run(server.client, experiment, folder, 0.3, tags={schema.TAG_DIGEST: "abc"})
    runs = from_tracking("running", tracking_uri=server.uri)
    found = {r.ended: r.identity for r in runs}
    assert found["RUNNING"] is None
    assert "weights-" in found["KILLED"]
    assert '"abc"' in found["FINISHED"]
    assert study_key([r.identity for r in runs], {}) is None


def test_the_key_names_content_settings_and_code(monkeypatch):
    first = study_key(["a", "b"], {"entropy": "auto"})
    assert study_key(["a", "b"], {"entropy": "auto"}) == first
    others = [study_key(["b", "a"], {"entropy": "auto"}), study_key(["a", "b"], {"entropy": "kl"})]
    monkeypatch.setattr(cache, "_code", lambda: "other code")
    others.append(study_key(["a", "b"], {"entropy": "auto"}))
    assert len({first, *others}) == 4


class TestReportCache:
    RESULT = StudyResult(
        (RunResult("a", 0.1, 0, OK, "", loss=Estimate(0.2, 0.01)),), EstimatorUsed("oas"), "convex", notes=("a note",)
    )

    def fill(self, tmp_path):
        made = tmp_path / "made"
        with new_report(made, STUDY, ["result.json", "figures/a.png"]) as staged:
            (staged / "figures").mkdir()
            (staged / "result.json").write_text(json.dumps(self.RESULT.to_dict()))
            (staged / "figures" / "a.png").write_bytes(b"png")
        (made / "of somebody else").write_text("x")
        store = ReportCache(tmp_path / "store")
        store.put("key", self.RESULT, made)
        return store

    def test_gives_back_what_was_put(self, tmp_path):
        store = self.fill(tmp_path)
        out = tmp_path / "out"
        (out / "figures").mkdir(parents=True)
        with new_report(out, STUDY, ["figures/old.png"]) as staged:
            (staged / "figures").mkdir()
            (staged / "figures" / "old.png").write_text("x")
        (out / "figures" / "mine.txt").write_text("x")
        assert store.get("key", out) == self.RESULT
        assert sorted(p.name for p in out.rglob("[!.]*")) == ["a.png", "figures", "mine.txt", "result.json"]
        assert sorted(p.name for p in report_files(out, STUDY)) == ["a.png", "result.json"]
        assert store.get("other", out) is None
        assert store.get(None, out) is None

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "\0",
            "[]",
            "{}",
            '{"runs": [], "schema_version": 2}',
            '{"runs": [{"new_field": 1}], "schema_version": 3}',
        ],
    )
    def test_a_damaged_entry_is_none(self, tmp_path, content):
        store = self.fill(tmp_path)
        (tmp_path / "store" / "key" / "result.json").write_text(content)
        assert store.get("key", tmp_path / "out") is None

    @pytest.mark.parametrize("name", ["result.json", "figures/a.png", ".digests.json"])
    @pytest.mark.parametrize("content", [None, b"", b"{}", b"png cut"])
    def test_an_entry_that_was_changed_is_made_again(self, tmp_path, name, content):
        store = self.fill(tmp_path)
        path = tmp_path / "store" / "key" / name
        path.unlink() if content is None else path.write_bytes(content)
        assert store.get("key", tmp_path / "out") is None
        assert not (tmp_path / "out").exists()
        shutil.rmtree(tmp_path / "made")
        assert self.fill(tmp_path).get("key", tmp_path / "out") == self.RESULT

    def test_another_number_in_the_result_is_not_handed_out(self, tmp_path):
        store = self.fill(tmp_path)
        path = tmp_path / "store" / "key" / "result.json"
        path.write_text(path.read_text().replace("0.2", "0.3"))
        assert store.get("key", tmp_path / "out") is None

    def test_a_folder_that_cannot_be_written_costs_nothing(self, tmp_path):
        made = tmp_path / "made"
        made.mkdir()
        (tmp_path / "store").write_text("a file in its place")
        ReportCache(tmp_path / "store").put("key", self.RESULT, made)

    def test_a_full_disk_costs_nothing(self, tmp_path, small_disk):
        self.fill(tmp_path)
        store = small_disk.folder / "store"
        store.mkdir()
        small_disk.fill()
        ReportCache(store).put("key", self.RESULT, tmp_path / "made")
        assert list(store.iterdir()) == []

    def test_the_report_of_another_analysis_is_not_kept(self, tmp_path):
        """Two analyses wrote into one folder at once, and the other one was last."""
        self.fill(tmp_path)
        store = ReportCache(tmp_path / "store")
        store.put("other", replace(self.RESULT, notes=("another note",)), tmp_path / "made")
        store.put("nowhere", self.RESULT, tmp_path / "gone")
        assert store.get("other", tmp_path / "out") is None
        assert [path.name for path in (tmp_path / "store").iterdir()] == ["key"]

    def test_twice(self, tmp_path):
        store = self.fill(tmp_path)
        shutil.rmtree(tmp_path / "made")
        store = self.fill(tmp_path)
        assert store.get("key", tmp_path / "out") == self.RESULT
        assert [p.name for p in (tmp_path / "store").iterdir()] == ["key"]


def test_a_result_survives_its_json(study):
    study.write_all()
    result = analyze(from_folder(study.root))
    assert StudyResult.from_dict(json.loads(json.dumps(result.to_dict()))).to_dict() == result.to_dict()


@pytest.mark.parametrize("jobs", [2, 5])
def test_as_many_jobs_as_you_like_give_one_answer(study, jobs):
    study.write_all()
    runs = from_folder(study.root)
    alone, together = (analyze(runs, StudyConfig(jobs=n)) for n in (1, jobs))
    for a, b in zip(alone.runs, together.runs, strict=True):
        assert b.entropy.value == pytest.approx(a.entropy.value, rel=1e-12)
        assert b.temperature.value == pytest.approx(a.temperature.value, rel=1e-9)
        assert (b.status, b.regime) == (a.status, a.regime)
