"""Reading parameters from the command line: whole numbers, grids of learning rates, seeds."""

from __future__ import annotations

import math
import os
from typing import Any

import click
import numpy as np

from mlflow_thermo.errors import ThermoError

#: Where a program writes its runs.
EXPERIMENT = click.option(
    "--experiment",
    default=None,
    metavar="NAME",
    help="MLflow experiment, outside of `mlflow run`.  [default: MLFLOW_EXPERIMENT_NAME, or Default]",
)


def parse_lrs(text: str) -> list[float]:
    """Learning rates from a comma list whose parts are numbers or log-spaced ``lo:hi:n`` ranges.

    Rounded to six digits so that a grid's names and its values are the same. Repeats are dropped.

    Raises
    ------
    ThermoError
        Where a part cannot be read or is not a finite positive number.
    """
    found: list[float] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        pieces = part.split(":")
        try:
            if len(pieces) == 1:
                values = [float(part)]
            else:
                low, high, n = float(pieces[0]), float(pieces[1]), int(pieces[2])
                if len(pieces) != 3 or n < 1 or not (0 < low < math.inf and 0 < high < math.inf):
                    raise ValueError
                values = np.geomspace(low, high, n).tolist()
        except (ValueError, IndexError):
            # User input: float and int have no other way to report text that is no number.
            raise ThermoError(
                f"lrs: cannot read {part!r}, write a number or lo:hi:n (log-spaced), as in lrs=5.6e-4:5.6e-2:9"
            ) from None
        for value in values:
            if not (math.isfinite(value) and value > 0):
                raise ThermoError(f"lrs: {part!r} is not a finite positive learning rate")
            found.append(float(f"{value:.6g}"))
    if not found:
        raise ThermoError("lrs is empty: give at least one learning rate, as in lrs=5.6e-4:5.6e-2:9")
    return sorted(set(found))


def parse_seeds(text: str) -> list[int]:
    """Seeds from a comma list; ThermoError where one is not a whole number of at least 0."""
    seeds = {_as_whole(part) for part in text.split(",") if part.strip()}
    known = sorted(seed for seed in seeds if seed is not None and seed >= 0)
    if not known or len(known) < len(seeds):
        raise ThermoError(f"seeds must be whole numbers of at least 0, as in seeds=0,1,2, got {text!r}")
    return known


def parse_jobs(text: str) -> int:
    """Trainings side by side: a whole number of at least 1, one for each core where it is empty."""
    return parse_whole("jobs", text, 1) if text else os.cpu_count() or 1


def parse_whole(name: str, text: str, least: int | None = None) -> int:
    """A whole number, also one that is written as 1e4; ThermoError that names the parameter where it is none."""
    number = _as_whole(text)
    if number is None or (least is not None and number < least):
        wanted = "a whole number" if least is None else f"a whole number of at least {least}"
        raise ThermoError(f"{name} must be {wanted}, got {text!r}")
    return number


def _as_whole(text: str) -> int | None:
    try:
        # Not by way of a float: a seed may have more digits than one holds.
        return int(text)
    except ValueError:
        # User input: it may still be a whole number in another notation, such as 1e4.
        pass
    try:
        number = float(text)
    except ValueError:
        # User input: float has no other way to report text that is no number.
        return None
    return int(number) if number.is_integer() else None


class WholeNumber(click.IntRange):
    """An option that takes a whole number of at least `least`, with the notations and the errors of `parse_whole`."""

    def __init__(self, least: int) -> None:
        super().__init__(min=least)
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """`value` as an int."""
        return parse_whole((param and param.name) or "the number", str(value), self._least)
