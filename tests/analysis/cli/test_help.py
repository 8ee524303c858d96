"""The help of every program: each option is described, with its default; the group says how it ends."""

import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

import projects
from analysis.cli import cli

ROOT = Path(__file__).parents[3]


def programs():
    """Every click command of the console program and of the projects, by how it is called."""
    for name, command in sorted(cli.commands.items()):
        yield f"mlflow-thermo {name}", command
    for found in pkgutil.walk_packages(projects.__path__, "projects."):
        path = ROOT / (found.name.replace(".", "/") + ".py")
        if path.is_file() and "@click.command" in path.read_text():
            yield f"python -m {found.name}", import_module(found.name).main


PROGRAMS = dict(programs())


def test_all_programs_are_found():
    assert len([name for name in PROGRAMS if name.startswith("mlflow-thermo")]) == len(cli.commands) == 8
    assert {name.rsplit(".", 2)[1] for name in PROGRAMS if name.startswith("python")} == {
        "fixed_lr", "gibbs", "paper", "toy_sphere",
    }  # fmt: skip


def options(command):
    return [one for one in command.params if isinstance(one, click.Option)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_option_is_described(name):
    command = PROGRAMS[name]
    assert command.help
    for option in options(command):
        assert option.help, option.opts
        assert option.help.rstrip().endswith((".", "]")), (option.opts, option.help)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_default_is_shown(name):
    """By click, or in words where the default is an empty text; a flag that is off by default says nothing."""
    command = PROGRAMS[name]
    context = click.Context(command, info_name=name, **command.context_settings)
    for option in options(command):
        record = option.get_help_record(context)
        if record is None or (option.is_flag and not option.secondary_opts):
            continue
        text = " ".join(record[1].split())
        assert "default" in text or "Needed" in text, (option.opts, text)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_help_is_plain(name):
    """No line of it is broken or wider than a terminal."""
    command = PROGRAMS[name]
    shown = command.get_help(click.Context(command, info_name=name, **command.context_settings))
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_the_group_says_how_it_ends_and_how_it_is_completed():
    done = subprocess.run([sys.executable, "-m", "analysis.cli", "--help"], capture_output=True, text=True, check=True)
    words = " ".join(done.stdout.split())
    assert "Exit status: 0 done; " in words
    assert " 1 a mistake in the input, a server that does not answer" in words
    assert " 2 the command line itself cannot be read" in words
    for shell in ("bash", "zsh", "fish"):
        assert f"_MLFLOW_THERMO_COMPLETE={shell}_source mlflow-thermo" in done.stdout
    assert "--debug" in done.stdout
    assert "--version" in done.stdout


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli(["--version"], prog_name="mlflow-thermo")
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("mlflow-thermo 0.")
