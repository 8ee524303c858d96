"""result.json, the table, the page and its figures."""

import csv
import io
import json
import struct

import pytest

from analysis.report.folder import NAMES, STUDY, start_report
from analysis.report.text import summary, text_table
from analysis.report.write import check_lines, write_report
from analysis.results import RESULT_SCHEMA_VERSION, RunResult, StudyResult
from analysis.study.workflow import StudyConfig, analyze
from analysis.tracking import from_folder


@pytest.fixture
def result(study):
    for folder, lr in zip(study.write_all(), study.lrs, strict=True):
        study.write_series(folder, lr, *study.samples(lr), series="consecutive")
    return analyze(from_folder(study.root), StudyConfig())


def test_writes_everything(result, tmp_path):
    out = tmp_path / "out"
    written = write_report(result, out, "A <study>")
    # Whatever stands in the way of one of them is seen before the analysis.
    assert {path.relative_to(out).as_posix() for path in written} <= set(NAMES[STUDY])
    assert {p.name for p in written} == {
        "result.json", "temperature.csv", "report.html", "loss.png", "entropy.png", "temperature.png",
        "free_energy.png", "paper_entropy.png",
    }  # fmt: skip
    raw = json.loads((out / "result.json").read_text())
    assert raw["schema_version"] == RESULT_SCHEMA_VERSION
    assert {"run_id", "lr", "seed", "loss", "loss_stderr", "entropy", "entropy_stderr", "temperature",
            "temperature_lower", "temperature_upper", "n_eff", "status", "regime"} <= set(raw["runs"][0])  # fmt: skip
    assert {"exponent", "exponent_stderr", "prefactor", "lr_min", "lr_max"} <= set(raw["power_law"])
    assert raw["estimator"]["name"]
    rows = list(csv.DictReader(io.StringIO((out / "temperature.csv").read_text())))
    assert [float(r["temperature"]) for r in rows] == [r.temperature for r in result.runs]
    for name in ("loss", "entropy", "temperature", "free_energy"):
        png = (out / "figures" / f"{name}.png").read_bytes()
        width, height = struct.unpack(">II", png[16:24])
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert width > 800
        assert height > 500


def test_page_needs_no_network_and_escapes(result, tmp_path):
    write_report(result, tmp_path, "A <study>")
    page = (tmp_path / "report.html").read_text()
    assert "A &lt;study&gt;" in page
    # Nothing is fetched: the figures' library is inside the page.
    assert "<script src" not in page
    assert "<link" not in page
    assert len(page) > 500_000
    for run in result.runs:
        assert run.run_id in page


def test_an_earlier_report_is_replaced(result, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.png").write_bytes(b"")
    first = write_report(result, tmp_path, "x")
    # As if it had drawn one figure more.
    start_report(tmp_path, STUDY, [*(path.relative_to(tmp_path) for path in first), "figures/old.png"])
    (tmp_path / "figures" / "old.png").write_bytes(b"")
    write_report(result, tmp_path, "x")
    left = {p.name for p in (tmp_path / "figures").iterdir()}
    assert "old.png" not in left
    assert {"mine.png", "temperature.png"} <= left


def test_words(result):
    assert summary(result).startswith("9 runs (9 stationary); T = ")
    assert len(text_table(result).splitlines()) == 10


def test_a_study_with_nothing_in_it_is_still_reported(tmp_path):
    empty = StudyResult((RunResult("a", 0.1, 0, "no-snapshots", "", note="x"),), {"name": "oas"}, "interval", None)
    write_report(empty, tmp_path, "x")
    assert summary(empty) == "1 runs (none readable); no power law."
    assert "no-snapshots" in (tmp_path / "report.html").read_text()


def test_checks_in_words(result):
    lines = dict(check_lines(result))
    assert "not contradicted, p = " in lines["Is F minimised (U convex and rising in S)?"]
    assert "do within two standard errors" in lines["At temperatures measured without it, does each state minimise F?"]
    assert lines["Is the entropy identified?"].startswith("yes: isotropic")
