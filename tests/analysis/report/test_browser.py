"""Texts of strangers on a report, in a real browser: shown as text, and never run."""

import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_thermo import schema

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]

RAN = "document.title='pwned';document.documentElement.dataset.pwned=1"
#: In names of runs and experiments, tags, params; a folder's name has no slash.
EVIL = (
    f"<script>{RAN}</script>",
    f'<img src=x onerror="{RAN}">',
    f"</script><script>{RAN}</script>",
    f"[click](javascript:{RAN})",
    "{{ 7 * 7 }}${7 * 7}",
)
#: Goes over every mark of the figures with the pointer, and keeps what the tooltips show.
HOVER = """
<pre id="tooltips"></pre><script>
const seen = new Set();
function sweep() {
  for (const mark of document.querySelectorAll(".figure svg path")) {
    const box = mark.getBoundingClientRect();
    const at = {clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true};
    for (const kind of ["pointerover", "pointermove", "mouseover", "mousemove"]) {
      mark.dispatchEvent(new PointerEvent(kind, at));
    }
    const shown = document.getElementById("vg-tooltip-element");
    if (shown) seen.add(shown.innerHTML);
  }
  document.getElementById("tooltips").textContent = JSON.stringify([...seen]);
}
setTimeout(sweep, 3000);
</script>
"""


def browsed(page, *options):
    """What a browser makes of a page after ten seconds of its own time."""
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1300,2600",
        "--virtual-time-budget=10000", *options, page.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.fixture
def reported(study, store, tmp_path, monkeypatch):
    """Makes the report of an experiment, or of a folder, whose every text is hostile."""

    def run(*options):
        out = tmp_path / "out"
        done = subprocess.run(
            [sys.executable, "-m", "analysis.cli", "analyze", "--entropy", "oas", "--out", str(out), *options],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
        return out / "report.html"

    return run


def check(page, tmp_path, shown):
    copy = tmp_path / "hovered.html"
    # The library of the figures holds the ends of pages too.
    before, end, after = page.read_text(encoding="utf-8").rpartition("</body>")
    copy.write_text(before + HOVER + end + after, encoding="utf-8")
    dom = browsed(copy, "--dump-dom")
    title = html.unescape(re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1])
    assert title != "pwned"
    assert "data-pwned" not in dom[: dom.index("<head")]
    # The script of the figures ran to its end.
    body = re.sub(r"<script.*?</script>", "", dom[dom.index("<body>") :], flags=re.DOTALL)
    assert body.count("<svg") >= 3
    assert not re.search(r"<img|<svg[^>]*onload|href=.javascript", body)
    assert shown in html.unescape(body)
    tooltips = json.loads(html.unescape(re.search(r'<pre id="tooltips">(.*?)</pre>', dom, re.DOTALL)[1]))
    return title, tooltips


def test_an_experiment(study, store, tmp_path, reported):
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
    page = reported("--experiment", "".join(EVIL[::2]))
    title, tooltips = check(page, tmp_path, EVIL[0])
    assert title == f"{''.join(EVIL[::2])}: sweep {sweep}"
    assert any("lr" in one for one in tooltips)
    browsed(page, f"--screenshot={tmp_path / 'page.png'}")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_a_folder(study, tmp_path, reported):
    """The names of its runs, which are ids on the page and in the tooltips."""
    name = f'<img src=x onerror="{RAN}"><svg onload="{RAN}">'
    for i, folder in enumerate(study.write_all()):
        folder.rename(study.root / f"{name}{i}")
    page = reported("--folder", str(study.root))
    _, tooltips = check(page, tmp_path, name)
    # Shown as they are, and as text.
    assert any("&lt;img src=x" in one for one in tooltips)
    assert not any("<img" in one or "<svg" in one for one in tooltips)
