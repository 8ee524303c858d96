"""Radius and entropy against weight decay on the sphere with isotropic noise: measured, and exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.entropy import KozachenkoLeonenkoEntropy
from analysis.results import FloatArray
from analysis.testsystems import IsotropicNoiseSphere

#: Chains, snapshots of each, steps between them and before the first: directions forget themselves in 400 steps.
_CHAINS, _SNAPSHOTS, _SPACING, _BURN_IN = 256, 8, 400, 6000


@dataclass(frozen=True)
class DecayStudy:
    """One protocol in d dimensions at m weight decays.

    Attributes
    ----------
    protocol, n_weights, lr : of the runs; under ``fixed_elr`` lr is the effective learning rate.
    weight_decay : (m,)
    radius, exact_radius : (m,) mean norm of the weights.
    entropy, exact_entropy : (m,) on the sphere of that radius, nats.
    slope, exact_slope : dS/d ln weight_decay by least squares; −(d − 1)/2 at a fixed effective learning rate.
    """

    protocol: str
    n_weights: int
    lr: float
    weight_decay: FloatArray
    radius: FloatArray
    exact_radius: FloatArray
    entropy: FloatArray
    exact_entropy: FloatArray
    slope: float
    exact_slope: float

    def rows(self) -> list[dict[str, object]]:
        """A row for each weight decay, for a table."""
        columns = ("weight_decay", "radius", "exact_radius", "entropy", "exact_entropy")
        return [
            {"protocol": self.protocol, "d": self.n_weights, "lr": self.lr}
            | {name: float(getattr(self, name)[i]) for name in columns}
            for i in range(len(self.weight_decay))
        ]


def run_decay(n_weights: int, protocol: str, lr: float, weight_decay: ArrayLike, seed: int = 0) -> DecayStudy:
    """Simulate the ideal gas at all weight decays and measure radius and entropy.

    Raises
    ------
    ValueError
        As `IsotropicNoiseSphere.radius`, or fewer than two weight decays.
    """
    decay = np.unique(np.atleast_1d(np.asarray(weight_decay, dtype=float)))
    if len(decay) < 2:
        raise ValueError(f"a slope needs 2 weight decays, got {len(decay)}")
    system = IsotropicNoiseSphere(n_weights)
    exact_radius = system.radius(lr, decay, protocol)
    exact_entropy = system.entropy(lr, decay, protocol)
    w = system.simulate(
        lr, decay, _SNAPSHOTS, np.random.default_rng(seed), protocol=protocol, chains=_CHAINS, spacing=_SPACING,
        burn_in=_BURN_IN,
    )  # fmt: skip
    radii = np.linalg.norm(w, axis=2)
    estimator = KozachenkoLeonenkoEntropy(k=4, dim=n_weights - 1, jackknife_blocks=0)
    direction = np.array([estimator.fit(one).entropy_ for one in w / radii[..., None]])
    entropy = direction + (n_weights - 1) * np.log(radii).mean(axis=1)
    slope, exact_slope = (float(np.polyfit(np.log(decay), values, 1)[0]) for values in (entropy, exact_entropy))
    return DecayStudy(
        protocol, n_weights, lr, decay, radii.mean(axis=1), exact_radius, entropy, exact_entropy, slope, exact_slope
    )
