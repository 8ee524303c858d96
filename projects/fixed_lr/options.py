"""The parameters of a training run as options of a command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

import click

from mlflow_thermo.errors import ThermoError
from projects.common import parse_whole
from projects.fixed_lr.config import CHOICES, TrainConfig

_BOOLS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def parse_lr(text: str) -> float:
    """The learning rate as a float; ThermoError where it is not a number (`TrainConfig.validate` checks the value)."""
    try:
        return float(text)
    except ValueError:
        # User input: float has no other way to report text that is no number.
        raise ThermoError(f"lr must be a finite positive number, got {text!r}: try lr=0.01") from None


def config_options(*, leave_out: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Click options for all fields of TrainConfig, each taking a value as ``mlflow run -P`` has no flags."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for field in reversed(fields(TrainConfig)):
            if field.name in leave_out:
                continue
            command = click.option(f"--{field.name}", field.name, default="", help=_help(field.name))(command)
        return command

    return decorate


#: What is not plain from a name.
_HELP = {
    "checkpoint_every": "Seconds between two checkpoints, from which a killed training goes on (--resume); 0 for none. "
    "They may take a hundredth of the time at most. Another is saved when the training is stopped.",
    "work_dir": "Folder on this machine with the checkpoints and snapshots of unfinished runs, one folder for each; by "
    "default MLFLOW_THERMO_WORK, or .thermo in the current folder. Removed when a run has ended well.",
}


def _help(name: str) -> str:
    return f"One of: {', '.join(CHOICES[name])}." if name in CHOICES else _HELP.get(name, "")


def parse_options(options: dict[str, str]) -> dict[str, Any]:
    """Parse the options that the user gave; those left out, or left empty by MLproject, are dropped.

    Raises
    ------
    ThermoError
        A value that cannot be read as its parameter's type.
    """
    kinds = get_type_hints(TrainConfig)
    return {name: _parse(name, kinds[name], text) for name, text in options.items() if text != ""}


def _parse(name: str, kind: type, text: str) -> Any:
    if kind is bool:
        if text.lower() not in _BOOLS:
            raise ThermoError(f"{name} must be true or false, got {text!r}")
        return _BOOLS[text.lower()]
    if kind is int:
        return parse_whole(name, text)
    if kind is float:
        try:
            return float(text)
        except ValueError:
            # User input: float has no other way to report text that is no number.
            raise ThermoError(f"{name} must be a number, got {text!r}") from None
    return text
