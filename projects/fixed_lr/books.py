"""Sums over the steps of every model of a training, as a whole and over its window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mlflow_thermo import schema
from mlflow_thermo.fluctuations import FluctuationSums
from projects.fixed_lr.phases import Phases
from projects.fixed_lr.training_setup import TrainingSetup


class Books:
    """Sums over the steps of every model, as a whole and since the beginning of its window."""

    def __init__(self, setup: TrainingSetup, phases: Sequence[Phases], lr: float | Tensor) -> None:
        self.phases = list(phases)
        self._lr = lr.flatten().tolist() if isinstance(lr, Tensor) else [lr] * len(phases)
        self._sums = FluctuationSums(setup.weights, setup.spheres)
        #: The sums where the windows of the models begin.
        self._begun = {one.record: self._sums.as_of_now() for one in phases}

    def add(self, weights: Tensor, gradient: Tensor, lr: float | Tensor) -> None:
        """Add one step, as `FluctuationSums.add`."""
        self._sums.add(weights, gradient, lr)

    def begin(self, step: int) -> None:
        """Note the windows that begin after `step` steps."""
        if step in self._begun:
            self._begun[step] = self._sums.as_of_now()

    def branch(self, chains: int) -> None:
        """Part every model into its chains."""
        self._sums = self._sums.branched(chains)

    def keep(self, positions: Sequence[int]) -> None:
        """Go on with the models at these positions alone."""
        self.phases = [self.phases[position] for position in positions]
        self._lr = [self._lr[position] for position in positions]
        for sums in (self._sums, *self._begun.values()):
            sums.keep(positions)

    def state(self) -> dict[str, Any]:
        """The sums, for a checkpoint."""
        return {"sums": self._sums.state(), "begun": {str(step): one.state() for step, one in self._begun.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`, of the same models."""
        self._sums = self._sums.restored(state["sums"])
        self._begun = {int(step): self._sums.restored(one) for step, one in state["begun"].items()}

    def over_all(self) -> list[dict[str, float]]:
        """The sums of each model over all steps, by metric name."""
        return [_prefixed(schema.PREFIX_SUMS, row) for row in self._sums.rows()]

    def squares(self, position: int) -> Tensor:
        """Means (chains,) of |g_B|² over the window of a model."""
        sums, steps = self._sums.squares() - self._begun[self.phases[position].record].squares()
        mean = sums / steps
        own: Tensor = mean if mean.ndim == 0 else mean[position]
        return own.reshape(-1)

    def over_window(self, position: int) -> dict[str, float]:
        """The sums of a model over its window, by metric name."""
        # The window is what the analysis looks at: the descent must not count.
        before = self._begun[self.phases[position].record]
        now, begun = self._sums.rows()[position], before.rows()[position]
        found = {name: now[name] - begun[name] for name in now}
        error = float(self._sums.ratio_errors(before, self._lr[position])[position])
        if math.isfinite(error):
            found[schema.RATIO_STDERR] = error
        return _prefixed(schema.PREFIX_WINDOW, found)


def _prefixed(prefix: str, values: dict[str, float]) -> dict[str, float]:
    return {prefix + name: value for name, value in values.items()}
