"""Full gradients at some of a run's snapshots, which tell its temperature without an entropy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlflow_thermo.observables import full_gradient
from projects.fixed_lr.need import stacked, unstacked
from projects.fixed_lr.phases import Phases
from projects.fixed_lr.stack import ModelStack
from projects.fixed_lr.training_setup import TrainingSetup

#: Models whose gradients are computed at once.
AT_ONCE = 256


def gradients_at_end(phases: Phases, wanted: int, chains: int, end: float) -> float:
    """Full gradients, about, that `FullGradients` computes for a run that ends after step `end`."""
    draws = math.ceil(wanted / chains)
    kept = max(0.0, (end - phases.record) / phases.spacing) if draws else 0.0
    while draws and kept >= 2 * draws:
        kept /= 2
    return kept * chains


class FullGradients:
    """Keeps some of the snapshots of a run, evenly over its window, until their gradients are asked for.

    Parameters
    ----------
    wanted : snapshots over all chains, about; 0 keeps nothing.
    """

    def __init__(self, phases: Phases, wanted: int, chains: int) -> None:
        self._phases = phases
        self._draws = math.ceil(wanted / chains)
        self._every = 1
        self._kept: list[tuple[int, Tensor]] = []

    def step(self, step: int, weights: Tensor) -> None:
        """Take in the weights (chains, d) that optimiser step `step` will change."""
        since = step - self._phases.record
        if not self._draws or since <= 0 or since % self._phases.spacing:
            return
        if since // self._phases.spacing % self._every == 0:
            self._kept.append((step, weights.detach().clone()))
        if len(self._kept) == 2 * self._draws:
            # Nobody knows yet how long the run will be: every second one goes, and of those to come too.
            self._kept = self._kept[1::2]
            self._every *= 2

    def state(self) -> dict[str, Any]:
        """What is kept, for a checkpoint."""
        return {
            "every": self._every,
            "steps": [step for step, _ in self._kept],
            "points": stacked([weights for _, weights in self._kept]),
        }

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from a `state`."""
        self._every = state["every"]
        self._kept = list(zip(state["steps"], unstacked(state["points"], device), strict=True))

    def measured(self, setup: TrainingSetup) -> tuple[list[int], NDArray[np.float32], NDArray[np.float64]] | None:
        """Steps (n,), gradients (n, chains, d) and losses (n, chains) of the full training set; None without any.

        Parameters
        ----------
        setup : of the run, or of the stack that it is in; its weights are not touched.
        """
        if not self._kept:
            return None
        points = torch.stack([weights for _, weights in self._kept])
        probe = (setup if isinstance(setup, ModelStack) else ModelStack(setup, 1)).probe()
        x, y, size = setup.data.x_train, setup.data.y_train, setup.config.batch_size
        gradients, losses = [], []
        for part in torch.split(points.reshape(-1, points.shape[-1]), AT_ONCE):
            probe.weights = part
            gradient, metrics = full_gradient(probe.weighted_gradient, x, y, size)
            gradients.append(gradient.to("cpu", torch.float32))
            losses.append(metrics[..., 0].to("cpu", torch.float64))
        shape = points.shape[:2]
        return (
            [step for step, _ in self._kept],
            np.asarray(torch.cat(gradients).reshape(*shape, -1).numpy()),
            np.asarray(torch.cat(losses).reshape(shape).numpy()),
        )
