"""Texts of runs on a page."""

import os
from dataclasses import replace

from analysis.report.figures import study_figures, to_html_parts
from analysis.report.write import _page
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
    library, fragments = to_html_parts(study_figures(result))
    page = _page(result, EVIL, library, "".join(fragments.values()))
    page.encode("utf-8")
    shown = page[page.index("<h1>") :]
    assert "onerror" in shown
    assert r"\udcffrun\x1b[31m" in shown
    for begins in ("<img", "<!--", "<script>alert"):
        assert begins not in shown
        assert begins not in result._repr_html_().replace("<img alt=", "")
