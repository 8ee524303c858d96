"""Loss, entropy and temperature along one training, from bursts of consecutive iterates at log-spaced times.

A run that converges has no stationary state, but it has an entropy and a loss at every time, and T(t) = dU/dS along it
(arXiv 2505.23489). Two entropies of every burst stand side by side: the paper's graph in its own units, and a shrunk
Gaussian in nats. Both see consecutive iterates, so what they follow is the size of the steps; at a fixed learning rate
that and the spread of the weights change together, and dU/dS is not halved as it is between learning rates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from analysis.entropy import entropy_of, make_estimator, paper_estimator
from analysis.results import NORMAL_95, Course, FloatArray, InsufficientData, RunResult
from analysis.trajectory import RunError, Trajectory
from mlflow_thermo import schema

#: Snapshots that a burst must have: an entropy of fewer means nothing.
FEWEST = 10

#: Time blocks of a burst behind the standard error of its entropy.
_BLOCKS = 5

#: Entropy and its standard error, in nats, of one burst.
BurstEntropy = Callable[[Trajectory], tuple[float, float]]


def split_bursts(trajectory: Trajectory) -> list[Trajectory]:
    """The bursts of a series: runs of consecutive steps, those of the most common length.

    The loss of a snapshot is that at its own weights: the mean since the snapshot before would, in the first of a
    burst, reach back to the burst before.
    """
    breaks = np.nonzero(np.diff(trajectory.steps) > 1)[0] + 1
    parts = np.split(np.arange(len(trajectory)), breaks)
    lengths = [len(part) for part in parts]
    common = max(set(lengths), key=lambda n: (lengths.count(n), n))
    bursts = [trajectory.take(part) for part in parts if len(part) == common]
    return [burst.at_own_weights() for burst in bursts]


def with_course(result: RunResult, load: Callable[[str], Trajectory]) -> RunResult:
    """The run with its course; unchanged where it recorded no bursts."""
    try:
        trajectory = load(schema.BURSTS)
        dim = trajectory.dim
        course = follow(
            trajectory,
            lambda burst: entropy_of(burst, make_estimator("oas", dim=dim, jackknife_blocks=_BLOCKS))[:2],
            lambda burst: entropy_of(burst, paper_estimator(dim, len(burst)))[:2],
        )
    except (RunError, InsufficientData):
        # A run without bursts, or too short for them, keeps its other results.
        return result
    return replace(result, course=course)


def follow(trajectory: Trajectory, entropy_of: BurstEntropy, paper_entropy_of: BurstEntropy) -> Course:
    """The course of a run from its series of bursts.

    Parameters
    ----------
    trajectory : series ``bursts``.
    entropy_of, paper_entropy_of : estimators; where one has too little data its column is NaN.

    Raises
    ------
    InsufficientData
        Fewer than two bursts, or bursts of fewer than `FEWEST` snapshots.
    """
    bursts = split_bursts(trajectory)
    size = len(bursts[0])
    if len(bursts) < 2 or size < FEWEST:
        raise InsufficientData(
            f"{len(bursts)} bursts of {size} snapshots: a course needs at least 2 of {FEWEST}, train for more steps"
        )
    loss = np.array([float(b.loss.mean()) for b in bursts])
    # The minibatches of a burst are drawn independently; its weights hardly move.
    loss_stderr = np.array([float(b.loss.std(ddof=1)) for b in bursts]) / np.sqrt(size)
    ours = np.array([_or_nan(entropy_of, b) for b in bursts])
    paper = np.array([_or_nan(paper_entropy_of, b) for b in bursts])
    temperature, stderr = slopes(loss, ours[:, 0], loss_stderr, ours[:, 1])
    return Course(
        np.array([b.steps[-1] for b in bursts]), size, loss, loss_stderr, ours[:, 0], ours[:, 1], temperature,
        temperature - NORMAL_95 * stderr, temperature + NORMAL_95 * stderr, paper[:, 0], slopes(loss, paper[:, 0])[0],
    )  # fmt: skip


def slopes(
    loss: FloatArray,
    entropy: FloatArray,
    loss_stderr: FloatArray | None = None,
    entropy_stderr: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """ΔU/ΔS between the neighbours of each point, one-sided at the ends, and its standard error by the delta method.

    Parameters
    ----------
    loss, entropy : (m,) in time order, m at least 2.
    loss_stderr, entropy_stderr : (m,) their standard errors; None for none.

    Returns
    -------
    slope, stderr : (m,); NaN where the entropy does not change, or by less than two of its standard errors.
    """
    m = len(loss)
    after, before = np.minimum(np.arange(m) + 1, m - 1), np.maximum(np.arange(m) - 1, 0)
    none = np.zeros(m)
    u_err, s_err = (none if errors is None else errors for errors in (loss_stderr, entropy_stderr))
    rise, change = loss[after] - loss[before], entropy[after] - entropy[before]
    rise_err, change_err = np.hypot(u_err[after], u_err[before]), np.hypot(s_err[after], s_err[before])
    # A change of the entropy that may be zero bounds nothing.
    known = np.isfinite(change) & (np.abs(change) > 2 * np.nan_to_num(change_err)) & (change != 0)
    slope = np.full(m, np.nan)
    slope[known] = rise[known] / change[known]
    stderr = np.full(m, np.nan)
    stderr[known] = np.hypot(rise_err[known], slope[known] * change_err[known]) / np.abs(change[known])
    return slope, stderr


def _or_nan(estimate: BurstEntropy, burst: Trajectory) -> tuple[float, float]:
    try:
        entropy, stderr = estimate(burst)
    except InsufficientData:
        return np.nan, np.nan
    return (entropy, stderr) if np.isfinite(entropy) else (np.nan, np.nan)
