"""The parameters of a training run as options of a command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

import click

from mlflow_thermo.errors import ThermoError
from projects.common import parse_whole
from projects.fixed_lr.config import CHOICES, TrainConfig
from projects.fixed_lr.presets import PRESETS

_BOOLS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


#: Given by a sweep to each of the programs that it starts.
SHARES = click.option(
    "--shares",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many such programs share this machine.",
)


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
            command = click.option(
                f"--{field.name}", field.name, default="", show_default=False, help=_help(field.name)
            )(command)
        return command

    return decorate


#: What each parameter is, in units where it has one.
_HELP = {
    "preset": "Settings that go together; what is given beside it takes the place of the preset's.",
    "dataset": "What is trained on.",
    "data_folder": "Folder with the files of cifar10 and cifar100.",
    "download": "Whether to fetch those files where they are not there.",
    "samples_per_label": "Size of a balanced subset of the training set, in images of each class; 0 takes all.",
    "label_noise": "Share of the training labels that are drawn anew, from 0 to 1.",
    "model": "The network.",
    "width": "Width of the network: channels of its first layer, or hidden units.",
    "head_norm": "Norm of the fixed last layer.",
    "protocol": "What keeps the weights where they are: sphere and spheres project them after every step, fixed_elr "
    "keeps the effective learning rate, fixed_lr is plain SGD.",
    "weight_decay": "Weight decay, where the weights are not on spheres.",
    "loss": "The loss.",
    "batch_size": "Images of a batch.",
    "sampling": "Whether batches are drawn independently of each other, or in shuffled epochs.",
    "steps": "Optimiser steps; with --until, those after which a run is first looked at.",
    "chains": "Copies that go on from one burnt-in state with batches of their own.",
    "burn_in": "Steps before the chains part.",
    "forget": "Steps in which the chains forget each other, before anything is recorded.",
    "spacing": "Steps between two snapshots of a chain; 0 spreads --snapshots over the steps that are recorded.",
    "until": "Independent snapshots after which a run ends, or identified: as many as its entropy needs. Without it a "
    "run has --steps.",
    "max_steps": "Steps after which a run with --until ends at the latest; 0 for a multiple of what is expected.",
    "log_points": "Points along the training, log-spaced, at which losses and gradients are measured.",
    "noise_batches": "Batches for the gradients' noise at each of these points.",
    "noise_error": "Relative error of that noise at which fewer batches are enough.",
    "snapshots": "Snapshots of a run, of all its chains together; also of its consecutive iterates.",
    "full_gradients": "Full gradients at so many snapshots, for temperatures without entropy; 0 for none.",
    "bursts": "Bursts of consecutive iterates at log-spaced times, for the course of U, S and T; 0 for none.",
    "burst_size": "Iterates of a burst.",
    "storage": "How snapshots are kept: auto chooses by size.",
    "seed": "Seed of the batches.",
    "data_seed": "Seed of the subset and of the label noise.",
    "init_seed": "Seed of the initial weights.",
    "head_seed": "Seed of the fixed last layer.",
    "device": "Where to train; auto takes a GPU if there is one.",
    "threads": "Compute threads; networks this small are slower with more than one.",
    "checkpoint_every": "Seconds between two checkpoints, from which a killed training goes on (--resume); 0 for none. "
    "They may take a hundredth of the time at most. Another is saved when the training is stopped.",
    "work_dir": "Folder on this machine with the checkpoints and snapshots of unfinished runs, one folder for each; by "
    "default MLFLOW_THERMO_WORK, or .thermo in the current folder. Removed when a run has ended well.",
    "wait": "Seconds that the program waits at its end for a tracking server that takes nothing; for a slow one ten "
    "times as long.",
}


def _help(name: str) -> str:
    """Words, choices and default of a parameter, and what the default preset gives in its place."""
    default, preset = _DEFAULTS[name], PRESETS[TrainConfig.preset].get(name)
    choices = f" One of: {', '.join(CHOICES[name])}." if name in CHOICES else ""
    instead = "" if preset is None or preset == default else f"; preset {TrainConfig.preset}: {preset}"
    shown = "true" if default is True else "false" if default is False else default
    return f"{_HELP[name]}{choices}  [default: {shown if shown != '' else 'none'}{instead}]"


_DEFAULTS = {field.name: field.default for field in fields(TrainConfig)}


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
