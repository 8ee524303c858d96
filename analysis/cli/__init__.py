"""The console command ``mlflow-thermo``: a thin layer that imports little, so that ``--help`` is fast."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from analysis.cli.accuracy import calibrate
from analysis.cli.care import advise, export
from analysis.cli.display import (
    Display as Display,
    Report as Report,
    in_words as in_words,
    steady_progress as steady_progress,
)
from analysis.cli.examining import doctor, watch
from analysis.cli.program import entry as entry, with_debug
from analysis.cli.selection import URI
from analysis.cli.studies import analyze
from mlflow_thermo.errors import ThermoError

_EPILOG = """\b
Exit status:
  0  done; numbers that are tentative say so in their status
  1  a mistake in the input, a server that does not answer, or (doctor)
     something wrong with the runs: one line on stderr says what
  2  the command line itself cannot be read

\b
Commands, options and names of experiments are completed by the Tab key after
  bash:  eval "$(_MLFLOW_THERMO_COMPLETE=bash_source mlflow-thermo)"
  zsh:   eval "$(_MLFLOW_THERMO_COMPLETE=zsh_source mlflow-thermo)"
  fish:  _MLFLOW_THERMO_COMPLETE=fish_source mlflow-thermo | source
which belongs into ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish.
"""


@click.group(epilog=_EPILOG)
@click.version_option(package_name="mlflow-thermo", message="%(prog)s %(version)s")
def cli() -> None:
    """Measure the temperature of SGD from recorded weights.

    Runs are recorded by `mlflow run` with this project, or by a SnapshotRecorder in a training of one's own.
    """


@cli.command()
@click.argument("folder", type=click.Path())
@URI
def deliver(folder: str, tracking_uri: str) -> None:
    """Send what a recording has left in FOLDER because its server was away, or because it was killed."""
    from mlflow_thermo.delivery import deliver as delivered

    for one in delivered(folder, tracking_uri or None):
        click.echo(f"run {one.run_id}: {one.entries} entries delivered from {one.folder}, which can be removed now")


@cli.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []})
@click.pass_context
def paper(context: click.Context) -> None:
    """Train and judge every claim of arXiv 2505.23489: --scale laptop or full."""
    import subprocess

    root = _checkout()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))}
    code = subprocess.call([sys.executable, "-m", "projects.paper.run", *context.args], env=environment)
    if code:
        # It has printed the reason.
        sys.exit(code if code > 0 else 1)


def _checkout() -> Path:
    """The folder that holds the training projects: this one, or that of an editable installation."""
    for folder in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if (folder / "projects" / "paper" / "run.py").is_file():
            return folder
    raise ThermoError(
        "the training projects are not installed with the package: run this in a checkout of mlflow-thermo, with "
        "pip install -e '.[train]'"
    )


def main() -> None:
    """The console command."""
    entry(cli)


for _command in (analyze, calibrate, doctor, watch, advise, export):
    cli.add_command(_command)
with_debug(cli)
