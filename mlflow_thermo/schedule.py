"""When snapshots are taken."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError


@dataclass(frozen=True)
class Schedule:
    """When one named series takes its snapshots.

    Attributes
    ----------
    name : the series' name, also its folder's.
    steps : increasing optimiser steps, counted from 1.
    """

    name: str
    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.steps or self.steps[0] < 1 or list(self.steps) != sorted(set(self.steps)):
            raise ThermoError(f"series {self.name!r}: steps must be at least 1, increasing and not empty")


def spaced(total_steps: int, n: int = 1000, start: float = 0.5) -> Schedule:
    """`n` snapshots evenly over the part of training after the fraction `start`; fewer when it is short."""
    if n < 1:
        raise ThermoError(f"series 'spaced': n must be at least 1, got {n}")
    first = round(total_steps * start)
    if total_steps <= first:
        raise ThermoError(f"series 'spaced': no step lies after the fraction {start} of {total_steps} steps")
    # One common stride, counted back from the end: uneven strides would blur every correlation time.
    stride = max(1, (total_steps - first) // n)
    steps = range(total_steps, first, -stride)[:n]
    return Schedule(schema.SPACED, tuple(reversed(steps)))


def consecutive(total_steps: int, n: int = 1000) -> Schedule:
    """The last `n` iterates, as in arXiv 2505.23489."""
    if n < 1:
        raise ThermoError(f"series 'consecutive': n must be at least 1, got {n}")
    return Schedule(schema.CONSECUTIVE, tuple(range(max(1, total_steps - n + 1), total_steps + 1)))


def bursts(total_steps: int, n: int = 10, size: int = 100) -> Schedule:
    """`n` bursts of `size` consecutive iterates that end at log-spaced steps, the last one with the training.

    Between two bursts at least one step is left out, which is how a reader tells them apart; early ones that would
    touch the next are dropped, so that a short training has fewer.
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
    return Schedule(schema.BURSTS, tuple(step for end in reversed(ends) for step in range(end - size + 1, end + 1)))
