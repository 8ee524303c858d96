"""The sphere toy measured: loss, gradients, entropy and temperature at every learning rate. Pure; no MLflow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from analysis.entropy import KozachenkoLeonenkoEntropy
from analysis.results import BoolArray, FloatArray, IntArray, number
from analysis.temperature import temperature_curve
from analysis.testsystems import SphereToy

#: A chain has converged when its loss is below this.
CONVERGED = 1e-6
#: Log-spaced points of the courses, and evenly spaced ones of the averages over the second half.
_LOG_POINTS, _EVEN_POINTS = 40, 100
#: Snapshots of a chain behind the entropy: three correlation times apart at lr = 0.001.
_SNAPSHOTS = 4
#: Steps of a trajectory that are kept for a picture.
_PATH = 400


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


def run_toy(
    toy: SphereToy,
    lr: ArrayLike,
    steps: int = 50_000,
    chains: int = 256,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
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
            progress(step / steps)
        if step in kept:
            snapshots.append(np.moveaxis(x, 0, -1).copy())
    window = total / (steps - half)
    late = [norms[step] for step in even.tolist()]
    entropy, entropy_stderr = _entropies(np.stack(snapshots, axis=2), rng)
    loss, loss_stderr = window.mean(axis=1), window.std(axis=1, ddof=1) / np.sqrt(chains)
    converged = np.mean(last < CONVERGED, axis=1)
    temperature, lower, upper = _temperatures(rates, loss, loss_stderr, entropy, entropy_stderr, converged >= 1)
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


def _entropies(points: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Entropies (m,) on S² of points (m, chains, snapshots, 3), and their standard errors, by nearest neighbours.

    A cap of the chord r has the area πr², so that chords with D = 2 are exact on this sphere. The loss does not tell x
    from −x: a random sign gives the state in which both poles are equally likely, whichever the chains fell into.
    """
    entropy, stderr = np.full(len(points), np.nan), np.full(len(points), np.nan)
    for i, one in enumerate(points):
        # Chain after chain: the blocks of the jackknife are then whole chains, which are independent.
        flat = one.reshape(-1, 3)
        flat = flat * rng.choice([-1.0, 1.0], size=(len(flat), 1))
        try:
            fitted = KozachenkoLeonenkoEntropy(k=4, dim=2).fit(flat)
        except ValueError:
            continue
        if np.isfinite(fitted.entropy_):
            entropy[i], stderr[i] = fitted.entropy_, fitted.entropy_stderr_
    return entropy, stderr


def _temperatures(
    lr: FloatArray,
    loss: FloatArray,
    loss_stderr: FloatArray,
    entropy: FloatArray,
    entropy_stderr: FloatArray,
    converged: BoolArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Temperatures (m,) and their intervals: 0 where all chains converge, dU/dS on the rest."""
    out = [np.where(converged, 0.0, np.nan) for _ in range(3)]
    warm = np.nonzero(~converged & np.isfinite(entropy) & (entropy_stderr > 0))[0]
    # Strong steps map the sphere onto ever thinner sets, and the entropy falls: the branch that has a temperature ends.
    peak = np.maximum.accumulate(entropy[warm]) if len(warm) else entropy[warm]
    falls = np.nonzero(entropy[warm] < peak - 3 * np.sqrt(2) * entropy_stderr[warm])[0]
    warm = warm[: falls[0]] if len(falls) else warm
    if len(warm) >= 4:
        curve = temperature_curve(lr[warm], loss[warm], entropy[warm], loss_stderr[warm], entropy_stderr[warm])
        # Where the entropy does not rise with the learning rate any more there is no temperature.
        fine = np.isfinite(curve.lower) & np.isfinite(curve.upper) & (curve.temperature > 0)
        for values, found in zip(out, (curve.temperature, curve.lower, curve.upper), strict=True):
            values[warm[fine]] = found[fine]
    return out[0], out[1], out[2]


def small_lr_slope(study: ToyStudy, most: float, least_loss: float) -> tuple[float, float]:
    """Slope of U − L_min in lr over lr up to `most`, through the origin, and its standard error.

    Weighted least squares in every chain; the chains are independent, the learning rates share their samples.
    """
    near = (study.lr <= most) & (study.loss_stderr > 0)
    if near.sum() < 2:
        raise ValueError(f"{int(near.sum())} learning rates up to {most:g}: give at least 2")
    x, weight = study.lr[near], study.loss_stderr[near] ** -2
    slopes = (weight * x) @ (study.chain_loss[near] - least_loss) / float(np.sum(weight * x * x))
    return float(slopes.mean()), float(slopes.std(ddof=1)) / float(np.sqrt(len(slopes)))
