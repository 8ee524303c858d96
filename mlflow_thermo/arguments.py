"""Checks of a recorder's arguments, made before anything is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schedule import Schedule, bursts, consecutive, spaced
from mlflow_thermo.schema import SeriesIndex


def default_series(total_steps: Any) -> tuple[Schedule, ...]:
    """The series of a training of `total_steps` steps; ThermoError unless that is a positive whole number."""
    steps = None if total_steps is None else whole("total_steps", total_steps)
    if steps is None or steps < 1:
        raise ThermoError(f"total_steps must be a positive number of steps, got {steps!r}")
    return spaced(steps), consecutive(steps), bursts(steps)


def distinct(series: Sequence[Schedule]) -> Sequence[Schedule]:
    """`series`; ThermoError where two of them share a name, and with it a folder."""
    if len({schedule.name for schedule in series}) != len(series):
        raise ThermoError("series: two schedules share one name, give each its own")
    return series


def require_same_training(found: SeriesIndex, asked: SeriesIndex, schedule: Schedule, folder: Path) -> None:
    """Raise ThermoError where the series on disk belongs to another training than the one that resumes it."""
    # A sketch is always float32, whatever the dtype of the weights.
    same = ("d", "layout", "protocol", "lr", "seed", "chains", *(("dtype",) if found.storage != schema.SKETCH else ()))
    for name in same:
        before, now = getattr(found, name), getattr(asked, name)
        if before != now:
            values = "" if name == "layout" else f" ({before!r} there, {now!r} now)"
            raise ThermoError(
                f"{folder} holds a series of another training, its {name} differs{values}: resume with the same "
                f"{name}, or choose another directory"
            )
    reduced = found.storage == schema.ISOMETRIC
    if not set(found.steps) <= set(schedule.steps) or (reduced and found.steps[:: found.chains] != schedule.steps):
        raise ThermoError(
            f"{folder} holds snapshots at other steps than the schedule {schedule.name!r}: resume with the same "
            "total_steps and series, or choose another directory"
        )


def whole(name: str, value: Any, at_least: int | None = None) -> int:
    """`value` as a Python int (NumPy and torch integers cannot be written as JSON); ThermoError if it is not one."""
    try:
        number = int(value)
        exact = number == value
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact:
        raise ThermoError(f"{name} must be a whole number, got {value!r}")
    if at_least is not None and number < at_least:
        raise ThermoError(f"{name} must be at least {at_least}, got {number}")
    return number


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """`value`; ThermoError unless it is one of `choices`."""
    if value not in choices:
        near = get_close_matches(str(value).lower(), choices, n=1)
        meant = f"did you mean {near[0]!r}? Choose" if near else "choose"
        raise ThermoError(f"{name} {value!r} is unknown: {meant} one of {', '.join(choices)}")
    return str(value)


def positive(name: str, value: Any) -> float:
    """`value` as a positive, finite Python float; ThermoError otherwise."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 < number < float("inf"):
        raise ThermoError(f"{name} must be a finite positive number, got {value!r}")
    return number


def require_json(name: str, value: Any) -> None:
    """Raise ThermoError if `value` cannot be written as JSON: other objects, NaN, infinity."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ThermoError(f"{name}: cannot be written as JSON ({error})") from error
