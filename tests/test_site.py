"""The documentation site can be built, holds what it should, and asks no other server for anything."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import analysis
import mlflow_thermo
from analysis.results import OK, REMEDIES

ROOT = Path(__file__).parent.parent
#: Attributes by which a browser fetches something without being asked.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Fetches(HTMLParser):
    """What a page makes the browser load, and the words and headings of it."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in FETCHED and (address := given.get(FETCHED[tag])):
            self.addresses.append(address)
        self.addresses += re.findall(r"url\(([^)]+)\)", given.get("style") or "")


def outside(text):
    """Addresses of other servers that a page loads by itself."""
    page = Fetches()
    page.feed(text)
    return [address for address in page.addresses if re.match(r"(https?:)?//", address)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as `mkdocs build --strict` makes it."""
    pytest.importorskip("mkdocs", reason='the site needs pip install -e ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=600, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def html(site):
    return {name: path.read_text() for name, path in site.items() if name.endswith(".html")}


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site):
    pages = html(site)
    assert len(pages) > 40
    assert {name: found for name, text in pages.items() if (found := outside(text))} == {}
    styles = [path.read_text() for name, path in site.items() if name.endswith(".css")]
    assert styles
    assert not any(re.search(r"@import|url\(['\"]?(https?:)?//", style) for style in styles)


def test_the_search_for_other_servers_finds_them():
    assert outside('<link href="https://fonts.example/css">') == ["https://fonts.example/css"]
    assert outside('<script src="//cdn.example/x.js"></script><a href="https://arxiv.org">') == ["//cdn.example/x.js"]
    assert outside('<p style="background: url(http://a.example/b.png)">') == ["http://a.example/b.png"]
    assert outside('<img src="images/run.png">') == []


@pytest.mark.slow
def test_every_formula_is_drawn(site):
    text = site["physics.html"].read_text()
    assert text.count("<math") == len(re.findall(r"\$\$.+?\$\$|\$.+?\$", (ROOT / "docs/physics.md").read_text(), re.S))
    for name, page in html(site).items():
        assert "arithmatex" not in page, name


@pytest.mark.slow
def test_the_reference_has_every_public_name(site):
    for package in (analysis, mlflow_thermo):
        page = site[f"reference/{package.__name__}.html"].read_text()
        shown = set(re.findall(rf'id="{package.__name__}\.(\w+)"', page))
        assert shown >= {name for name in package.__all__ if name not in ("errors", "schema", "store")}


@pytest.mark.slow
def test_descriptions_of_parameters_are_not_shown_as_types(site):
    """Types are short, and none is a sentence."""
    for package in ("analysis", "mlflow_thermo"):
        page = site[f"reference/{package}.html"].read_text()
        items = re.findall(r'<li class="doc-section-item[^>]*>(.*?)</li>', page, re.S)
        assert len(items) > 50
        for item in items:
            assert "``" not in item
            shown = " ".join(re.sub(r"<[^>]+>", "", item).split())
            kind, _, words = shown.partition(" – ")
            assert len(kind) < 110, shown
            assert not re.search(r"[a-z]\.\)?$", kind), shown
            assert words, shown


@pytest.mark.slow
def test_the_reference_has_every_option(site):
    from analysis.cli import cli
    from analysis.cli.program import with_debug
    from projects.fixed_lr.train import main

    # As a test that starts the program in this process leaves it.
    with_debug(main)
    page = site["reference/commands.html"].read_text()
    for command in cli.commands.values():
        for option in command.params:
            assert option.opts[0] in page or option.param_type_name == "argument", option.name
    page = site["reference/training.html"].read_text()
    assert [option.opts[0] for option in main.params if option.opts[0] not in page] == []


@pytest.mark.slow
def test_the_examples_are_shown_whole(site):
    import html as entities

    for path in (ROOT / "examples").glob("*.py"):
        page = entities.unescape(re.sub(r"<[^>]+>", "", site[f"examples/{path.stem}.html"].read_text()))
        for line in path.read_text().split('"""', 2)[2].splitlines():
            assert line in page, line


def test_the_statuses_are_those_of_the_code():
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", (ROOT / "docs" / "statuses.md").read_text(), re.M)
    assert dict(rows) == {status: remedy for status, remedy in REMEDIES.items() if status != OK}
    assert len(rows) == len(dict(rows))
