"""Texts of runs on a page."""

from dataclasses import replace

from analysis.report import write_report
from analysis.study import StudyConfig, analyze
from analysis.tracking import from_folder


def test_no_text_of_a_run_is_code(study, tmp_path):
    """Names, notes and titles with markup, also inside of the script that draws the figures."""
    evil = "<!--<script>alert(1)<img src=x onerror=alert(1)>"
    for i, folder in enumerate(study.write_all()):
        folder.rename(study.root / f"{evil.replace('/', '')}{i}")
    result = analyze(from_folder(study.root), StudyConfig())
    result = replace(result, notes=(evil,))
    write_report(result, tmp_path / "out", evil)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    shown = page[page.index("<h1>") :]
    assert "onerror" in shown
    assert "<img" not in shown
    assert "<!--" not in shown
    assert "<script>alert" not in shown
    assert "<img src=x" not in result._repr_html_()
