"""T = (dU/d ln lr)/(dS/d ln lr) from local quadratics in ln lr."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis._typing import FloatArray
from analysis.results import OK, UNIDENTIFIED, ZERO_TEMPERATURE
from analysis.temperature._points import Points, TemperatureCurve

#: Different learning rates that the bias correction needs; fewer get the plain local quadratic.
POINTS_FOR_CORRECTION = 5
#: Bandwidths that the cross-validation tries, in units of the median spacing of ln lr; the last is a global fit.
BANDWIDTHS = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, np.inf)


@dataclass(frozen=True)
class LocalFit:
    """A smooth curve through y(ln lr).

    Attributes
    ----------
    level : (n,) the curve at each point.
    slope, stderr : (n,) d y/d ln lr and its standard error.
    dof : degrees of freedom of the noise behind it; infinite when the noise was given.
    """

    level: FloatArray
    slope: FloatArray
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


def local_fit(x: FloatArray, y: FloatArray, stderr: FloatArray | None) -> LocalFit:
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
    return LocalFit(
        level @ values * scale + float(y.mean()), slope @ values * scale, np.sqrt(slope**2 @ variance) * scale, known
    )


def _degrees_of_freedom(level: FloatArray) -> float:
    """Of the residuals of the linear smoother ``level``, (n, n)."""
    return float(len(level) - 2 * np.trace(level) + np.sum(level**2))


def local_quadratic_temperatures(points: Points, level: float) -> TemperatureCurve:
    """Ratio of the two slopes at each learning rate, with a delta-method interval."""
    x = points.x
    loss, entropy = local_fit(x, points.u, points.du), local_fit(x, points.s, points.ds)
    flat = entropy.slope == 0
    safe = np.where(flat, 1.0, entropy.slope)
    temperature = np.where(flat, np.nan, loss.slope / safe)
    # Delta method; written without a division by the loss's slope, which may be zero.
    stderr = np.where(flat, np.nan, np.hypot(loss.stderr, temperature * entropy.stderr) / np.abs(safe))
    dof = max(1.0, min(loss.dof, entropy.dof))
    reach = float(stats.norm.ppf(0.5 + level / 2) if np.isinf(dof) else stats.t.ppf(0.5 + level / 2, dof))
    status = np.full(len(x), OK, dtype="<U32")
    status[~(loss.slope - reach * loss.stderr > 0)] = ZERO_TEMPERATURE
    status[loss.slope + reach * loss.stderr < 0] = UNIDENTIFIED
    # A slope of S that may be zero makes T anything; no noise estimate at all makes it unknown too.
    status[~(entropy.slope - reach * entropy.stderr > 0) | ~np.isfinite(stderr)] = UNIDENTIFIED
    lower, upper = temperature - reach * stderr, temperature + reach * stderr
    return TemperatureCurve(np.exp(x), temperature, lower, upper, stderr, status, "local-quadratic", level)
