"""What a recorder is given, checked before anything is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schedule import Schedule
from mlflow_thermo.schema import SeriesIndex


def require_same_training(found: SeriesIndex, asked: SeriesIndex, schedule: Schedule, folder: Path) -> None:
    """Refuse to continue the series of another training: its snapshots would not belong together."""
    # A sketch is float32 whatever it was made from.
    same = ("d", "layout", "protocol", "lr", "seed", *(("dtype",) if found.storage != schema.SKETCH else ()))
    for name in same:
        before, now = getattr(found, name), getattr(asked, name)
        if before != now:
            values = "" if name == "layout" else f" ({before!r} there, {now!r} now)"
            raise ThermoError(
                f"{folder} holds a series of another training, its {name} differs{values}: resume with the same, or "
                "choose another directory"
            )
    reduced = found.storage == schema.ISOMETRIC
    if not set(found.steps) <= set(schedule.steps) or (reduced and found.steps != schedule.steps):
        raise ThermoError(
            f"{folder} holds snapshots at other steps than the schedule {schedule.name!r}: resume with the same "
            "total_steps and series, or choose another directory"
        )


def whole(name: str, value: Any) -> int:
    """`value` as a Python int, or ThermoError: numpy's and torch's integers do not go into JSON."""
    try:
        number = int(value)
        exact = number == value
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact:
        raise ThermoError(f"{name} must be a whole number, got {value!r}")
    return number


def positive(name: str, value: Any) -> float:
    """`value` as a Python float above 0, or ThermoError."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 < number < float("inf"):
        raise ThermoError(f"{name} must be a finite positive number, got {value!r}")
    return number


def require_json(name: str, value: Any) -> None:
    """Raise ThermoError where `value` holds what an index cannot: objects, NaN, infinity."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ThermoError(f"{name}: cannot be written as JSON ({error})") from error
