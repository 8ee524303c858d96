"""Texts of strangers on a report, in a real browser: shown as text, and never run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_thermo import schema
from tests.browser import EVIL, RAN, needs_chromium, unharmed

pytestmark = [pytest.mark.slow, needs_chromium, pytest.mark.xdist_group("page")]

#: Goes over every mark of the figures with the pointer, and returns what the tooltips show.
HOVER = """
() => {
  const seen = new Set();
  for (const mark of document.querySelectorAll(".figure svg path")) {
    const box = mark.getBoundingClientRect();
    const at = {clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true};
    for (const kind of ["pointerover", "pointermove", "mouseover", "mousemove"]) {
      mark.dispatchEvent(new PointerEvent(kind, at));
    }
    const shown = document.getElementById("vg-tooltip-element");
    if (shown) seen.add(shown.innerHTML);
  }
  return [...seen];
}
"""


@pytest.fixture
def reported(study, store, tmp_path, monkeypatch):
    """Makes the report of an experiment, or of a folder, whose every text is hostile."""

    def run(*options):
        out = tmp_path / "out"
        done = subprocess.run(
            [sys.executable, "-m", "analysis.cli", "analyze", "--entropy", "oas", "--out", str(out), *options],
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
        return out / "report.html"

    return run


def check(browser, report, shown):
    """The report in the browser: title and tooltips, where nothing has run that was a text."""
    page = browser.new_page(viewport={"width": 1300, "height": 2600})
    page.goto(report.as_uri())
    # The script of the figures runs to its end.
    page.wait_for_function("document.querySelectorAll('.figure svg').length >= 3", timeout=60_000)
    tooltips = page.evaluate(HOVER)
    assert unharmed(page)
    assert page.locator("body img, body svg[onload], a[href^=javascript]").count() == 0
    assert shown in page.locator("body").inner_text()
    title, picture = page.title(), page.screenshot()
    page.close()
    assert len(picture) > 10_000
    return title, tooltips


def test_an_experiment(study, store, tmp_path, reported, browser):
    """Its name, the sweep's id, and names, tags and params of its runs; one of them has snapshots with bad names."""
    experiment = store.create_experiment("".join(EVIL[::2]), artifact_location=str(tmp_path / "kept"))
    sweep = " ".join(EVIL)
    for i, (folder, lr) in enumerate(zip(study.write_all(), study.lrs, strict=True)):
        tags = {schema.TAG_SWEEP: sweep, "mlflow.runName": EVIL[i % len(EVIL)], "mlflow.note.content": EVIL[0]}
        tags |= {f"tag {i}": EVIL[0], schema.TAG_REGIME: EVIL[0], schema.TAG_STATUS: EVIL[1]}
        run_id = study.log_run(store, experiment, folder, lr, tags=tags)
        store.log_param(run_id, "model", EVIL[2])
    # Its error quotes what is in the index.
    path = Path(store.get_run(run_id).info.artifact_uri) / schema.ARTIFACT_ROOT / schema.SPACED / schema.INDEX_NAME
    path.write_text(path.read_text().replace('"protocol":"fixed_lr"', f'"protocol":{json.dumps(EVIL[0])}'))
    title, tooltips = check(browser, reported("--experiment", "".join(EVIL[::2])), EVIL[0])
    assert title == f"{''.join(EVIL[::2])}: sweep {sweep}"
    assert any("lr" in one for one in tooltips)


def test_a_folder(study, reported, browser):
    """The names of its runs, which are ids on the page and in the tooltips."""
    name = f'<img src=x onerror="{RAN}"><svg onload="{RAN}">'
    for i, folder in enumerate(study.write_all()):
        folder.rename(study.root / f"{name}{i}")
    page = reported("--folder", str(study.root))
    _, tooltips = check(browser, page, name)
    # Shown as they are, and as text.
    assert any("&lt;img src=x" in one for one in tooltips)
    assert not any("<img" in one or "<svg" in one for one in tooltips)
