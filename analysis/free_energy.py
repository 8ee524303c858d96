"""Free-energy curves F(lr'; T(lr)) = U(lr') − T(lr)·S(lr'), and tests of the claim that SGD minimises them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.results import FloatArray
from analysis.temperature import (
    Averages,
    Points,
    checked_points,
    convex_fit,
    polynomial,
    power_law_guide,
    rounding,
    scatter,
    temperature_curve,
)

#: Repetitions of the bootstrap behind a p-value.
BOOTSTRAP = 500
#: Learning rates from which the noise, where it is not told, is that of all but two neighbours.
FEWEST_FOR_OUTLIERS = 8


def free_energy_curves(loss: ArrayLike, entropy: ArrayLike, temperature: ArrayLike) -> FloatArray:
    """All free-energy curves of a study.

    Parameters
    ----------
    loss, entropy, temperature : (n,) by learning rate, in loss units, nats and loss units per nat.

    Returns
    -------
    (n, n) array: row i is the curve at temperature T_i over the states j, F_ij = U_j − T_i·S_j. SGD minimises
    its free energy when row i has its minimum at j = i. Rows of a NaN temperature are NaN.

    Raises
    ------
    ValueError
        Lists of different length.
    """
    u, s, t = (np.atleast_1d(np.asarray(values, dtype=float)) for values in (loss, entropy, temperature))
    if not u.shape == s.shape == t.shape or u.ndim != 1:
        raise ValueError(f"loss, entropy and temperature have shapes {u.shape}, {s.shape}, {t.shape}: make them equal")
    return np.asarray(u[None, :] - t[:, None] * s[None, :])


@dataclass(frozen=True)
class ConvexityTest:
    """Whether the states can all be minima of free energies.

    Attributes
    ----------
    p_value : probability of points so far from convex and rising if their true curve is both. Small: F is not
        minimised.
    chi_square : of the best convex, rising curve through the points, in units of their noise.
    fitted : (n,) losses on that curve, in the order of the points.
    """

    p_value: float
    chi_square: float
    fitted: FloatArray


def convexity_test(
    lr: ArrayLike,
    loss: ArrayLike,
    entropy: ArrayLike,
    loss_stderr: ArrayLike | None = None,
    entropy_stderr: ArrayLike | None = None,
    *,
    rng: np.random.Generator | None = None,
) -> ConvexityTest:
    """Test of 'F is minimised': every state minimises some F at T > 0 exactly if U is a convex, rising function of S.

    Weighted convex least squares; the p-value is that of its χ² under a parametric bootstrap about a straight line,
    the convex curve that noise contradicts most easily, so that no convex curve is rejected more often than stated.
    Without standard errors the noise is estimated from the scatter along ln lr, from eight learning rates on without
    the two neighbours that scatter most, in every repetition anew.

    Parameters
    ----------
    lr, loss, entropy : (n,) in any order, repeats allowed.
    loss_stderr, entropy_stderr : (n,) standard errors.
    rng : of the bootstrap; by default one with a fixed seed.

    Raises
    ------
    ValueError
        Lists of different length, fewer than four different learning rates (three points always allow a bend either
        way), values that are not finite.
    """
    points = checked_points(lr, loss, entropy, loss_stderr, entropy_stderr)
    if len(np.unique(points.x)) < 4:
        raise ValueError(f"lr holds {len(np.unique(points.x))} different learning rates: convexity needs at least 4")
    if not np.isfinite(points.s).all():
        raise ValueError("entropy must be finite: leave collapsed runs out")
    rng = np.random.default_rng(0) if rng is None else rng
    du, ds = points.with_noise()
    floor = rounding(points.u)
    fit = convex_fit(points.s, points.u, np.maximum(du, floor), ds)
    # Least favourable truth: a straight line, on which every bend is noise. A bootstrap from the fitted curve would
    # take the bends that it fitted to noise for true ones, leave them room, and reject a true line in 10 % of cases.
    s_line = polynomial(points.x - points.x.mean(), 2, np.ones_like(ds)).level @ points.s
    noise = np.hypot(du, fit.slope * ds)
    noise = np.maximum(noise, floor)
    line = s_line * max(float(np.ptp(points.u)), 20 * float(noise.max())) / (float(np.ptp(s_line)) or 1.0)
    told = points.du is not None and points.ds is not None
    exact = float(np.ptp(points.u)) == 0 or float(noise.max()) <= floor
    if not told and len(np.unique(points.x)) >= FEWEST_FOR_OUTLIERS and not exact:
        return _against_the_rest(points, noise, line, rng)
    exceed = 0
    for _ in range(BOOTSTRAP):
        error = noise * rng.normal(size=len(noise))
        # Noise that was estimated from the data is estimated from the repetition too.
        ratio = 1.0 if told else float(scatter(points.x, error / noise)[0])
        again = convex_fit(s_line, line + error, noise * max(ratio, 1e-6), np.zeros_like(noise))
        exceed += again.chi_square >= fit.chi_square
    return ConvexityTest((exceed + 1) / (BOOTSTRAP + 1), fit.chi_square, fit.u)


def _against_the_rest(points: Points, noise: FloatArray, line: FloatArray, rng: np.random.Generator) -> ConvexityTest:
    """The test where the noise is not known, by the scatter of the study without the two neighbours that scatter most.

    A bump would otherwise count as noise itself. The scatter is that about a power law, whose curvature is no noise
    either; curvature that is left makes the test careful, never bold.
    """
    x = points.x - points.x.mean()
    guide = power_law_guide(x, points.u, points.s, noise, np.ones_like(noise))
    # What the errors of both do to a state's place beside the curve. The slopes of the convex fit would do for this
    # too, but they follow the noise, which then looks smaller than it is.
    temperature = np.divide(guide.u_slope, guide.s_slope, out=np.zeros_like(x), where=guide.s_slope != 0)
    du, ds = points.with_noise()
    shape = np.maximum(np.hypot(du, temperature * ds), rounding(points.u))
    unit = float(shape.mean())
    shape /= unit
    fit = convex_fit(points.s, points.u, shape, np.zeros_like(shape))
    residual = (points.u - guide.u) - temperature * (points.s - guide.s)
    observed = fit.chi_square / _least_scatter(points.x, residual / shape) ** 2
    units = line / float(noise.mean())
    exceed = 0
    for _ in range(BOOTSTRAP):
        of_u, of_s = du / unit * rng.normal(size=len(shape)), temperature * ds / unit * rng.normal(size=len(shape))
        again = convex_fit(line, units + of_u - of_s, shape, np.zeros_like(shape))
        # The guides take a part of the noise with them.
        left = of_u - guide.of_u.level @ of_u - (of_s - guide.of_s.level @ of_s)
        exceed += again.chi_square / _least_scatter(points.x, left / shape) ** 2 >= observed
    return ConvexityTest((exceed + 1) / (BOOTSTRAP + 1), observed, fit.u)


def _least_scatter(x: FloatArray, y: FloatArray) -> float:
    """Smallest `scatter` of y without two neighbouring learning rates."""
    grid, where = np.unique(x, return_inverse=True)
    kept = [(where != i) & (where != i + 1) for i in range(len(grid) - 1)]
    return min(float(scatter(x[keep], y[keep])[0]) for keep in kept)


@dataclass(frozen=True)
class LeaveOneOut:
    """Each learning rate judged by the temperature that the others give it.

    Attributes
    ----------
    lr : (m,) the inner different learning rates, rising.
    temperature : (m,) interpolated from the curve of the others.
    argmin_lr : (m,) learning rate whose state has the lowest F at that temperature.
    steps : (m,) distance between the two, in grid steps with sign.
    excess : (m,) F of the state above the lowest, loss units.
    excess_stderr : (m,)
    """

    lr: FloatArray
    temperature: FloatArray
    argmin_lr: FloatArray
    steps: FloatArray
    excess: FloatArray
    excess_stderr: FloatArray


def leave_one_out(
    lr: ArrayLike,
    loss: ArrayLike,
    entropy: ArrayLike,
    loss_stderr: ArrayLike | None = None,
    entropy_stderr: ArrayLike | None = None,
) -> LeaveOneOut:
    """Whether each state minimises the free energy at a temperature that was measured without it.

    A state is the minimum of F at its own temperature by construction of T = dU/dS; leaving it out makes the
    statement one that data can contradict. Repeated learning rates are averaged first.

    Raises
    ------
    ValueError
        Lists of different length, fewer than five different learning rates, values that are not finite, an entropy
        that does not change.
    """
    points = checked_points(lr, loss, entropy, loss_stderr, entropy_stderr)
    grid = np.unique(points.x)
    if len(grid) < 5:
        raise ValueError(f"lr holds {len(grid)} different learning rates: leaving one out needs at least 5")
    if not np.isfinite(points.s).all():
        raise ValueError("entropy must be finite: leave collapsed runs out")
    mean = Averages.of(points)
    u, s, du, ds = mean.u, mean.s, mean.du, mean.ds
    rows = []
    for i in range(1, len(grid) - 1):
        others = np.delete(np.arange(len(grid)), i)
        given = (
            None if points.du is None else du[others],
            None if points.ds is None else ds[others],
        )
        curve = temperature_curve(np.exp(grid[others]), u[others], s[others], *given)
        t = float(np.interp(grid[i], grid[others], curve.temperature))
        if not np.isfinite(t):
            raise ValueError("the entropy does not change with lr, so that there is no temperature to judge by")
        free = u - t * s
        # Of states that no rounding tells apart the judged one is as much the minimum as any.
        best = i if free[i] <= free.min() + rounding(u) else int(np.argmin(free))
        error = float(np.sqrt(du[i] ** 2 + du[best] ** 2 + t**2 * (ds[i] ** 2 + ds[best] ** 2))) if best != i else 0.0
        rows.append((np.exp(grid[i]), t, np.exp(grid[best]), best - i, free[i] - free[best], error))
    return LeaveOneOut(*np.array(rows, dtype=float).T)
