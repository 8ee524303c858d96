"""What was measured of one toy at all its learning rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.results import FloatArray, InsufficientData, IntArray, number

#: A chain has converged when its loss is below this.
CONVERGED = 1e-6


@dataclass(frozen=True)
class ToyStudy:
    """One toy at m learning rates; NaN where a number does not exist.

    Attributes
    ----------
    name : ``op`` or ``up``.
    lr : (m,)
    steps, chains, seed : of the run.
    loss, loss_stderr : (m,) mean over the second half and the chains.
    chain_loss : (m, chains) mean of each chain over the second half.
    entropy, entropy_stderr : (m,) on the sphere, both poles alike, nats; -inf becomes NaN.
    temperature, lower, upper : (m,) dU/dS with its 95 % interval where the state is stationary; 0 where it converges.
    full_norm, minibatch_norm, snr : (m,) means over the second half.
    converged : (m,) share of the chains whose last loss is below `CONVERGED`.
    times : (p,) steps of the courses.
    loss_course, full_course, minibatch_course, snr_course : (m, p) means over the chains.
    paths : (m, q, 3) first steps of the first chain.
    """

    name: str
    lr: FloatArray
    steps: int
    chains: int
    seed: int
    loss: FloatArray
    loss_stderr: FloatArray
    chain_loss: FloatArray
    entropy: FloatArray
    entropy_stderr: FloatArray
    temperature: FloatArray
    lower: FloatArray
    upper: FloatArray
    full_norm: FloatArray
    minibatch_norm: FloatArray
    snr: FloatArray
    converged: FloatArray
    times: IntArray
    loss_course: FloatArray
    full_course: FloatArray
    minibatch_course: FloatArray
    snr_course: FloatArray
    paths: FloatArray

    def rows(self) -> list[dict[str, Any]]:
        """A row for each learning rate, for a table; None where a number does not exist."""
        columns = (
            "loss", "loss_stderr", "entropy", "entropy_stderr", "temperature", "lower", "upper", "full_norm",
            "minibatch_norm", "snr", "converged",
        )  # fmt: skip
        return [
            {"toy": self.name, "lr": float(lr), **{name: number(float(getattr(self, name)[i])) for name in columns}}
            for i, lr in enumerate(self.lr)
        ]


def small_lr_slope(study: ToyStudy, most: float, least_loss: float) -> tuple[float, float]:
    """Slope of U − L_min in lr over lr up to `most`, through the origin, and its standard error.

    Weighted least squares in every chain; the chains are independent, the learning rates share their samples.

    Raises
    ------
    InsufficientData
        Fewer than two such learning rates.
    """
    near = (study.lr <= most) & (study.loss_stderr > 0)
    if near.sum() < 2:
        raise InsufficientData(f"{int(near.sum())} learning rates up to {most:g}: give at least 2")
    x, weight = study.lr[near], study.loss_stderr[near] ** -2
    slopes = (weight * x) @ (study.chain_loss[near] - least_loss) / float(np.sum(weight * x * x))
    return float(slopes.mean()), float(slopes.std(ddof=1)) / float(np.sqrt(len(slopes)))
