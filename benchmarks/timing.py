"""Ratios of times taken side by side: the machine's other work then hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np


def medians(actions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each action; every round runs all of them once, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(rounds + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}
