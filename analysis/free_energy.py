"""Free-energy curves F(lr'; T(lr)) = U(lr') − T(lr)·S(lr'), and tests of the claim that SGD minimises them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.results import FloatArray, InsufficientData
from analysis.temperature import States, convex_fit, polynomial, rounding, temperature_curve

#: Repetitions of the bootstrap behind a p-value.
BOOTSTRAP = 500


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
    """Test of 'F is minimised': every state minimises an F at T > 0 if and only if U is a convex, rising function of S.

    Weighted convex least squares; the p-value is that of its χ² under a parametric bootstrap about a straight line,
    the convex curve that noise contradicts most easily, so that no convex curve is rejected more often than stated.

    Parameters
    ----------
    lr, loss, entropy : (n,) in any order, repeats allowed; losses in loss units, entropies in nats.
    loss_stderr, entropy_stderr : (n,) standard errors; the test needs them to distinguish a bend from noise.
    rng : of the bootstrap; by default one with a fixed seed.

    Returns
    -------
    ConvexityTest
        p-value, χ² and the best convex, rising curve.

    Raises
    ------
    ValueError
        Lists of different length, or values that are not finite.
    InsufficientData
        Fewer than four different learning rates (three points may bend either way by chance), a collapsed state
        (entropy -inf), or no standard errors.

    Examples
    --------
    A loss that rises as the logarithm of the entropy is concave in it, so that no F is minimised:

    >>> import numpy as np
    >>> from analysis import convexity_test
    >>> lr = np.geomspace(0.01, 0.1, 5)
    >>> convexity_test(lr, np.log(lr), lr, np.full(5, 0.01), 0.01 * lr).p_value < 0.05
    True
    """
    states = _finite_states(States.of(lr, loss, entropy, loss_stderr, entropy_stderr), 4, "convexity")
    rng = np.random.default_rng(0) if rng is None else rng
    du, ds = states.completed()[0].errors("a test of convexity")
    fit = convex_fit(states.entropy, states.loss, du, ds)
    # Least favourable truth: a straight line, on which every bend is noise. A bootstrap from the fitted curve would
    # mistake the bends that it fitted to noise for real ones, and reject a true line in 10 % of cases.
    s_line = polynomial(states.x - states.x.mean(), 2, np.ones_like(ds)).level @ states.entropy
    noise = np.maximum(np.hypot(du, fit.slope * ds), rounding(states.loss))
    line = s_line * max(float(np.ptp(states.loss)), 20 * float(noise.max())) / (float(np.ptp(s_line)) or 1.0)
    exceed = 0
    for _ in range(BOOTSTRAP):
        again = convex_fit(s_line, line + noise * rng.normal(size=len(noise)), noise, np.zeros_like(noise))
        exceed += again.chi_square >= fit.chi_square
    return ConvexityTest((exceed + 1) / (BOOTSTRAP + 1), fit.chi_square, fit.u)


@dataclass(frozen=True)
class LeaveOneOut:
    """Each learning rate judged by the temperature that the others give it.

    Attributes
    ----------
    lr : (m,) the learning rates without the two ends, rising.
    temperature : (m,) interpolated from the curve of the others.
    argmin_lr : (m,) learning rate whose state has the lowest F at that temperature.
    steps : (m,) distance between the two, in grid steps with sign.
    excess : (m,) F of the state above the lowest, loss units.
    excess_stderr : (m,) its standard error, loss units.
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

    Parameters
    ----------
    lr, loss, entropy, loss_stderr, entropy_stderr : (n,) as for `convexity_test`.

    Raises
    ------
    ValueError
        Lists of different length, or values that are not finite.
    InsufficientData
        Fewer than five different learning rates, a collapsed state (entropy -inf), no standard errors, or a loss that
        does not rise with the entropy.
    """
    states = _finite_states(States.of(lr, loss, entropy, loss_stderr, entropy_stderr), 5, "leaving one out")
    mean, _ = states.completed()[0].by_lr()
    u, s, (du, ds) = mean.loss, mean.entropy, mean.errors("leaving one out")
    rows = []
    count = len(mean.lr)
    for i in range(1, count - 1):
        others = np.delete(np.arange(count), i)
        curve = temperature_curve(mean.lr[others], u[others], s[others], du[others], ds[others])
        known = np.isfinite(curve.temperature)
        if not known.any():
            raise InsufficientData(
                "the entropy does not change with lr, or the loss falls as it rises: no temperature to judge by"
            )
        t = float(np.interp(mean.x[i], mean.x[others][known], curve.temperature[known]))
        free = u - t * s
        # Among states that are equal up to rounding, the one that is judged counts as the minimum.
        best = i if free[i] <= free.min() + rounding(u) else int(np.argmin(free))
        error = float(np.sqrt(du[i] ** 2 + du[best] ** 2 + t**2 * (ds[i] ** 2 + ds[best] ** 2))) if best != i else 0.0
        rows.append((mean.lr[i], t, mean.lr[best], best - i, free[i] - free[best], error))
    return LeaveOneOut(*np.array(rows, dtype=float).T)


def _finite_states(states: States, fewest: int, purpose: str) -> States:
    """The states; InsufficientData at fewer than `fewest` learning rates, or where one has collapsed."""
    count = len(np.unique(states.lr))
    if count < fewest:
        raise InsufficientData(f"lr holds {count} different learning rates: {purpose} needs at least {fewest}")
    if not np.isfinite(states.entropy).all():
        raise InsufficientData("entropy must be finite: leave collapsed runs out")
    return states
