"""Runs of one study that differ in more than learning rate and seed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from analysis.results import MIXED, OK, RunResult, remedy
from analysis.trajectory import Trajectory

#: Parameters of how long a run is and of how much it records.
HOW_LONG = frozenset(
    (
        "steps", "max_steps", "n_steps", "num_steps", "total_steps", "epochs", "n_epochs", "num_epochs",
        "max_epochs", "iterations", "n_iterations", "num_iterations", "burn_in", "forget", "spacing", "until",
        "snapshots", "n_snapshots", "log_points", "noise_batches", "noise_error", "full_gradients", "bursts",
        "burst_size", "draws", "every", "storage",
    )
)  # fmt: skip
#: Parameters of the machine and of the place.
WHERE = frozenset(
    (
        "device", "threads", "n_threads", "num_threads", "jobs", "engine", "workers", "n_workers",
        "num_workers", "download", "data_folder", "data_dir", "output", "output_dir", "out", "log_dir",
        "run_name", "name", "verbose", "git_commit", "resume", "checkpoint",
        "checkpoint_every", "work_dir", "wait",
    )
)  # fmt: skip
#: What a study is about, and what has an error of its own.
_AXES = frozenset(
    (
        "lr", "learning_rate", "log10_lr", "lrs", "temperature", "temperatures", "set_temperature", "chains",
        "d", "n_weights", "uniform_loss", "uniform_loss_std", "leapfrogs",
    )
)  # fmt: skip
#: Parameters that change the state that a learning rate leads to. T = dU/dS along the learning rates of one system.
PHYSICAL = frozenset(
    (
        "batch_size", "batchsize", "batch", "bs", "dataset", "data", "model", "preset", "width", "depth",
        "hidden", "layers", "activation", "loss", "protocol", "weight_decay", "wd", "momentum", "nesterov",
        "dampening", "optimizer", "optimiser", "dropout", "sampling", "n_train", "n_samples",
        "samples_per_label", "label_noise", "head_norm", "normalization", "normalisation", "norm",
        "augmentation", "architecture", "dtype", "precision",
    )
)  # fmt: skip
_FREE = HOW_LONG | WHERE | _AXES
#: Values of a parameter that a note lists.
_LISTED = 4


def plain_value(text: str) -> float | str:
    """The value of a parameter, whichever way it was written: 1e-1 is 0.1."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def settings_of(run: Trajectory) -> dict[str, str]:
    """What is known of how a run was trained: its parameters, and what its training wrote beside the snapshots."""
    written = {name: str(value) for name, value in run.attributes.items() if isinstance(value, str | int | float)}
    return {**written, **run.params}


def differences(runs: Sequence[Trajectory]) -> tuple[list[str], bool]:
    """What the runs of a study differ in besides what they may: a note for each parameter.

    They may differ in learning rate, seeds, chains, length and machine. A parameter that has another value in every run
    names the run, unless it is one that changes the state; runs that did not log one say nothing about it.

    Returns
    -------
    list of str
        Notes, with how many runs have each value.
    bool
        Whether one of the parameters changes the state that a learning rate leads to, so that the temperatures are
        those of no single system.
    """
    logged: dict[str, Counter[float | str]] = {}
    written: dict[tuple[str, float | str], str] = {}
    for run in runs:
        for name, text in settings_of(run).items():
            value = plain_value(text)
            logged.setdefault(name, Counter())[value] += 1
            written.setdefault((name, value), text)
    notes, physical = [], False
    for name, values in sorted(logged.items()):
        plain = name.lower()
        if len(values) < 2 or plain in _FREE or "seed" in plain:
            continue
        if plain not in PHYSICAL and len(values) == sum(values.values()):
            continue
        physical = physical or plain in PHYSICAL
        counts = values.most_common()
        parts = [f"{written[name, value]} in {n}" for value, n in counts[:_LISTED]]
        parts[0] += " run" if counts[0][1] == 1 else " runs"
        parts += [f"{len(counts) - _LISTED} more values"] if len(counts) > _LISTED else []
        notes.append(f"the runs differ in {name}: {', '.join(parts)}")
    return notes, physical


def as_mixed(run: RunResult) -> RunResult:
    """A run of a study whose runs are not of one system: its temperature is tentative."""
    if run.status != OK:
        return run
    temperature = None if run.temperature is None else replace(run.temperature, status=MIXED)
    return replace(run, status=MIXED, note=remedy(MIXED), temperature=temperature)
