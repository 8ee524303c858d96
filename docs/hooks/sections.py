"""What pages take from other files, so that nothing is written twice.

``[README: Train](../README.md#train)`` alone on a line stands for that section of the README, and
``[All tables](../benchmarks)`` for the list of the measurements. Where the repository is read both are links.
"""

from __future__ import annotations

import re
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page
from outside import ROOT, sources, turned


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put each section that a comment names into its place."""
    here = page.file.src_uri

    def taken(found: re.Match[str]) -> str:
        return turned(tables() if found[1] is None else section(found[1]), "README.md", here)

    return re.sub(r"^\[(?:README: (.*?)|All tables)\]\(\.\./.*\)$", taken, markdown, flags=re.M)


def section(title: str) -> str:
    """The text of a section of the README without its heading; of its beginning for the name of the project."""
    parts = re.split(r"^##? (.*)\n", (ROOT / "README.md").read_text(), flags=re.M)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    if title not in found:
        raise PluginError(f"the README has no section {title!r}")
    # Blank lines alone: a command at the beginning is indented.
    return found[title].strip("\n")


def tables() -> str:
    """Titles of all tables in benchmarks/, as links."""
    found = {source: (ROOT / source).read_text() for source in sources().values() if source.startswith("benchmarks/")}
    return "\n".join(f"- [{text.splitlines()[0].lstrip('# ')}]({source})" for source, text in found.items())
