"""Entropies and temperatures of the toy's states."""

from __future__ import annotations

import numpy as np

from analysis.entropy import KozachenkoLeonenkoEntropy
from analysis.results import BoolArray, FloatArray, InsufficientData
from analysis.temperature import temperature_curve


def state_entropies(points: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
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
        except InsufficientData:
            # A converged state is a point, whose entropy is none.
            continue
        if np.isfinite(fitted.entropy_):
            entropy[i], stderr[i] = fitted.entropy_, fitted.entropy_stderr_
    return entropy, stderr


def state_temperatures(
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
