"""Runs pooled into few states, since the cost of a temperature curve grows with the cube of their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.results import FloatArray, IntArray
from analysis.temperature.states import States

#: Up to this number of runs, every run is a state of its own.
MOST_STATES = 64


@dataclass(frozen=True)
class Pooled:
    """Stationary states, each the mean of one or more runs.

    Attributes
    ----------
    states : the m states.
    where : (n,) index of each run's state.
    """

    states: States
    where: IntArray

    def mean(self, values: FloatArray) -> FloatArray:
        """Means (m,) of the runs' values (n,) over the states."""
        return np.asarray(np.bincount(self.where, values) / np.bincount(self.where))

    def mean_of_known(self, values: Sequence[float | None]) -> FloatArray:
        """`mean` over the runs that have a value; 0 for a state none of whose runs has one."""
        known = np.array([value is not None for value in values], dtype=float)
        total = self.mean(np.array([value or 0.0 for value in values], dtype=float))
        return np.asarray(total / np.where(self.mean(known) > 0, self.mean(known), 1.0))

    def at(self, lr: FloatArray, values: FloatArray) -> FloatArray:
        """The states' values (m,) at the runs' learning rates: (n,), interpolated in ln lr where runs are pooled."""
        own = self.states.lr
        if len(self.where) == len(own):
            return np.asarray(values[self.where])
        order = np.argsort(own, kind="stable")
        return np.asarray(np.interp(np.log(lr), np.log(own[order]), values[order]))


def pooled(runs: States, most: int = MOST_STATES) -> Pooled:
    """The runs as they are, or, if more than `most`, means over seeds or over neighbouring learning rates.

    The standard error of a mean over seeds is the larger of those from the runs' own errors and from their scatter.
    """
    if len(runs.lr) <= most:
        return Pooled(runs, np.arange(len(runs.lr)))
    grid, where = np.unique(runs.lr, return_inverse=True)
    seeds = len(grid) <= most
    if not seeds:
        where = np.minimum(np.arange(len(grid)) * most // len(grid), most - 1)[where]
    count = np.bincount(where)
    found = []
    for values, stderr in ((runs.loss, runs.loss_stderr), (runs.entropy, runs.entropy_stderr)):
        mean = np.bincount(where, values) / count
        own = np.zeros(len(count)) if stderr is None else np.sqrt(np.bincount(where, stderr**2)) / count
        spread = np.bincount(where, (values - mean[where]) ** 2) / np.maximum(count - 1, 1)
        # Between neighbouring learning rates the scatter is more than noise.
        found.append((mean, np.maximum(own, np.sqrt(spread / count)) if seeds else own))
    rates = np.exp(np.bincount(where, np.log(runs.lr)) / count)
    (loss, du), (entropy, ds) = found
    return Pooled(States(rates, loss, entropy, du, ds, runs.correlation), where)
