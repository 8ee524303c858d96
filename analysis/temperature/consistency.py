"""Whether temperatures that were measured without the entropy integrate to it: ∫ dU/T against S."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.results import FloatArray, InsufficientData


@dataclass(frozen=True)
class Consistency:
    """∫ dU/T along the study against the entropies.

    Attributes
    ----------
    integral : (m,) ∫ dU/T from the first learning rate, nats, by rising learning rate.
    entropy : (m,) S − S_first, nats.
    slope : regression of the integral on the entropy through the origin: 1 when they agree.
    worst : largest difference, relative to the total change of the entropy.
    """

    integral: FloatArray
    entropy: FloatArray
    slope: float
    worst: float


def thermodynamic_consistency(
    lr: ArrayLike, loss: ArrayLike, entropy: ArrayLike, temperature: ArrayLike
) -> Consistency:
    """Whether temperatures that were measured without the entropy integrate to it: ΔS = ∫ dU/T.

    The trapezoidal rule in U with 1/T linear between the points; states whose temperature is not a positive number are
    left out, and repeated learning rates averaged.

    Parameters
    ----------
    lr, loss, entropy : (n,) in any order, repeats allowed; losses in loss units, entropies in nats.
    temperature : (n,) loss units per nat.

    Raises
    ------
    ValueError
        Lists of different length.
    InsufficientData
        Fewer than three usable learning rates.
    """
    arrays = [np.atleast_1d(np.asarray(values, dtype=float)) for values in (lr, loss, entropy, temperature)]
    if len({values.shape for values in arrays}) > 1:
        raise ValueError(f"lr, loss, entropy and temperature have {[len(v) for v in arrays]} entries: make them equal")
    usable = np.isfinite(np.stack(arrays)).all(axis=0) & (arrays[3] > 0)
    rates, where = np.unique(arrays[0][usable], return_inverse=True)
    if len(rates) < 3:
        raise InsufficientData(
            f"consistency needs positive temperatures at 3 different learning rates, got {len(rates)}"
        )
    count = np.bincount(where)
    u, s, t = (np.bincount(where, values[usable]) / count for values in arrays[1:])
    integral = np.concatenate([[0.0], np.cumsum(np.diff(u) * (1 / t[1:] + 1 / t[:-1]) / 2)])
    change = s - s[0]
    size = float(np.ptp(change))
    square = float(change @ change)
    return Consistency(
        integral, change, float(integral @ change) / square if square else float("nan"),
        float(np.max(np.abs(integral - change))) / size if size else float("nan"),
    )  # fmt: skip
