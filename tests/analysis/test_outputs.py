"""A report's folder belongs to its owner: only what a report wrote is replaced and uploaded."""

import json

import pytest

from analysis.outputs import ACCURACY, STUDY, end_report, report_files, require_folder, start_report
from mlflow_thermo.schema import ThermoError


def write(folder, *names):
    start_report(folder, STUDY)
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    end_report(folder, STUDY, [folder / name for name in names])


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_only_the_files_of_the_earlier_report_are_replaced(tmp_path):
    (tmp_path / "figures").mkdir()
    for mine in ("figures/mine.png", "thesis.tex"):
        (tmp_path / mine).write_text("years of work")
    write(tmp_path, "report.html", "figures/old.png")
    write(tmp_path, "report.html", "figures/new.png")
    kept = [name for name in names(tmp_path) if not name.startswith(".")]
    assert kept == ["figures/mine.png", "figures/new.png", "report.html", "thesis.tex"]
    assert [path.name for path in report_files(tmp_path, STUDY)] == ["new.png", "report.html"]


@pytest.mark.parametrize("content", ["", "[", "{}", "3", "[3, null]", '["a\\u0000b"]', "nul\0"])
def test_a_list_that_is_not_one(tmp_path, content):
    write(tmp_path, "report.html")
    (tmp_path / ".thermo-study.json").write_text(content)
    assert report_files(tmp_path, STUDY) == []
    start_report(tmp_path, STUDY)
    assert names(tmp_path) == ["report.html"]


def test_nothing_outside_is_touched(tmp_path):
    (tmp_path / "mine").write_text("x")
    write(tmp_path / "out", "report.html")
    (tmp_path / "out" / ".thermo-study.json").write_text(json.dumps(["../mine", str(tmp_path / "mine")]))
    start_report(tmp_path / "out", STUDY)
    assert (tmp_path / "mine").exists()


def test_reports_of_two_kinds_share_a_folder(tmp_path):
    write(tmp_path, "report.html")
    start_report(tmp_path, ACCURACY)
    (tmp_path / "accuracy.md").write_text("x")
    end_report(tmp_path, ACCURACY, [tmp_path / "accuracy.md"])
    write(tmp_path, "report.html")
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["accuracy.md", "report.html"]


def test_a_folder_of_figures_that_is_elsewhere(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "figures").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "out", "figures/a.png")
    assert [path.name for path in report_files(tmp_path / "out", STUDY)] == ["a.png"]


@pytest.mark.parametrize("make", [require_folder, lambda path: start_report(path, STUDY)])
def test_not_a_folder(tmp_path, make):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ThermoError, match="cannot be written .*: choose another folder"):
            make(path)
