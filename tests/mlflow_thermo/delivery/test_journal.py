"""The journal: what is in it survives its program, and what is not of ours is refused."""

import json
import math
import os

import pytest

from mlflow_thermo import ThermoError
from mlflow_thermo.delivery.journal import END, INPUTS, JOURNAL, METRICS, TAGS, Journal

POINT = ["loss", 1.5, 1_700_000_000_000, 7]
DATA = {"name": "tiny", "digest": "0", "source_type": "code", "source": "{}", "schema": None}


def bodies(journal):
    return [entry.body for entry in journal.peek(100)]


def reopened(journal):
    """As the next program finds it: the lock goes with a process."""
    journal._alone.release()
    return Journal(journal.folder)


def test_a_killed_program_leaves_its_entries_in_their_order(tmp_path):
    journal = Journal(tmp_path, "abc")
    journal.append(METRICS, [POINT])
    journal.append(TAGS, {"a": "b"})
    journal.append(INPUTS, [[DATA, {"c": "d"}]])
    journal.append(END, ["FINISHED", 1])
    found = reopened(journal)
    assert found.run_id == "abc"
    assert bodies(found) == [[POINT], {"a": "b"}, [[DATA, {"c": "d"}]], ["FINISHED", 1]]
    found.delivered(found.peek(3))
    again = reopened(found)
    assert bodies(again) == [["FINISHED", 1]]
    again.append(TAGS, {"c": "d"})
    assert bodies(reopened(again)) == [["FINISHED", 1], {"c": "d"}]


def test_nan_survives(tmp_path):
    journal = Journal(tmp_path, "abc")
    journal.append(METRICS, [["loss", math.nan, 1, 2]])
    assert math.isnan(bodies(reopened(journal))[0][0][1])


def test_a_line_that_was_cut_off_is_forgotten(tmp_path):
    journal = Journal(tmp_path, "abc")
    journal.append(METRICS, [POINT])
    with (tmp_path / JOURNAL / "journal.jsonl").open("ab") as file:
        file.write(b'["metrics", [["loss", 2.')
    found = reopened(journal)
    found.append(TAGS, {"a": "b"})
    assert bodies(reopened(found)) == [[POINT], {"a": "b"}]


def test_one_program_at_a_time(tmp_path):
    first = Journal(tmp_path, "abc")
    with pytest.raises(ThermoError, match="another program"):
        Journal(tmp_path, "abc")
    first.close()
    Journal(tmp_path, "abc").close()


def test_another_run(tmp_path):
    Journal(tmp_path, "abc").close()
    with pytest.raises(ThermoError, match="holds what is to be delivered to run abc, not to def"):
        Journal(tmp_path, "def")


def test_a_folder_without_a_journal(tmp_path):
    with pytest.raises(ThermoError, match="holds nothing to be delivered"):
        Journal(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        ["file", ["../../secret", "thermo", "0" * 64, "keep"]],
        ["file", ["/etc/passwd", "thermo", "0" * 64, "delete"]],
        ["file", ["spaced/index.json", "../x", "0" * 64, "keep"]],
        ["file", ["spaced/index.json", "thermo", "0" * 64, "chmod"]],
        ["file", ["spaced/index.json", "thermo"]],
        ["metrics", [["loss", "1", 2, 3]]],
        ["metrics", 5],
        ["tags", {"a": 1}],
        ["inputs", [[{}, {}]]],
        ["inputs", [[{**DATA, "place": "/etc"}, {}]]],
        ["inputs", [[{**DATA, "name": None}, {}]]],
        ["inputs", [[{**DATA, "schema": 1}, {}]]],
        ["inputs", [[DATA, {"a": 1}]]],
        ["end", ["RUNNING", 1]],
        ["end", "FINISHED"],
        ["run", "x/../y"],
        ["shell", "rm"],
        "text",
        {"a": 1},
        None,
    ],
)
def test_a_journal_from_a_stranger_is_refused(tmp_path, line):
    Journal(tmp_path, "abc").close()
    with (tmp_path / JOURNAL / "journal.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(ThermoError, match="is no journal of a recording"):
        Journal(tmp_path)


def test_a_disk_that_takes_no_more(tmp_path, caplog):
    """Entries then wait in memory, and those on disk stay an unbroken beginning."""
    journal = Journal(tmp_path, "abc")
    journal.append(METRICS, [POINT])
    os.close(journal._file)
    journal._file = os.open("/dev/full", os.O_WRONLY)
    journal.append(TAGS, {"a": "b"})
    journal.append(TAGS, {"c": "d"})
    assert bodies(journal) == [[POINT], {"a": "b"}, {"c": "d"}]
    assert caplog.text.count("waits in memory") == 1
    assert bodies(reopened(journal)) == [[POINT]]
