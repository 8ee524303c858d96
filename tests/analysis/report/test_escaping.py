"""Texts of runs on a page."""

import csv
import os
from dataclasses import replace

import pytest

from analysis.report.figures import study_figures
from analysis.report.page import page
from analysis.report.write import write_report
from analysis.study import StudyConfig, analyze
from analysis.tracking import from_folder

EVIL = "<!--<script>alert(1)<img src=x onerror=alert(1)>"


def test_no_text_of_a_run_is_code(study):
    """Names, notes and titles with markup, in the script of the figures too, and a name that is no text."""
    study.lrs = study.lrs[::2]
    for i, folder in enumerate(study.write_all()):
        folder.rename(study.root / f"{EVIL}{i}")
    os.rename(os.fsencode(study.root / f"{EVIL}0"), os.fsencode(study.root) + b"/\xffrun\x1b[31m")
    result = replace(analyze(from_folder(study.root), StudyConfig(entropy="oas")), notes=(EVIL,))
    text = page(result, EVIL, study_figures(result))
    text.encode("utf-8")
    # Without the library of the figures, behind which their tables stand.
    shown = text[text.index("<body>") : text.index('<script id="library">')] + text[text.index("const thermoTables") :]
    assert "onerror" in shown
    assert r"\udcffrun\x1b[31m" in shown
    for begins in ("<img", "<!--", "<script>alert"):
        assert begins not in shown
        assert begins not in result._repr_html_().replace("<img alt=", "")


@pytest.mark.parametrize("begins", ["=", "+", "-", "@"])
def test_no_name_of_a_run_is_a_formula(study, tmp_path, begins):
    """A spreadsheet computes what a cell begins with; numbers, also negative ones, stay numbers."""
    study.lrs = study.lrs[::2]
    names = [f"{begins}HYPERLINK(1+{i})" for i in range(len(study.lrs))]
    for name, folder in zip(names, study.write_all(), strict=True):
        folder.rename(study.root / name)
    write_report(analyze(from_folder(study.root), StudyConfig(entropy="oas")), tmp_path / "out", "x")
    with (tmp_path / "out" / "temperature.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["run_id"] for row in rows] == [f"'{name}" for name in names]
    assert min(float(row["entropy"]) for row in rows) < 0
    for row in rows:
        for name, text in row.items():
            assert not text.startswith(tuple("=+@\t\r")), name
            if text.startswith("-"):
                assert float(text) < 0
