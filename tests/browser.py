"""What tests with a real browser share: the browser, and texts that run in one that takes them for markup."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

RAN = "document.title='pwned';document.documentElement.dataset.pwned=1"
#: In names of runs and experiments, tags, params; a folder's name has no slash.
EVIL = (
    f"<script>{RAN}</script>",
    f'<img src=x onerror="{RAN}">',
    f"</script><script>{RAN}</script>",
    f"[click](javascript:{RAN})",
    "{{ 7 * 7 }}${7 * 7}",
)


def unharmed(page):
    """Whether no text of `EVIL` has run."""
    return page.title() != "pwned" and page.evaluate("document.documentElement.dataset.pwned === undefined")
