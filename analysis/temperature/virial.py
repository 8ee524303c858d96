"""Temperatures from products of weights and gradients: the virial theorem, and fluctuation and dissipation.

Each is exact for a Gibbs state and wrong in its own way for others, so that agreement with T = dU/dS says more than any
interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.geometry import centred_columns, column_chunks
from analysis.results import AnyArray, InsufficientData


def virial_temperature(weights: AnyArray, gradients: AnyArray) -> float:
    """⟨(w − w̄)·∇L⟩/d, which is T for a Gibbs state in flat space.

    Parameters
    ----------
    weights, gradients : (n, d) snapshots, and full or unbiased minibatch gradients at them.

    Returns
    -------
    Temperature in loss units per nat.

    Raises
    ------
    ValueError
        For arrays of different shape.
    """
    if weights.shape != gradients.shape or weights.ndim != 2:
        raise ValueError(f"weights have shape {weights.shape}, gradients {gradients.shape}: give one for each snapshot")
    total = 0.0
    for columns in column_chunks(*weights.shape):
        total += float(np.sum(centred_columns(weights, columns) * gradients[:, columns]))
    return total / weights.size


@dataclass(frozen=True)
class FluctuationDissipation:
    """The fluctuation-dissipation relation over a window of a training run.

    Attributes
    ----------
    ratio : 1 in a stationary state. In flat space 2⟨w·g⟩/(η⟨|g|²⟩) (Yaida 2018). On the sphere w·g = 0 and the relation
        is that of a fixed direction r, −2⟨g·r⟩/(η⟨(w·r)|g|²⟩), exact with the sums of
        `mlflow_thermo.fluctuations.FluctuationSums`.
    temperature : ⟨w·g⟩/d, the virial temperature, loss units per nat; NaN on the sphere.
    steps : iterations behind the averages.
    """

    ratio: float
    temperature: float
    steps: int


def fluctuation_dissipation(
    sums: dict[str, float], lr: float, dim: int, *, on_sphere: bool = False, before: dict[str, float] | None = None
) -> FluctuationDissipation:
    """Fluctuation-dissipation relation from the sums that a training run logs.

    Parameters
    ----------
    sums : running sums by name: ``steps``, ``wg`` (w·g), ``gg`` (|g|²), ``gr`` (g·r), ``wr`` (w·r), ``wrgg``.
    lr : step size η of the update.
    dim : number of weights d.
    on_sphere : whether the weights are rescaled to norm 1 after every step.
    before : the same sums at the start of the window, so that the transient does not count; None for all steps.

    Raises
    ------
    InsufficientData
        Missing sums, or a window without steps.
    """
    needed = ("steps", "gr", "wrgg") if on_sphere else ("steps", "wg", "gg")
    missing = [name for name in needed if name not in sums or (before is not None and name not in before)]
    if missing:
        raise InsufficientData(f"sums lack {', '.join(missing)}: log mlflow_thermo.fluctuations.FluctuationSums")
    window = {name: sums[name] - (before[name] if before else 0.0) for name in needed}
    steps = int(window["steps"])
    if steps < 1:
        raise InsufficientData("the window holds no steps: take `before` from an earlier step")
    if on_sphere:
        scale = lr * window["wrgg"]
        return FluctuationDissipation(-2 * window["gr"] / scale if scale else float("nan"), float("nan"), steps)
    scale = lr * window["gg"]
    ratio = 2 * window["wg"] / scale if scale else float("nan")
    return FluctuationDissipation(ratio, window["wg"] / steps / dim, steps)
