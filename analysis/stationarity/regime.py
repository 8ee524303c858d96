"""The regime that a run ended in, from its loss alone.

Four regimes (arXiv 2505.23489): ``stationary``, the loss fluctuates about a plateau; ``converging``, it still falls
steadily; ``uniform``, the weights wander over the whole sphere; ``diverged``, it is not finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import FloatArray, InsufficientData

#: A block of a uniform run has a mean loss at most this many standard deviations below that of random weights.
UNIFORM_SIGMAS = 3.0
#: A run converges when its loss falls by at least this power of the step over the window: 3.4 % over the second half
#: of training. A stationary state has slope 0, convergence to an optimum shows slopes of about -1.
CONVERGING_SLOPE = -0.05
#: Two-sided level of the test for a slope; half of it is the rate of false alarms.
SLOPE_LEVEL = 0.01
#: Blocks that the window is cut into: long enough to be nearly independent, enough of them to see a slope.
BLOCKS = 10
#: A run whose share of blocks in the uniform band lies between these has been on two branches: one block in ten may
#: stray into it by chance.
HOPPING = (0.15, 0.85)


@dataclass(frozen=True)
class Regime:
    """A regime with the numbers that decided it.

    Attributes
    ----------
    name : one of ``stationary``, ``converging``, ``uniform``, ``diverged``.
    loss : mean loss over the window.
    slope : d ln U / d ln t over the window; NaN where it was not needed, or where U is negative.
    p_value : of a slope of zero.
    uniform_share : share of the window's blocks whose mean loss lies in the uniform band; 0 without a baseline, and
        where no block comes as near to it as the mean of a uniform run.
    """

    name: str
    loss: float
    slope: float = float("nan")
    p_value: float = float("nan")
    uniform_share: float = 0.0

    @property
    def hops(self) -> bool:
        """Whether the run was in the uniform state for a part of its window only."""
        return HOPPING[0] < self.uniform_share < HOPPING[1]


def classify(
    steps: FloatArray,
    loss: FloatArray,
    uniform_loss: float | None = None,
    uniform_std: float | None = None,
) -> Regime:
    """Classify a run by the losses of its second half.

    Parameters
    ----------
    steps, loss : (n,) optimiser steps and training losses at them; NaN losses mean that none was recorded.
    uniform_loss, uniform_std : mean and standard deviation of the loss over uniformly random weights; without
        them no run is called uniform.

    Raises
    ------
    InsufficientData
        With fewer than `BLOCKS` losses.
    """
    # Imported here: it takes half a second, and a training that begins needs none of it.
    from scipy.stats import linregress

    steps, loss = np.asarray(steps, dtype=float), np.asarray(loss, dtype=float)
    if np.isinf(loss).any() or (len(loss) and np.isnan(loss[-1])):
        return Regime("diverged", float("nan"))
    known = np.isfinite(loss)
    steps, loss = steps[known], loss[known]
    if len(loss) < BLOCKS:
        raise InsufficientData(f"loss has {len(loss)} values: at least {BLOCKS} are needed to tell the regime")
    mean = float(loss.mean())
    blocks = np.array_split(np.arange(len(loss)), BLOCKS)
    level = np.array([loss[block].mean() for block in blocks])
    share = 0.0
    # The loss of random weights varies from point to point: the mean of a uniform run lies within its spread.
    if uniform_loss is not None and uniform_std is not None:
        # Its mean over all blocks much less, as that of the random weights behind the baseline, which are at least as
        # many: a small network's loss spreads so far that a state well below it would pass for uniform.
        near = uniform_loss - UNIFORM_SIGMAS * uniform_std * np.sqrt(2 / BLOCKS)
        if level.max() > near:
            share = float(np.mean(level > uniform_loss - UNIFORM_SIGMAS * uniform_std))
        if mean > near:
            return Regime("uniform", mean, uniform_share=share)
    time = np.array([steps[block].mean() for block in blocks])
    if np.any(level < 0):
        # A loss that may be negative has no zero to fall to: it must fall by more than it fluctuates.
        fit = linregress(np.log(time), level)
        scatter = float(np.mean([loss[block].std() for block in blocks]))
        falls = fit.slope * np.log(time[-1] / time[0]) < -scatter and fit.pvalue < SLOPE_LEVEL
        return Regime("converging" if falls else "stationary", mean, uniform_share=share)
    if np.any(level == 0):
        # A loss of exactly zero has no logarithm, and nothing left to fall to.
        return Regime("converging", mean, uniform_share=share)
    fit = linregress(np.log(time), np.log(level))
    falls = fit.slope < CONVERGING_SLOPE and fit.pvalue < SLOPE_LEVEL
    return Regime("converging" if falls else "stationary", mean, float(fit.slope), float(fit.pvalue), share)
