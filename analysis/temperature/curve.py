"""Temperature against learning rate: T = dU/dS along the family of stationary states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from analysis.results import UNIDENTIFIED, ZERO_TEMPERATURE
from analysis.temperature.convex import convex_temperatures
from analysis.temperature.interval import interval_temperatures
from analysis.temperature.local_quadratic import local_quadratic_temperatures
from analysis.temperature.power import power_law_temperatures
from analysis.temperature.result import TemperatureCurve
from analysis.temperature.states import States

#: Methods of `temperature_curve`, the default first.
METHODS = ("local-quadratic", "interval", "convex", "power-law")
#: A loss this close to zero, or of a collapsed state to the lowest, is at an optimum: float32 gets no lower.
OPTIMUM = 1e-6


def at_optimum(loss: float) -> bool:
    """Whether a loss is zero within `OPTIMUM`; False for a negative loss, whose minimum is not known."""
    return 0 <= loss <= OPTIMUM


def temperature_curve(
    lr: ArrayLike,
    loss: ArrayLike,
    entropy: ArrayLike,
    loss_stderr: ArrayLike | None = None,
    entropy_stderr: ArrayLike | None = None,
    method: str = "local-quadratic",
    *,
    correlation: float | None = None,
    epsilon: float = 0.0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> TemperatureCurve:
    """Temperature at each learning rate from the stationary losses and entropies.

    An entropy of -inf is a state that collapsed to a point. If its loss is the lowest, its temperature is 0 with status
    ``zero-temperature``; the other states are fitted without it.

    Parameters
    ----------
    lr, loss, entropy : (n,) learning rates in any order, repeats (seeds) allowed; losses; entropies in nats.
    loss_stderr, entropy_stderr : (n,) standard errors. One that is missing (NaN) or zero is replaced by the largest of
        its neighbours' (`States.completed`), and the curve's `notes` say so. Without any, temperatures have no
        intervals and status ``no-interval``.
    method : ``local-quadratic`` fits U and S each by a local polynomial in ln lr and takes
        T = (dU/d ln lr)/(dS/d ln lr) with a delta-method interval. ``interval`` is the estimate of arXiv
        2505.23489, the temperatures at which every state minimises its own free energy; its bounds are not a
        confidence interval. ``convex`` fits U as a convex, rising function of S by weighted least squares, which is
        what a minimised free energy implies, and takes its slope. ``power-law`` fits T = a·lr^b to U and S directly,
        by U = U_0 + ∫ T dS. The last two get their intervals from a parametric bootstrap.
    correlation : between the errors of loss and entropy of one state, as `analysis.entropy.correlation_with_mean` gives
        it; used by ``local-quadratic``, which otherwise looks for it in its residuals.
    epsilon : tolerance on the free energies in ``interval``, in loss units.
    level : nominal coverage of the intervals.
    rng : of the bootstrap; by default one with a fixed seed, so that the same data give the same interval.

    Returns
    -------
    TemperatureCurve
        Temperatures in loss units per nat, in the order of `lr`, with intervals and statuses.

    Raises
    ------
    ValueError
        Lists of different length, values that are not finite, negative standard errors, an unknown method, or a level,
        epsilon or correlation out of range.
    InsufficientData
        Fewer than three different learning rates.

    Examples
    --------
    States of a quadratic loss in two dimensions at T = lr, which has U = T and S = ln T + constant:

    >>> import numpy as np
    >>> from analysis import temperature_curve
    >>> lr = np.geomspace(0.01, 0.1, 7)
    >>> curve = temperature_curve(lr, lr, np.log(lr), loss_stderr=0.01 * lr, entropy_stderr=np.full(7, 0.01))
    >>> bool(np.allclose(curve.temperature, lr, rtol=1e-3)), set(curve.status.tolist())
    (True, {'ok'})
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown: choose one of {', '.join(METHODS)}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level!r}: try 0.95")
    if not np.isfinite(epsilon):
        raise ValueError(f"epsilon must be a finite loss, got {epsilon!r}")
    states = States.of(lr, loss, entropy, loss_stderr, entropy_stderr, correlation)
    methods: dict[str, Callable[[States], TemperatureCurve]] = {
        "local-quadratic": lambda s: local_quadratic_temperatures(s, level),
        "convex": lambda s: convex_temperatures(s, level, _generator(rng)),
        "power-law": lambda s: power_law_temperatures(s, level, _generator(rng)),
    }

    def fitted(warm: States) -> TemperatureCurve:
        if method == "interval":
            return interval_temperatures(warm, epsilon)
        complete, notes = warm.completed()
        curve = methods[method](complete)
        return replace(curve, notes=notes + curve.notes)

    return _apart_from_collapsed(states, fitted, method)


def _generator(rng: np.random.Generator | None) -> np.random.Generator:
    return np.random.default_rng(0) if rng is None else rng


def _apart_from_collapsed(states: States, method: Callable[[States], TemperatureCurve], name: str) -> TemperatureCurve:
    """States of entropy -inf have collapsed to points, at T = 0 if at an optimum; `method` fits the others."""
    collapsed = np.isneginf(states.entropy)
    if not collapsed.any():
        return method(states)
    n = len(states.lr)
    numbers = {key: np.full(n, np.nan) for key in ("temperature", "lower", "upper", "stderr")}
    status = np.full(n, UNIDENTIFIED, dtype="<U32")
    lowest = float(states.loss.min())
    cold = collapsed & (states.loss <= lowest + max(OPTIMUM, 1e-3 * float(np.ptp(states.loss))))
    for values in numbers.values():
        values[cold] = 0.0
    status[cold] = ZERO_TEMPERATURE
    rest = np.nonzero(~collapsed)[0]
    whole = TemperatureCurve(
        states.lr, numbers["temperature"], numbers["lower"], numbers["upper"], numbers["stderr"], status, name,
        level=float("nan"),
    )  # fmt: skip
    if len(np.unique(states.lr[rest])) < 3:
        return whole
    fitted = method(states.take(rest))
    for key, values in numbers.items():
        values[rest] = getattr(fitted, key)
    status[rest] = fitted.status
    covariance = None
    if fitted.covariance is not None:
        # The zero temperature of a collapsed state is exact.
        covariance = np.zeros((n, n))
        covariance[np.ix_(rest, rest)] = fitted.covariance
    return replace(whole, level=fitted.level, covariance=covariance, notes=fitted.notes)
