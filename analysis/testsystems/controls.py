"""Negative controls: an analysis that accepts a number from one of these is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from analysis.results import FloatArray


def _autoregression(n: int, d: int, phi: float, rng: np.random.Generator) -> FloatArray:
    """Stationary AR(1) of unit variance, (n, d)."""
    noise = rng.normal(size=(n, d)) * np.sqrt(1 - phi**2)
    noise[0] /= np.sqrt(1 - phi**2)
    return np.asarray(lfilter([1.0], [1.0, -phi], noise, axis=0))


@dataclass(frozen=True)
class AutoregressiveProcess:
    """x_t = φ x_{t−1} + √(1 − φ²) ξ_t in each of d weights: stationary, correlated, of known correlation time."""

    n_weights: int
    phi: float = 0.9

    @property
    def tau(self) -> float:
        """Integrated autocorrelation time in snapshots, (1 + φ)/(1 − φ)."""
        return (1 + self.phi) / (1 - self.phi)

    def simulate(self, n: int, rng: np.random.Generator) -> FloatArray:
        """`n` snapshots (n, d)."""
        return _autoregression(n, self.n_weights, self.phi, rng)


@dataclass(frozen=True)
class FrozenFloor:
    """An Ornstein–Uhlenbeck process in a few active directions over a floor that the temperature does not reach.

    Estimators that assume a shape for the directions that N ≪ d snapshots cannot resolve take the floor for part of the
    state: their entropy changes by (d/2) ln T where the truth is (active/2) ln T.

    Attributes
    ----------
    n_weights : d.
    active : directions that move.
    floor : standard deviation of the others; 0 freezes them.
    phi : correlation of neighbouring snapshots in the active directions.
    """

    n_weights: int
    active: int = 10
    floor: float = 1e-3
    phi: float = 0.0

    def entropy_change(self, t_from: float, t_to: float) -> float:
        """Exact ΔS in nats between two temperatures."""
        return 0.5 * self.active * float(np.log(t_to / t_from))

    def simulate(self, temperature: float, n: int, rng: np.random.Generator) -> FloatArray:
        """`n` snapshots (n, d) at one temperature."""
        out = self.floor * rng.normal(size=(n, self.n_weights))
        out[:, : self.active] = np.sqrt(temperature) * _autoregression(n, self.active, self.phi, rng)
        return out


@dataclass(frozen=True)
class DriftingWalk:
    """Independent fluctuations of unit variance about a mean that moves through the window at constant speed.

    Attributes
    ----------
    n_weights : d.
    drift : distance that each weight's mean moves over the window, in standard deviations.
    """

    n_weights: int
    drift: float = 3.0

    def simulate(self, n: int, rng: np.random.Generator) -> FloatArray:
        """`n` snapshots (n, d)."""
        mean = self.drift * np.linspace(0.0, 1.0, n)[:, None] * np.ones(self.n_weights)
        return np.asarray(mean + rng.normal(size=(n, self.n_weights)))
