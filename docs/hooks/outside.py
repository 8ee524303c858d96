"""Files beside docs/ as pages of the site: the documents of the top folder, tables of measurements, example programs.

Pages link to them as they lie in the repository, so that the links work where it is read; here each such link is turned
to the page that its file has become.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
#: Pages that stand in the place of a file or folder that is none.
INSTEAD = {"README.md": "index.md", "examples": "gallery.md", "benchmarks": "measurements.md", "docs": "index.md"}
DOCUMENTS = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
FOLDERS = {"benchmarks": "*.md", "examples": "*.py"}
#: The target of a Markdown link or picture within the repository: file and anchor.
LINK = re.compile(r"(\]\()(?![a-z]+:)([^)\s#]+)(#[^)\s]*)?(\))")


def sources() -> dict[str, str]:
    """The file in the repository of each page that is made here, by the page's own path."""
    found = {name: name for name in DOCUMENTS}
    for folder, pattern in FOLDERS.items():
        found |= {f"{folder}/{path.stem}.md": f"{folder}/{path.name}" for path in sorted((ROOT / folder).glob(pattern))}
    return found


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Write a folder in the navigation out as its pages."""
    config.nav = _written_out(config.nav)
    return config


def _written_out(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {title: _written_out(below) for title, below in entry.items()}
    if not isinstance(entry, list):
        return entry
    written = []
    for one in entry:
        if isinstance(one, str) and one.endswith("/"):
            written += [page for page in sources() if page.startswith(one)]
        else:
            written.append(_written_out(one))
    return written


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for page, source in sources().items():
        text = (ROOT / source).read_text()
        files.append(File.generated(config, page, content=program_page(source, text) if source[-3:] == ".py" else text))
    return files


def program_page(source: str, text: str) -> str:
    """A page with what the program's docstring says, its picture, and all of its code."""
    title, *rest = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")
    name = Path(source).stem
    picture = f"docs/images/example-{name}.png"
    shown = f"![What {name}.py ends in](../{picture})" if (ROOT / picture).is_file() else ""
    code = text.split('"""', 2)[2].strip()
    usage = "\n\n".join(rest).replace("    python ", "```sh\npython ").replace("[FOLDER]", "[FOLDER]\n```")
    return f"# {name}.py\n\n{title}\n\n{usage}\n\n{shown}\n\n```python\n{code}\n```\n"


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links to files of the repository into links to the pages that they have become."""
    here = page.file.src_uri
    return turned(markdown, sources().get(here, f"docs/{here}"), here)


def turned(markdown: str, source: str, here: str) -> str:
    """`markdown` of the file `source` with its links as they are from the page `here`."""
    pages = {file: page for page, file in sources().items()} | INSTEAD

    def one(found: re.Match[str]) -> str:
        begin, target, anchor, end = found.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path in pages:
            to = pages[path]
        elif path.startswith("docs/"):
            to = path.removeprefix("docs/")
        elif path == "LICENSE":
            return f"{begin}https://www.apache.org/licenses/LICENSE-2.0{end}"
        else:
            raise PluginError(f"{source} links to {path}, which is no page: name it in docs/hooks/outside.py")
        return f"{begin}{posixpath.relpath(to, posixpath.dirname(here) or '.')}{anchor or ''}{end}"

    # Fenced code is left alone, even where it has the form of a link.
    parts = re.split(r"(^```.*?^```\s*?$)", markdown, flags=re.M | re.S)
    return "".join(part if part.startswith("```") else LINK.sub(one, part) for part in parts)
