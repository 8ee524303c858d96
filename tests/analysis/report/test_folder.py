"""A report's folder belongs to its owner: only what a report wrote is replaced and uploaded."""

import json

import pytest

from analysis.report.folder import ACCURACY, NAMES, STUDY, report_files, require_folder, start_report
from mlflow_thermo.errors import ThermoError


def write(folder, *names):
    start_report(folder, STUDY, names)
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)


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
    # Nobody knows any more whose page it is.
    with pytest.raises(ThermoError, match="report.html was not written by an earlier report"):
        write(tmp_path, "report.html")
    start_report(tmp_path, STUDY, [])
    assert names(tmp_path) == [".thermo-study.json", "report.html"]
    assert (tmp_path / "report.html").read_text() == "report.html"


def test_nothing_outside_is_touched(tmp_path):
    (tmp_path / "mine").write_text("x")
    write(tmp_path / "out", "report.html")
    (tmp_path / "out" / ".thermo-study.json").write_text(json.dumps(["../mine", str(tmp_path / "mine")]))
    start_report(tmp_path / "out", STUDY, [])
    assert (tmp_path / "mine").exists()


def test_reports_of_two_kinds_share_a_folder(tmp_path):
    write(tmp_path, "report.html")
    start_report(tmp_path, ACCURACY, ["accuracy.md"])
    (tmp_path / "accuracy.md").write_text("x")
    write(tmp_path, "report.html")
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["accuracy.md", "report.html"]


@pytest.mark.parametrize("there", ["a.png", "b.png"])
def test_a_folder_of_figures_that_is_elsewhere(tmp_path, there):
    """Whether the list names the file or not: nothing is written, removed or uploaded through the link."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / there).write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".thermo-study.json").write_text('["figures/a.png"]')
    (tmp_path / "out" / "figures").symlink_to(tmp_path / "elsewhere")
    assert report_files(tmp_path / "out", STUDY) == []
    with pytest.raises(ThermoError, match="figures is a link that leads out of the folder .*: move it away, or"):
        write(tmp_path / "out", "figures/a.png")
    start_report(tmp_path / "out", STUDY, ["report.html"])
    assert {path.name: path.read_text() for path in (tmp_path / "elsewhere").iterdir()} == {there: "mine"}


@pytest.mark.parametrize("name", ["report.html", ".thermo-study.json"])
def test_a_file_that_is_a_link_elsewhere(tmp_path, name):
    (tmp_path / "mine").write_text('["report.html"]')
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".thermo-study.json").write_text('["report.html"]')
    (tmp_path / "out" / name).unlink(missing_ok=True)
    (tmp_path / "out" / name).symlink_to(tmp_path / "mine")
    if name == "report.html":
        assert report_files(tmp_path / "out", STUDY) == []
        with pytest.raises(ThermoError, match="report.html was not written by an earlier report"):
            write(tmp_path / "out", "report.html")
    else:
        write(tmp_path / "out", "report.html")
    assert (tmp_path / "mine").read_text() == '["report.html"]'


def test_a_folder_that_is_a_link_and_one_that_links_within_itself(tmp_path):
    (tmp_path / "disk" / "pictures").mkdir(parents=True)
    (tmp_path / "disk" / "figures").symlink_to("pictures")
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    for _ in range(2):
        write(tmp_path / "out", "report.html", "figures/a.png")
        assert [path.name for path in report_files(tmp_path / "out", STUDY)] == ["a.png", "report.html"]


@pytest.mark.parametrize("name", ["report.html", "result.json", "temperature.csv", "figures/temperature.png"])
def test_a_file_that_no_report_has_written_stays(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    for refuse in (lambda: require_folder(tmp_path, STUDY), lambda: start_report(tmp_path, STUDY, NAMES[STUDY])):
        with pytest.raises(ThermoError, match=f"{name} was not written by an earlier report .*: move it away, or"):
            refuse()
    assert names(tmp_path) == [name]
    require_folder(tmp_path, ACCURACY)


def test_figures_that_is_a_file(tmp_path):
    (tmp_path / "figures").write_text("mine")
    with pytest.raises(ThermoError, match="figures is not a folder"):
        require_folder(tmp_path, STUDY)


def test_a_report_that_broke_off_is_replaced(tmp_path):
    start_report(tmp_path, STUDY, ["report.html", "figures/a.png"])
    (tmp_path / "report.html").write_text("half")
    write(tmp_path, "report.html")
    assert (tmp_path / "report.html").read_text() == "report.html"


@pytest.mark.parametrize("make", [require_folder, lambda path: start_report(path, STUDY, [])])
def test_not_a_folder(tmp_path, make):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ThermoError, match="cannot be written .*: choose another folder"):
            make(path)
