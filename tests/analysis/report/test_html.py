"""The page as a file: its size, its figures' data, its headings, and the document that explains it."""

import io
import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from PIL import Image

from analysis.report.captions import CAPTIONS
from analysis.report.figures import to_html_parts, to_png
from analysis.report.folder import NAMES, STUDY
from analysis.report.page import page
from analysis.results import REMEDIES
from tests.analysis.report.studies import KINDS, study_of

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def nine():
    return study_of(9, 1)


@pytest.mark.parametrize("kind", ["sixty", "sixty learning rates"])
def test_a_page_is_below_two_megabytes(kind):
    study = KINDS[kind]()
    text = page(study, "x", study.figures())
    assert len(text.encode()) < 2 * MEGABYTE


def test_what_cannot_be_told_apart_is_not_drawn():
    """However many log points a run has."""
    (few, _), (many, _) = (to_html_parts(study_of(3, 1, n_points).figures()) for n_points in (100, 5000))
    assert len(many) < 1.1 * len(few)


def test_a_page_without_figures_carries_no_library():
    study = KINDS["refused"]()
    text = page(study, "x", study.figures())
    assert len(text.encode()) < 0.02 * MEGABYTE
    for run in study.runs:
        assert run.note in text


def tables_of(library):
    return json.loads(re.search(r"^const thermoTables = (.*);$", library, re.MULTILINE)[1])


def test_each_table_is_there_once_and_whole(nine):
    library, fragments = to_html_parts(nine.figures())
    tables = tables_of(library)
    used = [name for one in fragments.values() for name in re.findall(r'"(data-[0-9a-f]+)"', one)]
    assert set(tables) == set(used)
    # In the head alone: a fragment names its tables and holds no row.
    assert "datasets" not in "".join(fragments.values())
    assert nine.runs[0].run_id not in "".join(fragments.values())


def test_no_value_lies_outside_of_its_scale(nine):
    """Rounded in the tables and not in the scales, lines of most learning rates would not be drawn."""
    library, fragments = to_html_parts(nine.figures())
    tables = tables_of(library)
    for name in ("loss_course", "signal_course", "noise_law"):
        spec = json.loads(re.search(r'"thermo-figure">(.*)</script>', fragments[name])[1])["spec"]
        drawn = next(layer for layer in spec["layer"] if "color" in layer["encoding"])["encoding"]["color"]
        known = [lrs for one in tables.values() if "lr" in one and isinstance((lrs := one["lr"][0]), list)]
        assert drawn["scale"]["domain"] in known, name


def test_headings_go_down_by_one_and_tables_say_what_they_are(nine):
    text = page(nine, "x", nine.figures())
    body = text[text.index("<body>") : text.index('<script id="library">')]
    levels = [int(level) for level in re.findall(r"<h([1-6])", body)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    tables = re.findall(r"<table.*?</table>", body, re.DOTALL)
    assert len(tables) == 5
    for table in tables:
        assert "<caption>" in table
        assert "<thead>" in table
        assert 'scope="col"' in table
    assert body.count("<figcaption>") == len(nine.figures())
    # A status is a sign and a word, not a colour alone.
    assert body.count('<span aria-hidden="true">●</span> ok') == 4 * 9


def test_a_remedy_is_said_once_and_other_notes_beside_their_runs():
    study = KINDS["mixed"]()
    runs = tuple(replace(run, note=run.note or REMEDIES[run.status]) for run in study.runs)
    text = page(replace(study, runs=runs), "x", {})
    assert text.count(REMEDIES["imprecise"]) == 1
    assert text.count("the loss still drifts: train longer") == 1
    # Of two runs.
    assert text.count("<dd>T is infinite</dd>") == 1


def test_the_answer_comes_first(nine):
    text = page(nine, "x", nine.figures())
    body = text[text.index("<body>") :]
    order = ["class=\"answer\"", "class=\"trust\"", "class=\"short\"", 'id="figure-temperature"', 'id="states"',
             'id="checks"', 'id="course"', 'id="notes"', 'id="method"', 'id="library"']  # fmt: skip
    places = [body.index(part) for part in order]
    assert places == sorted(places)


def test_every_figure_has_words_and_a_file_of_its_own():
    drawn = {name for kind in KINDS.values() for name in kind().figures()}
    assert drawn <= set(CAPTIONS)
    assert {f"figures/{name}.png" for name in CAPTIONS} <= set(NAMES[STUDY])


def test_a_picture_is_black_on_white(nine):
    """What is the colour of the text on a page must not vanish on paper."""
    picture = Image.open(io.BytesIO(to_png(nine.figures()["loss"]))).convert("RGB")
    assert picture.getpixel((1, 1)) == (255, 255, 255)
    assert (0, 0, 0) in {color for _, color in picture.getcolors(1 << 20)}
