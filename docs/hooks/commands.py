"""Commands on pages of the site, from click's own knowledge of them, and the entry points of the file MLproject.

``<!-- command: analysis.cli:cli mlflow-thermo -->`` stands for a command and those below it, ``<!-- MLproject -->`` for
the table of entry points.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click
import yaml
from mkdocs.config.defaults import MkDocsConfig
from outside import ROOT

from analysis.cli.program import with_debug


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let the training programs be found, which are not installed with the package."""
    sys.path.insert(0, str(ROOT))
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put both into their places."""
    markdown = markdown.replace("<!-- MLproject -->", entry_points((ROOT / "MLproject").read_text()))
    return re.sub(r"(#+) <!-- command: (\S+):(\S+) (.*?) -->", _command, markdown)


def _command(found: re.Match[str]) -> str:
    marks, module, name, shown = found.groups()
    command = getattr(import_module(module), name)
    # As `entry` does where the command is started.
    with_debug(command)
    return "\n\n".join(described(command, shown, len(marks)))


def described(command: click.Command, name: str, level: int, parent: click.Context | None = None) -> Iterator[str]:
    """Heading, help, usage and options of a command, then those of the commands below it."""
    context = click.Context(command, parent, info_name=name, **command.context_settings)
    yield f"{'#' * level} {name}"
    yield inspect.cleandoc(command.help or "")
    yield f"```text\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```"
    records = [option.get_help_record(context) for option in command.get_params(context)]
    # An argument that says nothing stands in the usage already.
    rows = [_row(*record) for record in records if record and record[1] and record[0] != "--help"]
    if rows:
        yield "\n".join(["| option | meaning |", "| --- | --- |", *rows])
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            if (found := command.get_command(context, below)) is not None:
                yield from described(found, below, level + 1, context)


def _row(option: str, words: str) -> str:
    """A line of the table; click writes a default into the words."""
    words, _, default = words.partition("  [default: ")
    default = default.removesuffix("]").partition("; x")[0]
    if default.strip('"'):
        words = f"{words} Default: `{default}`."
    return f"| `{option}` | {words.replace('|', '&#124;')} |"


def entry_points(text: str) -> str:
    """Entry points with their declared parameters and programs, and what the comments above them say."""
    comments = re.findall(r"((?:^  # .*\n)+)^  (\w+):$", text, re.M)
    said = {
        name: "<br>".join(_commands_in_code(line.strip(" #")) for line in comment.splitlines())
        for comment, name in comments
    }
    rows = ["| entry point | what it is | parameters it declares |", "| --- | --- | --- |"]
    for name, entry in yaml.safe_load(text)["entry_points"].items():
        given = ", ".join(
            f"`{key}`" + (f" = `{one['default']}`" if one.get("default") else "")
            for key, one in entry["parameters"].items()
        )
        rows.append(f"| `{name}` | {said[name]} | {given} |")
    return "\n".join(rows)


def _commands_in_code(words: str) -> str:
    """The words of a comment with commands and parameters in backticks."""
    return re.sub(r"mlflow run \.(?: -[eP] \S+?(?=[;,]? |[;,]?$))+|-P \w+=[^\s;,]+|engine=\w+", r"`\g<0>`", words)
