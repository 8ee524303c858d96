"""Losses of the full training set at a run's snapshots: exact ones, where a batch's have the noise of its drawing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.results import FloatArray
from analysis.stationarity import BLOCKS
from analysis.trajectory import RunError, Trajectory
from mlflow_thermo.schema import GRADIENTS


def full_losses(load: Callable[[str], Trajectory], start: int) -> FloatArray | None:
    """Losses (chain, draw) of the full training set from step `start` on, where the run took its full gradients.

    Parameters
    ----------
    load : as of `RunInput`.

    Returns
    -------
    None where the run recorded none, or too few for an error of their mean.
    """
    try:
        taken = load(GRADIENTS)
    except RunError:
        # Recorded on request only.
        return None
    losses = taken.loss[:, taken.steps >= start]
    return losses if losses.shape[1] >= BLOCKS and np.isfinite(losses).all() else None
