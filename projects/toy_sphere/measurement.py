"""SGD on the sphere toy at every learning rate, and all that is measured of it. Pure; no MLflow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from analysis.results import FloatArray
from analysis.testsystems import SphereToy, toys
from mlflow_thermo.schema import FIXED_ELR, FIXED_LR
from projects.toy_sphere.decay import DecayStudy, run_decay
from projects.toy_sphere.study import CONVERGED, ToyStudy
from projects.toy_sphere.thermodynamics import state_entropies, state_temperatures

#: Steps and chains of a toy, where the user gives none.
STEPS, CHAINS = 50_000, 256
#: Log-spaced points of the courses, and evenly spaced ones of the averages over the second half.
_LOG_POINTS, _EVEN_POINTS = 40, 100
#: Snapshots of a chain behind the entropy: three correlation times apart at lr = 0.001.
_SNAPSHOTS = 4
#: Steps of a trajectory that are kept for a picture.
_PATH = 400
#: Protocol, lr and range of the weight decays of the isotropic-noise sphere.
_DECAYS = ((FIXED_ELR, 0.05, 1e-3, 1e-1), (FIXED_LR, 0.5, 5e-3, 2e-1))
_DIMENSIONS = (3, 10)


def run_toys(
    lrs: Sequence[float],
    steps: int = STEPS,
    chains: int = CHAINS,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[list[ToyStudy], list[DecayStudy]]:
    """Both toys at all learning rates, and the weight-decay studies.

    Parameters
    ----------
    progress : takes a line of text as each of them begins.
    """
    studies = []
    for toy in toys():
        progress(f"toy {toy.name}: {len(lrs)} learning rates, {chains} chains, {steps} steps")
        studies.append(run_toy(toy, lrs, steps, chains, seed))
    decays = []
    for protocol, lr, low, high in _DECAYS:
        for d in _DIMENSIONS:
            progress(f"weight decay: {protocol}, d = {d}")
            decays.append(run_decay(d, protocol, lr, np.geomspace(low, high, 6), seed))
    return studies, decays


def run_toy(
    toy: SphereToy,
    lr: ArrayLike,
    steps: int = STEPS,
    chains: int = CHAINS,
    seed: int = 0,
) -> ToyStudy:
    """Simulate a toy at all learning rates at once and measure it.

    Raises
    ------
    ValueError
        Fewer than 1000 steps or 10 chains, or a learning rate that is not a finite positive number.
    """
    rates = np.unique(np.atleast_1d(np.asarray(lr, dtype=float)))
    if steps < 1000 or chains < 10:
        raise ValueError(f"the toy needs at least 1000 steps and 10 chains, got steps={steps} and chains={chains}")
    rng = np.random.default_rng(seed)
    half = steps // 2
    log_times = np.unique(np.geomspace(1, steps - 1, _LOG_POINTS).astype(int))
    even = np.unique(np.linspace(half, steps - 1, _EVEN_POINTS).astype(int))
    kept = set(np.linspace(half, steps - 1, _SNAPSHOTS).astype(int).tolist())
    measured = sorted({*log_times.tolist(), *even.tolist()})
    norms: dict[int, list[FloatArray]] = {}
    total = np.zeros((len(rates), chains))
    snapshots: list[FloatArray] = []
    paths = np.empty((len(rates), _PATH, 3))
    last = total
    due = set(measured)
    for step, (x, losses) in enumerate(toy.walk(rates, chains, steps, rng)):
        if step < _PATH:
            paths[:, step] = x[:, :, 0].T
        if step >= half:
            total += losses
        if step in due:
            points = np.moveaxis(x, 0, -1)
            last = toy.loss(points)
            norms[step] = [last, *toy.norms(points)]
        if step in kept:
            snapshots.append(np.moveaxis(x, 0, -1).copy())
    window = total / (steps - half)
    late = [norms[step] for step in even.tolist()]
    entropy, entropy_stderr = state_entropies(np.stack(snapshots, axis=2), rng)
    loss, loss_stderr = window.mean(axis=1), window.std(axis=1, ddof=1) / np.sqrt(chains)
    converged = np.mean(last < CONVERGED, axis=1)
    temperature, lower, upper = state_temperatures(rates, loss, loss_stderr, entropy, entropy_stderr, converged >= 1)
    courses = [np.stack([_mean(norms[t][i]) for t in log_times.tolist()], axis=1) for i in range(4)]
    full, minibatch, snr = (_mean(np.stack([_mean(one[i]) for one in late], axis=1)) for i in (1, 2, 3))
    return ToyStudy(
        toy.name, rates, steps, chains, seed, loss, loss_stderr, window, entropy, entropy_stderr, temperature, lower,
        upper, full, minibatch, snr, converged, log_times, courses[0], courses[1], courses[2], courses[3], paths,
    )  # fmt: skip


def _mean(values: FloatArray) -> FloatArray:
    """Mean over the last axis of what is finite; NaN where nothing is."""
    finite = np.isfinite(values)
    count = finite.sum(axis=-1)
    total = np.where(finite, values, 0.0).sum(axis=-1)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
