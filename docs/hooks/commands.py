"""The entry points of the file MLproject on the page that has the place ``<!-- MLproject -->``."""

from __future__ import annotations

import re
from typing import Any

import yaml
from outside import ROOT


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the table into its place."""
    return markdown.replace("<!-- MLproject -->", table((ROOT / "MLproject").read_text()))


def table(text: str) -> str:
    """Entry points with what the comments above them say, their declared parameters, and the program of each."""
    said = dict(re.findall(r"((?:^  # .*\n)+)^  (\w+):$", text, re.M)[i][::-1] for i in range(text.count("    command:")))
    rows = ["| entry point | declared parameters | program |", "| --- | --- | --- |"]
    below = []
    for name, entry in yaml.safe_load(text)["entry_points"].items():
        given = ", ".join(
            f"`{key}`" + (f" = `{one['default']}`" if one.get("default") else "")
            for key, one in entry["parameters"].items()
        )
        program = re.match(r"(python -m )?\S+( analyze| calibrate)?", entry["command"])
        rows.append(f"| `{name}` | {given} | `{program[0] if program else ''}` |")
        words = " ".join(line.strip(" #") for line in said[name].splitlines())
        below.append(f"**{name}**: {words}")
    return "\n".join(rows) + "\n\n" + "\n\n".join(below)
