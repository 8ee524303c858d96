"""One power law or two, decided by the losses and entropies themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares

from analysis.results import FloatArray, InsufficientData
from analysis.temperature.power import power_law_fit, thermal_integral
from analysis.temperature.states import States

#: Fewest learning rates for a break: the two laws have five parameters, and some degrees of freedom must be left.
FEWEST = 8
#: Changes of the exponent at the break from which the search starts.
_STARTS = (-1.5, 0.0, 1.5)


@dataclass(frozen=True)
class BrokenLaw:
    """T = a·lr^b with a different exponent above a break, fitted through U = U_0 + ∫ T dS.

    Attributes
    ----------
    lr_break : where the two laws meet; one of the inner learning rates.
    exponent_below, exponent_above : on either side.
    bic_single, bic_broken : Bayesian information criteria of one law and of two; the lower one is preferred.
    """

    lr_break: float
    exponent_below: float
    exponent_above: float
    bic_single: float
    bic_broken: float

    @property
    def preferred(self) -> bool:
        """Whether the break is worth its two extra parameters."""
        return bool(self.bic_broken < self.bic_single)


def broken_power_law(
    lr: ArrayLike,
    loss: ArrayLike,
    entropy: ArrayLike,
    loss_stderr: ArrayLike | None = None,
    entropy_stderr: ArrayLike | None = None,
) -> BrokenLaw:
    """One power law and two, each fitted to the states by least squares, compared by their BIC.

    The temperatures of a smooth curve cannot decide this: neighbouring points share data, and scatter about a bend by
    far less than their errors.

    Parameters
    ----------
    lr, loss, entropy, loss_stderr, entropy_stderr : (n,) as for `temperature_curve`; the errors are needed.

    Raises
    ------
    ValueError
        Lists of different length, or values that are not finite.
    InsufficientData
        Fewer than eight different learning rates, a collapsed state (entropy -inf), no standard errors, or no power law
        of positive temperature that fits.
    """
    states = States.of(lr, loss, entropy, loss_stderr, entropy_stderr)
    if not np.isfinite(states.entropy).all():
        raise InsufficientData("entropy must be finite: leave collapsed runs out")
    mean, _ = states.completed()[0].by_lr()
    if len(mean.lr) < FEWEST:
        raise InsufficientData(f"a break needs {FEWEST} different learning rates, got {len(mean.lr)}")
    loss_error, entropy_error = mean.errors("a break")
    x = mean.x - float(mean.x.mean())
    scale = float(np.ptp(mean.loss)) or 1.0
    reach = float(np.ptp(mean.entropy)) or 1.0
    u, s = (mean.loss - mean.loss.mean()) / scale, mean.entropy / reach
    du, ds = loss_error / scale, entropy_error / reach
    log_a, b = power_law_fit(x, u, s, du**-2)
    if not np.isfinite(log_a):
        raise InsufficientData("no power law with a positive temperature fits the states")
    # Both fits use the errors at the temperatures of the single law, so that their χ² can be compared.
    error = np.hypot(du, np.exp(log_a + b * x) * ds)

    def residuals(numbers: FloatArray, knot: float) -> FloatArray:
        return np.asarray((u - numbers[0] - _loss(x, s, numbers[1], numbers[2], numbers[3], knot)) / error)

    level = float(np.average(u - _loss(x, s, log_a, b, 0.0, 0.0), weights=error**-2))
    single = least_squares(lambda n: residuals(np.append(n, 0.0), 0.0), [level, log_a, b])
    best, at = None, 0.0
    for knot in x[2:-2]:
        for start in _STARTS:
            found = least_squares(residuals, [*single.x, start], args=(knot,))
            if best is None or found.cost < best.cost:
                best, at = found, knot
    assert best is not None
    # Where the states scatter by more than their errors, the scatter sets the scale.
    width = max(1.0, 2 * best.cost / max(1, len(x) - 5))
    penalty = float(np.log(len(x)))
    return BrokenLaw(
        float(np.exp(at + mean.x.mean())), float(best.x[2]), float(best.x[2] + best.x[3]),
        float(2 * single.cost / width + 3 * penalty), float(2 * best.cost / width + 5 * penalty),
    )  # fmt: skip


def _loss(x: FloatArray, s: FloatArray, log_a: float, b: float, bend: float, knot: float) -> FloatArray:
    # The search may try temperatures whose squares overflow.
    log_t = np.clip(log_a + b * x + bend * np.maximum(x - knot, 0.0), -300.0, 300.0)
    return thermal_integral(log_t, s)
