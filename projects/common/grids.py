"""Reading grids of learning rates and seeds from the command line."""

from __future__ import annotations

import math
import os

import numpy as np

from mlflow_thermo.schema import ThermoError


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
    try:
        seeds = sorted({int(part) for part in text.split(",") if part.strip()})
    except ValueError:
        seeds = []
    if not seeds or seeds[0] < 0:
        raise ThermoError(f"seeds must be whole numbers of at least 0, as in seeds=0,1,2, got {text!r}")
    return seeds


def parse_jobs(text: str) -> int:
    """Trainings side by side: a whole number of at least 1, one for each core where it is empty."""
    if text and not (text.isdigit() and int(text) > 0):
        raise ThermoError(f"jobs must be a whole number of at least 1, got {text!r}")
    return int(text or os.cpu_count() or 1)
