"""Temperature against learning rate: T = dU/dS along the family of stationary states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analysis._typing import FloatArray, StrArray
from analysis.results import EMPTY, OK, UNIDENTIFIED, ZERO_TEMPERATURE

#: Half-width of the paper's triangular smoothing kernel, in ln lr.
PAPER_BANDWIDTH = 0.3
#: Different learning rates that the bias correction needs; fewer get the plain local quadratic.
POINTS_FOR_CORRECTION = 5
#: Bandwidths that the cross-validation tries, in units of the median spacing of ln lr; the last is a global fit.
BANDWIDTHS = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, np.inf)


@dataclass(frozen=True)
class TemperatureCurve:
    """Temperature at each learning rate, in the order in which the learning rates were given.

    Attributes
    ----------
    lr, temperature, lower, upper, stderr : (n,) arrays; temperatures in loss units per nat. NaN where a number
        does not exist, with a `status` that says why.
    status : (n,) statuses of `analysis.results`; a temperature whose status is not ``ok`` is tentative.
    method : how it was computed.
    level : of the interval ``[lower, upper]``; NaN where the bounds are not a confidence interval.
    """

    lr: FloatArray
    temperature: FloatArray
    lower: FloatArray
    upper: FloatArray
    stderr: FloatArray
    status: StrArray
    method: str
    level: float


def temperature_curve(
    lr: ArrayLike,
    loss: ArrayLike,
    entropy: ArrayLike,
    loss_stderr: ArrayLike | None = None,
    entropy_stderr: ArrayLike | None = None,
    method: str = "local-quadratic",
    *,
    epsilon: float = 0.0,
    level: float = 0.95,
) -> TemperatureCurve:
    """Temperature at each learning rate from the stationary losses and entropies.

    Parameters
    ----------
    lr, loss, entropy : (n,) learning rates in any order, repeats allowed (seeds); losses; entropies in nats.
    loss_stderr, entropy_stderr : (n,) standard errors; without them the noise is estimated from the residuals.
    method : ``local-quadratic`` fits U and S each by a local quadratic in ln lr and takes
        T = (dU/d ln lr)/(dS/d ln lr) with a delta-method interval. ``interval`` is the estimate of arXiv
        2505.23489: the temperatures at which every state minimises its own free energy; its bounds are no
        confidence interval.
    epsilon : slack of the free energies in ``interval``, in loss units.
    level : nominal coverage of the local-quadratic interval.

    Raises
    ------
    ValueError
        Lists of different length, fewer than three different learning rates, values that are not finite.
    """
    methods: dict[str, Callable[[], TemperatureCurve]] = {
        "local-quadratic": lambda: _local_quadratic(x, u, s, du, ds, level),
        "interval": lambda: _interval(x, u, s, epsilon),
    }
    if method not in methods:
        raise ValueError(f"method {method!r} is unknown: choose one of {', '.join(methods)}")
    rates, u, s = (np.atleast_1d(np.asarray(values, dtype=float)) for values in (lr, loss, entropy))
    for name, values in (("loss", u), ("entropy", s)):
        if values.shape != rates.shape or rates.ndim != 1:
            raise ValueError(f"{name} has shape {values.shape}, lr has {rates.shape}: give one value for each lr")
    if not (np.isfinite(rates).all() and (rates > 0).all()):
        raise ValueError("lr must hold finite positive numbers")
    if len(np.unique(rates)) < 3:
        raise ValueError(f"lr holds {len(np.unique(rates))} different learning rates: a temperature needs at least 3")
    if not np.isfinite(u).all() or np.isnan(s).any() or np.isposinf(s).any():
        raise ValueError("loss and entropy must be finite: leave diverged runs out")
    du, ds = (
        _checked_stderr(name, e, rates)
        for name, e in (("loss_stderr", loss_stderr), ("entropy_stderr", entropy_stderr))
    )
    if np.isneginf(s).any():
        return _collapsed(rates, u, method)
    x = np.log(rates)
    return methods[method]()


def _checked_stderr(name: str, values: ArrayLike | None, rates: FloatArray) -> FloatArray | None:
    if values is None:
        return None
    errors = np.atleast_1d(np.asarray(values, dtype=float))
    if errors.shape != rates.shape:
        raise ValueError(f"{name} has shape {errors.shape}, lr has {rates.shape}: give one value for each lr")
    if not (np.isfinite(errors).all() and (errors >= 0).all()):
        raise ValueError(f"{name} must hold finite numbers that are not negative")
    # A zero would give its point infinite weight; without any noise the residuals tell all there is.
    return errors if (errors > 0).all() else None


def _collapsed(rates: FloatArray, u: FloatArray, method: str) -> TemperatureCurve:
    """Entropies of -inf: the state is a point. Its temperature is zero where the loss does not change."""
    if np.ptp(u) > 0:
        raise ValueError("entropy is -inf while the loss changes: leave collapsed runs out")
    zero = np.zeros_like(rates)
    status = np.full(len(rates), ZERO_TEMPERATURE)
    return TemperatureCurve(rates, zero, zero.copy(), zero.copy(), zero.copy(), status, method, float("nan"))


@dataclass(frozen=True)
class _Slope:
    """d y/d ln lr at each point: estimate, standard error, degrees of freedom of the noise (inf: known)."""

    value: FloatArray
    stderr: FloatArray
    dof: float


def _smoother(x: FloatArray, weight: FloatArray, bandwidth: float, degree: int = 2) -> tuple[FloatArray, FloatArray]:
    """Rows that map y to the local polynomial's level and slope at each x, both (n, n)."""
    n = len(x)
    level, slope = np.empty((n, n)), np.empty((n, n))
    for i in range(n):
        z = x - x[i]
        kernel = np.ones(n) if np.isinf(bandwidth) else np.exp(-0.5 * (z / bandwidth) ** 2)
        root = np.sqrt(kernel * weight)
        design = z[:, None] ** np.arange(degree + 1)
        solution = np.linalg.pinv(design * root[:, None]) * root
        level[i], slope[i] = solution[0], solution[1]
    return level, slope


def _slope(x: FloatArray, y: FloatArray, stderr: FloatArray | None) -> _Slope:
    """Local-quadratic slope with a cross-validated bandwidth, corrected for its leading bias.

    At the bandwidth that predicts best, squared bias and variance are of one size, and an interval about the
    plain estimate would be centred beside the truth. The correction estimates the bias by the next order at the
    same bandwidth, and its noise is part of the standard error (Calonico, Cattaneo & Farrell 2018).
    """
    # Shifted and scaled, so that an entropy of 1e6 nats loses no digits and units do not matter.
    scale = float(np.ptp(y)) or 1.0
    values = (y - y.mean()) / scale
    weight = np.ones_like(x) if stderr is None else (scale / stderr) ** 2
    weight = weight / weight.mean()
    spacing = float(np.median(np.diff(np.unique(x))))
    # An end point is extrapolated when it is left out, and would vote for stiff fits whatever the curve.
    interior = (x > x.min()) & (x < x.max())
    best: tuple[float, FloatArray, FloatArray, float] | None = None
    for bandwidth in BANDWIDTHS:
        level, slope = _smoother(x, weight, bandwidth * spacing)
        leverage = 1.0 - np.diag(level)
        # A point that is fitted exactly says nothing about how well it is predicted.
        votes = interior & (leverage > 0.05)
        free = _degrees_of_freedom(level)
        # Without errors from outside, the residuals must be left enough freedom to show the noise.
        if not np.isinf(bandwidth) and (votes.sum() < interior.sum() or (stderr is None and free < 1.0)):
            continue
        residual = (values - level @ values) / np.maximum(leverage, 0.05)
        score = float(np.average(residual[interior] ** 2, weights=weight[interior]))
        if best is None or score < best[0]:
            best = (score, level, slope, bandwidth * spacing)
    assert best is not None
    _, level, slope, bandwidth = best
    residual = values - level @ values
    dof = _degrees_of_freedom(level)
    if len(np.unique(x)) >= POINTS_FOR_CORRECTION:
        _, slope = _smoother(x, weight, bandwidth, degree=3)
    variance = np.average(residual**2, weights=weight) * len(x) / dof / weight if dof > 0.5 else np.full_like(x, np.nan)
    if stderr is None:
        known = float(dof)
    else:
        # Scatter beyond the given errors (seeds, basins) widens the interval; it never narrows it.
        given = (stderr / scale) ** 2
        excess = float(np.nanmean(variance / given)) if dof > 0.5 else 1.0
        variance, known = given * max(1.0, excess), float("inf")
    return _Slope(slope @ values * scale, np.sqrt(slope**2 @ variance) * scale, known)


def _degrees_of_freedom(level: FloatArray) -> float:
    """Of the residuals of the linear smoother ``level``, (n, n)."""
    return float(len(level) - 2 * np.trace(level) + np.sum(level**2))


def _local_quadratic(
    x: FloatArray, u: FloatArray, s: FloatArray, du: FloatArray | None, ds: FloatArray | None, level: float
) -> TemperatureCurve:
    loss, entropy = _slope(x, u, du), _slope(x, s, ds)
    flat = entropy.value == 0
    safe = np.where(flat, 1.0, entropy.value)
    temperature = np.where(flat, np.nan, loss.value / safe)
    # Delta method; written without a division by the loss's slope, which may be zero.
    stderr = np.where(flat, np.nan, np.hypot(loss.stderr, temperature * entropy.stderr) / np.abs(safe))
    dof = max(1.0, min(loss.dof, entropy.dof))
    reach = float(stats.norm.ppf(0.5 + level / 2) if np.isinf(dof) else stats.t.ppf(0.5 + level / 2, dof))
    status = np.full(len(x), OK, dtype="<U32")
    status[~(loss.value - reach * loss.stderr > 0)] = ZERO_TEMPERATURE
    status[loss.value + reach * loss.stderr < 0] = UNIDENTIFIED
    # A slope of S that may be zero makes T anything; no noise estimate at all makes it unknown too.
    status[~(entropy.value - reach * entropy.stderr > 0) | ~np.isfinite(stderr)] = UNIDENTIFIED
    lower, upper = temperature - reach * stderr, temperature + reach * stderr
    return TemperatureCurve(np.exp(x), temperature, lower, upper, stderr, status, "local-quadratic", level)


def _interval(x: FloatArray, u: FloatArray, s: FloatArray, epsilon: float) -> TemperatureCurve:
    """The paper's interval on the means over repeated learning rates; end points get no temperature."""
    grid, where = np.unique(x, return_inverse=True)
    count = np.bincount(where)
    u, s = (_smooth(grid, np.bincount(where, values) / count) for values in (u, s))
    n = len(grid)
    low, high = np.full(n, np.nan), np.full(n, np.nan)
    for i in range(1, n - 1):
        with np.errstate(divide="ignore", invalid="ignore"):
            bound = (u[i] - u - epsilon) / (s[i] - s)
        above, below = bound[i + 1 :], bound[:i]
        above, below = above[np.isfinite(above)], below[np.isfinite(below)]
        high[i] = above.min() if len(above) else np.nan
        low[i] = max(0.0, below.max()) if len(below) else np.nan
        # A bound that nothing sets takes the other's value.
        if not len(below) or low[i] == 0.0:
            low[i] = high[i]
        if not len(above):
            high[i] = low[i]
    product = low * high
    temperature = np.sqrt(np.where(product >= 0, product, np.nan))
    status = np.full(n, OK, dtype="<U32")
    status[low > high] = EMPTY
    status[~np.isfinite(temperature)] = UNIDENTIFIED
    nothing = np.full(len(x), np.nan)
    return TemperatureCurve(
        np.exp(x), temperature[where], low[where], high[where], nothing, status[where], "interval", float("nan")
    )


def _smooth(x: FloatArray, y: FloatArray) -> FloatArray:
    kernel = np.maximum(PAPER_BANDWIDTH - np.abs(x[:, None] - x[None, :]), 0.0)
    smooth: FloatArray = (kernel / kernel.sum(axis=1, keepdims=True)) @ y
    smooth[[0, -1]] = y[[0, -1]]
    return smooth
