"""Schedules: the steps at which snapshots are taken."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError


def plain_name(name: str) -> str:
    """`name`; ThermoError unless it can be that of a folder, of which it must not lead out."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]([\w .-]*[\w-])?", name):
        raise ThermoError(
            f"series name {name!r} is not plain: take letters, digits, spaces and _.- only, no dot or space at the ends"
        )
    return name


@dataclass(frozen=True)
class Schedule:
    """The steps at which one named series takes its snapshots.

    Attributes
    ----------
    name : str
        Name of the series and of its folder: letters, digits and ``_.-`` or spaces, no dot or space at the ends.
    steps : tuple of int
        Increasing optimiser steps, counted from 1.
    every_chain : bool
        Whether all chains of a run are recorded, or the first alone.

    Raises
    ------
    ThermoError
        Steps that are empty, below 1 or not increasing; a name that is not plain.

    Examples
    --------
    >>> Schedule("every-hundredth", tuple(range(100, 1001, 100))).steps[:3]
    (100, 200, 300)
    """

    name: str
    steps: tuple[int, ...]
    every_chain: bool = True

    def __post_init__(self) -> None:
        plain_name(self.name)
        if not self.steps or self.steps[0] < 1 or list(self.steps) != sorted(set(self.steps)):
            raise ThermoError(f"series {self.name!r}: steps must be at least 1, increasing and not empty")


def spaced(total_steps: int, n: int = 1000, start: float = 0.5) -> Schedule:
    """Evenly spaced snapshots of the later part of a training.

    Parameters
    ----------
    total_steps : int
        Optimiser steps of the training.
    n : int
        Number of snapshots; a short training gives fewer.
    start : float
        Fraction of the training after which snapshots begin.

    Returns
    -------
    Schedule
        Named ``spaced``, with one common stride, the last snapshot at the last step.

    Raises
    ------
    ThermoError
        `n` below 1, or no step after `start`.

    Examples
    --------
    >>> spaced(100, n=5).steps
    (60, 70, 80, 90, 100)
    """
    if n < 1:
        raise ThermoError(f"series 'spaced': n must be at least 1, got {n}")
    first = round(total_steps * start)
    if total_steps <= first:
        raise ThermoError(f"series 'spaced': no step lies after the fraction {start} of {total_steps} steps")
    # One common stride, counted back from the end: uneven strides would distort every correlation time.
    stride = max(1, (total_steps - first) // n)
    steps = range(total_steps, first, -stride)[:n]
    return Schedule(schema.SPACED, tuple(reversed(steps)))


def consecutive(total_steps: int, n: int = 1000) -> Schedule:
    """The last `n` iterates of a training, of its first chain, as in arXiv 2505.23489.

    Parameters
    ----------
    total_steps : int
        Optimiser steps of the training.
    n : int
        Number of snapshots; a training of fewer steps gives fewer.

    Returns
    -------
    Schedule
        Named ``consecutive``.

    Raises
    ------
    ThermoError
        `n` below 1.

    Examples
    --------
    >>> consecutive(100, n=3).steps
    (98, 99, 100)
    """
    if n < 1:
        raise ThermoError(f"series 'consecutive': n must be at least 1, got {n}")
    return Schedule(schema.CONSECUTIVE, tuple(range(max(1, total_steps - n + 1), total_steps + 1)), False)


def bursts(total_steps: int, n: int = 10, size: int = 100) -> Schedule:
    """Bursts of the first chain's consecutive iterates that end at log-spaced steps, the last with the training.

    At least one step is left out between two bursts, which is how a reader tells them apart. Early bursts that would
    run into the next one are dropped, so a short training has fewer.

    Parameters
    ----------
    total_steps : int
        Optimiser steps of the training.
    n : int
        Largest number of bursts.
    size : int
        Consecutive iterates in each burst.

    Returns
    -------
    Schedule
        Named ``bursts``.

    Raises
    ------
    ThermoError
        `n` or `size` below 1.

    Examples
    --------
    >>> bursts(1000, n=3, size=2).steps
    (1, 2, 44, 45, 999, 1000)
    """
    if n < 1 or size < 1:
        raise ThermoError(f"series 'bursts': n and size must be at least 1, got n={n} and size={size}")
    size = min(size, total_steps)
    ratio = (total_steps / size) ** (1 / max(1, n - 1))
    ends = [total_steps]
    for i in range(n - 2, -1, -1):
        end = max(size, round(size * ratio**i))
        if end < ends[-1] - size:
            ends.append(end)
    steps = tuple(step for end in reversed(ends) for step in range(end - size + 1, end + 1))
    return Schedule(schema.BURSTS, steps, every_chain=False)
