"""result.json, the table, the page and its figures."""

import base64
import csv
import io
import json
import re
import struct
from html import escape

import numpy as np
import pytest

from analysis.report import STUDY, figure_named, new_report, summary, text_table, write_report
from analysis.report.answer import trust
from analysis.report.checks import check_lines
from analysis.report.folder import NAMES
from analysis.report.numbers import in_words
from analysis.results import (
    NORMAL_95,
    RESULT_SCHEMA_VERSION,
    RUN_COLUMNS,
    Baselines,
    Boundary,
    Branches,
    BrokenLawCheck,
    Course,
    Estimate,
    EstimatorUsed,
    GradientCourse,
    IdentifiabilityCheck,
    LeaveOneOutCheck,
    RunResult,
    SeedsCheck,
    StudyChecks,
    StudyResult,
)
from analysis.study import analyze
from analysis.tracking import from_folder
from mlflow_thermo.errors import ThermoError
from tests.analysis.conftest import Study


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    study = Study(tmp_path_factory.mktemp("runs"))
    for folder, lr in zip(study.write_all(), study.lrs, strict=True):
        study.write_series(folder, lr, *study.samples(lr), series="consecutive")
    return analyze(from_folder(study.root))


def test_writes_everything(result, tmp_path):
    out = tmp_path / "out"
    written = write_report(result, out, "A <study>")
    # Whatever stands in the way of one of them is seen before the analysis.
    assert {path.relative_to(out).as_posix() for path in written} <= set(NAMES[STUDY])
    assert {p.name for p in written} == {
        "result.json", "temperature.csv", "report.html", "loss.png", "entropy.png", "temperature.png",
        "free_energy.png", "paper_entropy.png", "n_eff.png",
    }  # fmt: skip
    raw = json.loads((out / "result.json").read_text())
    assert raw["schema_version"] == RESULT_SCHEMA_VERSION
    assert {"run_id", "lr", "seed", "loss", "loss_stderr", "entropy", "entropy_stderr", "temperature",
            "temperature_lower", "temperature_upper", "n_eff", "status", "regime"} <= set(raw["runs"][0])  # fmt: skip
    assert {"exponent", "exponent_stderr", "prefactor", "lr_min", "lr_max"} <= set(raw["power_law"])
    assert raw["estimator"]["name"]
    rows = list(csv.DictReader(io.StringIO((out / "temperature.csv").read_text())))
    assert [float(r["temperature"]) for r in rows] == [r.temperature.value for r in result.runs]
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
    # One that has drawn another figure.
    with new_report(tmp_path, STUDY, ["figures/old.png"]) as staged:
        (staged / "figures").mkdir()
        (staged / "figures" / "old.png").write_bytes(b"")
    write_report(result, tmp_path, "x")
    left = {p.name for p in (tmp_path / "figures").iterdir()}
    assert "old.png" not in left
    assert {"mine.png", "temperature.png"} <= left


def test_words(result):
    assert summary(result).startswith("9 runs (9 stationary); T = ")
    assert len(text_table(result).splitlines()) == 10


def test_a_study_with_nothing_in_it_is_still_reported(tmp_path):
    empty = StudyResult((RunResult("a", 0.1, 0, "no-snapshots", "", note="x"),), EstimatorUsed("oas"), "interval")
    write_report(empty, tmp_path, "x")
    assert summary(empty) == "1 runs (none readable); no power law."
    assert "no-snapshots" in (tmp_path / "report.html").read_text()


def test_checks_in_words(result):
    lines = dict(check_lines(result))
    assert "not contradicted, p = " in lines["Is F minimised (U convex and rising in S)?"]
    assert "do within two standard errors" in lines["At temperatures measured without it, does each state minimise F?"]
    assert lines["Is the entropy identified?"].startswith("yes: isotropic")


class TestNotebook:
    def test_the_answer_a_picture_and_a_row_for_each_run(self, result):
        page = result._repr_html_()
        parts = ("<b>T rises with the learning rate", trust(result), "<img", "<table")
        places = [page.index(part) for part in parts]
        assert places == sorted(places)
        assert escape(summary(result)) in page.replace("&#39;", "&#x27;")
        png = base64.b64decode(re.search(r'src="data:image/png;base64,([^"]+)"', page).group(1))
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert page.count("<tr>") == 1 + len(result.runs)
        for run in result.runs:
            found = in_words(run.temperature)
            assert f"<td>{found.value}</td><td>{found.interval}</td><td>{run.status}</td>" in page

    def test_without_temperatures_there_is_no_picture_and_words_are_escaped(self):
        runs = (RunResult("a", 0.1, 0, "corrupt", "<b>"),)
        page = StudyResult(runs, EstimatorUsed("oas"), "interval")._repr_html_()
        assert "<img" not in page
        assert "&lt;b&gt;" in page


def drawn(chart, *columns):
    """The rows of a chart's data that has the first of these columns."""
    sets = chart.to_dict()["datasets"].values()
    return next([[row[name] for name in columns] for row in rows] for rows in sets if columns[0] in rows[0])


class TestFigures:
    def test_methods_give_the_charts_of_the_report(self, result):
        charts = result.figures()
        assert set(charts) == {"loss", "entropy", "temperature", "free_energy", "paper_entropy", "n_eff"}
        for name in ("loss", "entropy", "temperature", "free_energy"):
            assert getattr(result, f"plot_{name}")().to_dict()["title"] == charts[name].to_dict()["title"]

    def test_one_that_does_not_exist(self):
        runs = (RunResult("a", 0.1, 0, "ok", "stationary", loss=Estimate(0.5)),)
        only_loss = StudyResult(runs, EstimatorUsed("oas"), "convex")
        assert set(only_loss.figures()) == {"loss"}
        with pytest.raises(ThermoError, match="this study has no figure 'temperature': it has loss$"):
            only_loss.plot_temperature()
        with pytest.raises(ThermoError, match="has no figure 'loss': it has none"):
            figure_named(StudyResult((), EstimatorUsed("oas"), "convex"), "loss")

    def test_bars_are_the_intervals_of_the_estimates(self):
        told, normal, bare = Estimate(1.0, 0.1, 0.5, 1.1), Estimate(1.0, 0.1), Estimate(1.0)
        runs = tuple(
            RunResult(str(i), 0.1 * i, 0, "ok", "stationary", loss=loss)
            for i, loss in enumerate((told, normal, bare), start=1)
        )
        chart = StudyResult(runs, EstimatorUsed("oas"), "convex").plot_loss()
        half = 0.1 * NORMAL_95
        np.testing.assert_allclose(drawn(chart, "low", "high"), [[0.5, 1.1], [1 - half, 1 + half], [1, 1]])

    def test_the_band_of_the_temperature_is_its_interval(self, result):
        rows = drawn(result.plot_temperature(), "low", "high", "estimate")
        band = [row[:2] for row in rows if row[2] == "T = dU/dS"]
        assert band == [[run.temperature.lower, run.temperature.upper] for run in result.runs]
        assert all(low < run.temperature.value < high for run, (low, high) in zip(result.runs, band, strict=True))


def test_a_frame_has_a_row_a_run_and_numbers_in_its_columns(result):
    frame = result.to_frame()
    assert [*frame.columns[: len(RUN_COLUMNS)]] == [*RUN_COLUMNS]
    assert frame["temperature"].tolist() == [run.temperature.value for run in result.runs]
    assert frame["paper_entropy"].tolist() == [run.paper.entropy for run in result.runs]
    assert frame["late_temperature"].isna().all()
    assert {str(frame[name].dtype) for name in ("loss", "n_eff", "late_temperature")} == {"float64"}
    assert StudyResult((), EstimatorUsed("oas"), "convex").to_frame().empty
    large = StudyResult((RunResult("a", 0.1, 2**63 + 1, "ok", ""),), EstimatorUsed("oas"), "convex")
    assert large.to_frame()["seed"].tolist() == [2**63 + 1]


def test_words_of_every_check():
    checks = StudyChecks(
        branches=Branches(
            Boundary("converging", "uniform", 0.1, 0.05, 0.2, 0), Boundary("converging", "uniform", 0.1, 0.05, 0.2, 0),
            stationary_range=(0.01, 0.1), beyond=("the change lies below",),
        ),
        identifiability=IdentifiabilityCheck("unidentified", None, 30, 4),
        convexity_p_value=0.01, leave_one_out=LeaveOneOutCheck(7, 2, 1), consistency=0.98,
        consistency_equipartition=1.02, robust_exponent=1.1,
        segmented=BrokenLawCheck(True, 0.1, 1.0, 2.0, None, None), seeds=SeedsCheck(1.0, 0.1, 0.8, 1.2, 5),
    )  # fmt: skip
    level = Baselines(loss=2.3, entropy=17.5, paper_entropy=3.25)
    assert check_lines(StudyResult((), EstimatorUsed("oas"), "convex", checks=checks, baselines=level)) == [
        (
            "Is the entropy identified?",
            "no: isotropic, shared-subspace (q = 4) and shrunk entropies of D = 30 differ by - in their changes",
        ),
        ("Is F minimised (U convex and rising in S)?", "contradicted by the data, p = 0.010"),
        (
            "At temperatures measured without it, does each state minimise F?",
            "5 of 7 do within two standard errors",
        ),
        ("∫ dU/T against S, by these temperatures", "slope 0.980 (1 is consistent)"),
        ("∫ dU/T against S, by equipartition temperatures", "slope 1.020 (1 is consistent)"),
        ("Exponent by Huber's robust regression", "1.100"),
        ("Do two power laws fit better (BIC)?", "yes, at lr = 0.1: 1.00 below, 2.00 above"),
        ("Exponent over 5 seeds (cluster bootstrap)", "1.000 ± 0.100"),
        ("Where does converging give way to uniform?", "at lr = 0.1, 95 % interval 0.05 to 0.2"),
        ("Other changes of regime", "the change lies below"),
        ("Stationary range, which all fits take", "lr from 0.01 to 0.1"),
        ("Uniformly random weights have", "U = 2.3, S = 17.5, 3.25 by the paper's graph"),
    ]
    assert check_lines(StudyResult((), EstimatorUsed("oas"), "convex")) == []


class TestCourses:
    STEPS = np.array([10, 100, 1000])

    def run(self, lr, regime, lower=(0.5, -0.1, np.nan)):
        three = np.array([3.0, 2.0, 1.0]) * lr
        course = Course(
            self.STEPS, 20, three, 0.1 * three, -three, 0.1 * three, three, np.array(lower) * lr, 2 * three, 2 * three,
            three,
        )  # fmt: skip
        gradients = GradientCourse(self.STEPS, three, 2 * three, 0.1 * three, 0.5 * three, 0.1 * three, three)
        return RunResult(f"run {lr}", lr, 0, "ok", regime, course=course, gradients=gradients)

    def test_names_and_columns(self):
        runs = (self.run(0.1, "stationary"), self.run(0.2, "converging"), RunResult("c", 0.3, 0, "corrupt", ""))
        level = Baselines(loss=2.3, course_entropy=17.5)
        charts = StudyResult(runs, EstimatorUsed("oas"), "convex", baselines=level).figures()
        assert set(charts) == {
            "loss_course", "entropy_course", "paper_entropy_course", "temperature_course", "paper_temperature_course",
            "signal_course", "gradient_course", "noise_law",
        }  # fmt: skip
        rows = drawn(charts["loss_course"], "step", "value", "lr", "regime")
        np.testing.assert_allclose([row[:3] for row in rows[:3]], [[10, 0.3, 0.1], [100, 0.2, 0.1], [1000, 0.1, 0.1]])
        assert [row[3] for row in rows] == ["stationary"] * 3 + ["converging"] * 3
        assert drawn(charts["loss_course"], "uniform") == [[2.3]]
        assert drawn(charts["entropy_course"], "uniform") == [[17.5]]

    def test_the_band_of_a_converging_run_is_its_interval(self):
        """Down to the foot of the log axis where it reaches zero, and at the point where there is none."""
        charts = StudyResult((self.run(0.2, "converging"),), EstimatorUsed("oas"), "convex").figures()
        rows = drawn(charts["temperature_course"], "foot", "value", "head")
        np.testing.assert_allclose(rows, [[0.1, 0.6, 1.2], [0.2 / 3, 0.4, 0.8], [0.2, 0.2, 0.4]])
