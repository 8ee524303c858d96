"""What the pages of the documentation tell a reader to type works.

Blocks marked `python` or `bash` are run, page by page, in the order in which they stand. `sh` is for what cannot be run
here, as on a cluster: its syntax is checked. And every command of ours on any page, in a block or in a sentence, is one
that its program accepts.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
import warnings
from importlib import import_module
from pathlib import Path

import click
import pytest
import yaml

from mlflow_thermo import schema
from tests.analysis.conftest import Study

ROOT = Path(__file__).parent.parent
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted((ROOT / "docs").rglob("*.md"))}
DOCUMENTS = PAGES | {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")}
LANGUAGES = {"python", "bash", "sh", "yaml", "text"}
#: Pages whose blocks another test runs, since they need more than a study beside them.
ELSEWHERE = {"docs/loops.md": "test_examples.py", "docs/format.md": "test_readme.py"}


def blocks(text, *languages):
    """Language and code of every fenced block."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [(language, code) for language, code in found if not languages or language in languages]


RUN = [name for name, text in PAGES.items() if blocks(text, "python", "bash") and name not in ELSEWHERE]


def test_every_block_says_what_it_is():
    for name, text in PAGES.items():
        assert {language for language, _ in blocks(text)} <= LANGUAGES, name
        assert text.count("\n```") == 2 * len(blocks(text)), name
    for name, test in ELSEWHERE.items():
        assert Path(name).name in (ROOT / "tests" / test).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_a_page_runs(name, store, tmp_path, request):
    """As it stands, beside a study of nine runs: in the folder `runs`, and as the experiment `study`."""
    text = PAGES[name]
    if "http://127.0.0.1:5000" in text:
        text = text.replace("http://127.0.0.1:5000", request.getfixturevalue("server").uri)
    (tmp_path / "runs").mkdir()
    study = Study(tmp_path / "runs")
    experiment = store.get_experiment_by_name("study").experiment_id
    for folder, lr in zip(study.write_all(), study.lrs, strict=True):
        study.log_run(store, experiment, folder, lr, tags={schema.TAG_SWEEP: "first"})
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    names = {}
    for language, code in blocks(text, "python", "bash"):
        if language == "python":
            exec(compile(code, name, "exec"), names)
        else:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", code], env=environment, capture_output=True, text=True, timeout=300
            )
            # One of the runs is tentative, which is what `doctor` is there to say.
            assert done.returncode == int("mlflow-thermo doctor" in code), f"{code}\n{done.stderr}"
            assert done.stdout
    if "curve" in names:
        assert set(names["curve"].status) == {"ok"}
    if name == "docs/own-data.md":
        assert [run.status for run in names["result"].runs].count("ok") >= 3, names["result"].to_frame()
    elif "result" in names:
        assert names["result"].to_frame().temperature.notna().sum() >= 3


@pytest.mark.parametrize("name", [name for name, text in PAGES.items() if blocks(text, "sh", "bash", "yaml")])
def test_shell_and_yaml_can_be_read(name):
    for _, code in blocks(PAGES[name], "sh", "bash"):
        done = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for _, code in blocks(PAGES[name], "yaml"):
        assert isinstance(yaml.safe_load(code), dict)


def commands(text):
    """Commands of a page, in blocks of a shell, in lines that are indented and in code within a sentence."""
    lines = "\n".join(code for language, code in blocks(text) if language in ("sh", "bash", ""))
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    lines += "\n" + "\n".join(re.findall(r"^    (\S.*)$", prose, re.M))
    lines += "\n" + "\n".join(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        for part in re.split(r"&&|&$|;", line):
            if re.match(r"\s*(mlflow|mlflow-thermo|pip|python -m) ", part):
                yield part.strip()


def parsed(command, arguments):
    """Have click read the arguments of a command, as at the beginning of a call; without any it is only named."""
    assert command is not None
    if not arguments or "--help" in arguments:
        return click.Context(command)
    return command.make_context(command.name, list(arguments))


def mlflow_command(name):
    """A command of MLflow's, which warns of type hints of its own where it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.cli import cli
    return cli.get_command(None, name)


def options(command):
    """Names of the options of a training program; those that it passes on are the training's."""
    found = {name.lstrip("-") for parameter in command.params for name in parameter.opts}
    if command.context_settings.get("ignore_unknown_options"):
        found |= options(import_module("projects.fixed_lr.train").main)
    return found


def check(line):
    """Raise where a command would be refused for what it is given."""
    words = shlex.split(line, comments=True)
    if words[:2] == ["mlflow", "run"]:
        given = parsed(mlflow_command("run"), words[2:]).params
        entries = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
        if not given or given["entry_point"].isupper():
            return
        entry = entries[given["entry_point"]]
        accepted = set(entry["parameters"])
        if module := re.match(r"python -m (\S+)", entry["command"]):
            accepted |= options(import_module(module[1]).main)
        unknown = {one.partition("=")[0] for one in given["param_list"]} - accepted
        assert not unknown, f"{line}: no parameter {unknown}"
    elif words[0] == "mlflow-thermo":
        from analysis.cli import cli

        parsed(cli.commands[words[1]], words[2:])
    elif words[0] == "mlflow":
        found, rest = mlflow_command(words[1]), words[2:]
        if isinstance(found, click.Group):
            found, rest = found.get_command(None, rest[0]), rest[1:]
        parsed(found, rest)
    elif words[0] == "python":
        assert words[2].isupper() or import_module(words[2].partition(".")[0])
        if words[2].startswith("projects."):
            parsed(import_module(words[2]).main, words[3:])
    elif words[1] == "install":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        asked = [one for word in words if word.startswith(".[") for one in word[2:-1].split(",")]
        assert set(asked) <= set(extras), line


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, text in DOCUMENTS.items() if any(commands(text))])
def test_commands_are_accepted(name):
    for line in commands(DOCUMENTS[name]):
        check(line)


def test_commands_are_found():
    assert list(commands("Say `mlflow run . -e sweep`.\n\n    mlflow-thermo doctor X\n")) == [
        "mlflow-thermo doctor X", "mlflow run . -e sweep",
    ]  # fmt: skip
    assert list(commands("```sh\npip install a && \\\n  mlflow ui &\n```\n")) == ["pip install a", "mlflow ui"]


@pytest.mark.slow
def test_commands_that_are_wrong_are_seen():
    for line in (
        "mlflow run . -P lernrate=0.1",
        "mlflow run . -e swep",
        "mlflow run . -e sweep --no-such-flag",
        "mlflow-thermo analyse",
        "mlflow-thermo analyze --output x",
        "mlflow server --artefacts here",
        "python -m projects.fixed_lr.train --lernrate 1",
        'pip install -e ".[trian]"',
    ):
        with pytest.raises((AssertionError, KeyError, click.UsageError)):
            check(line)
