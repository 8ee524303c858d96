"""Sections of the README on pages of the site, so that nothing is written twice: ``<!-- README: Train -->``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))

from outside import ROOT, turned


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put each section that a comment names into its place."""
    here = page.file.src_uri
    return re.sub(r"<!-- README: (.*?) -->", lambda found: turned(section(found[1]), "README.md", here), markdown)


def section(title: str) -> str:
    """The text of a section of the README without its heading; of its beginning for the name of the project."""
    parts = re.split(r"^##? (.*)\n", (ROOT / "README.md").read_text(), flags=re.M)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    if title not in found:
        raise PluginError(f"the README has no section {title!r}")
    return found[title].strip()
