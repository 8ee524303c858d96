"""A report's folder belongs to its owner: only what a report wrote is replaced and uploaded."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from analysis.report.folder import ACCURACY, NAMES, STUDY, new_report, report_files, require_folder
from mlflow_thermo.disk import DiskError
from mlflow_thermo.errors import ThermoError


def write(folder, *names):
    with new_report(folder, STUDY, names) as staged:
        for name in names:
            (staged / name).parent.mkdir(exist_ok=True)
            (staged / name).write_text(name)


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
    write(tmp_path)
    assert names(tmp_path) == [".thermo-study.json", "report.html"]
    assert (tmp_path / "report.html").read_text() == "report.html"


def test_nothing_outside_is_touched(tmp_path):
    (tmp_path / "mine").write_text("x")
    write(tmp_path / "out", "report.html")
    (tmp_path / "out" / ".thermo-study.json").write_text(json.dumps(["../mine", str(tmp_path / "mine")]))
    write(tmp_path / "out")
    assert (tmp_path / "mine").exists()


def test_reports_of_two_kinds_share_a_folder(tmp_path):
    write(tmp_path, "report.html")
    with new_report(tmp_path, ACCURACY, ["accuracy.md"]) as staged:
        (staged / "accuracy.md").write_text("x")
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
    write(tmp_path / "out", "report.html")
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
    for refuse in (lambda: require_folder(tmp_path, STUDY), lambda: write(tmp_path, *NAMES[STUDY])):
        with pytest.raises(ThermoError, match=f"{name} was not written by an earlier report .*: move it away, or"):
            refuse()
    assert names(tmp_path) == [name]
    require_folder(tmp_path, ACCURACY)


def test_figures_that_is_a_file(tmp_path):
    (tmp_path / "figures").write_text("mine")
    with pytest.raises(ThermoError, match="figures is not a folder"):
        require_folder(tmp_path, STUDY)


def test_a_report_that_breaks_off_leaves_the_earlier_one(tmp_path):
    write(tmp_path, "report.html", "figures/a.png")
    before = {name: (tmp_path / name).read_text() for name in names(tmp_path)}

    def breaks_off():
        with new_report(tmp_path, STUDY, ["report.html"]) as staged:
            (staged / "report.html").write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskError, match=r"the report cannot be written to .*: the disk is full: free some space"):
        breaks_off()
    assert {name: (tmp_path / name).read_text() for name in names(tmp_path)} == before


def test_a_full_disk_leaves_the_earlier_report(small_disk):
    out = small_disk.folder / "out"
    write(out, "report.html", "figures/a.png")
    small_disk.fill()
    with pytest.raises(DiskError, match="the disk is full"):
        write(out, "report.html", "result.json")
    assert names(out) == [".thermo-study.json", "figures/a.png", "report.html"]
    assert (out / "report.html").read_text() == "report.html"


def test_what_was_killed_while_it_took_its_place_is_replaced(tmp_path, monkeypatch):
    """Whatever was done by then belongs to a report."""
    moved = os.replace

    def killed(source, target):
        if Path(target).name == "report.html":
            raise KeyboardInterrupt
        moved(source, target)

    write(tmp_path, "figures/old.png")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "replace", killed)
        write(tmp_path, "figures/new.png", "report.html")
    assert names(tmp_path) == [".thermo-study.json", "figures/new.png", "figures/old.png"]
    write(tmp_path, "report.html")
    assert names(tmp_path) == [".thermo-study.json", "report.html"]


def test_reports_that_take_their_place_at_once_do_not_mix(tmp_path):
    """Of twenty whole reports one stays, with all of its files and none of another's."""

    def one(number):
        own = ["report.html", "result.json", f"figures/{number}.png"]
        with new_report(tmp_path, STUDY, own) as staged:
            (staged / "figures").mkdir()
            for name in own:
                (staged / name).write_text(str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(20)))
    found = {name: (tmp_path / name).read_text() for name in names(tmp_path) if not name.startswith(".")}
    (last,) = set(found.values())
    assert set(found) == {"report.html", "result.json", f"figures/{last}.png"}
    assert set(found) == {path.relative_to(tmp_path).as_posix() for path in report_files(tmp_path, STUDY)}


@pytest.mark.parametrize("make", [require_folder, write])
def test_not_a_folder(tmp_path, make):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ThermoError, match="cannot be written .*: choose another folder"):
            make(path)
