"""Stochastic gradient descent on a quadratic with additive gradient noise, plain or with momentum."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from analysis.results import FloatArray
from analysis.testsystems._base import SGDSystem, noise_sequence, positive


class QuadraticSGD(SGDSystem):
    """L = ½ Σ h_i w_i², gradient h_i w_i + √c_i ξ, heavy-ball momentum β: v ← βv − ηg, w ← w + v.

    The stationary state is a Gaussian with C_i = ηc_i/[(1 − β)h_i(2 − ηh_i/(1 + β))], so that U, S and T = dU/dS are
    known; it is a Gibbs state only where all T_i = h_i C_i are equal.

    Parameters
    ----------
    curvatures : (d,) h_i.
    noise : (d,) or one number: variances c_i of the gradient noise.
    momentum : β in [0, 1).
    """

    name = "SGD on a quadratic"

    def __init__(self, curvatures: ArrayLike, noise: ArrayLike = 1.0, momentum: float = 0.0) -> None:
        self.curvatures = positive("curvatures", curvatures)
        self.noise = np.broadcast_to(positive("noise", noise), self.curvatures.shape).copy()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}")
        self.momentum = float(momentum)
        self.n_weights = len(self.curvatures)

    def _checked(self, lr: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Learning rates (m, 1), and 2 − ηh_i/(1 + β), (m, d), which must be positive."""
        eta = positive("lr", lr)[:, None]
        room = 2 - eta * self.curvatures / (1 + self.momentum)
        if np.any(room <= 0):
            raise ValueError(f"lr={eta.max():g} is unstable: it must be below 2(1 + momentum)/max(curvatures)")
        return eta, room

    def covariance(self, lr: ArrayLike) -> FloatArray:
        """Stationary variances C_i along the axes, (m, d) for m learning rates."""
        eta, room = self._checked(lr)
        return np.asarray(eta * self.noise / ((1 - self.momentum) * self.curvatures * room))

    def direction_temperatures(self, lr: ArrayLike) -> FloatArray:
        """T_i = h_i C_i, (m, d): equal in all directions exactly for a Gibbs state (equipartition)."""
        return np.asarray(self.curvatures * self.covariance(lr))

    def tau(self, lr: ArrayLike) -> FloatArray:
        """Integrated autocorrelation times (m, d) in iterations: (1 − β)(2 − ηh_i/(1 + β))/(ηh_i).

        The long-run variance of w_i is c_i/h_i² whatever η and β are; tau is its ratio to C_i.
        """
        eta, room = self._checked(lr)
        return np.asarray((1 - self.momentum) * room / (eta * self.curvatures))

    def loss(self, control: ArrayLike) -> FloatArray:
        """½ Σ h_i C_i."""
        return np.asarray(0.5 * np.sum(self.direction_temperatures(control), axis=1))

    def entropy(self, control: ArrayLike) -> FloatArray:
        """½ ln det 2πeC."""
        return np.asarray(0.5 * np.sum(np.log(2 * np.pi * np.e * self.covariance(control)), axis=1))

    def temperature(self, control: ArrayLike) -> FloatArray:
        """Σ[T_i/(2 − ηh_i/(1 + β))] / Σ[1/(2 − ηh_i/(1 + β))]."""
        _, room = self._checked(control)
        return np.asarray(np.sum(self.direction_temperatures(control) / room, axis=1) / np.sum(1 / room, axis=1))

    def potential(self, weights: FloatArray) -> FloatArray:
        """½ Σ h_i w_i²."""
        return np.asarray(0.5 * np.square(weights) @ self.curvatures)

    def sample(self, control: float, n: int, rng: np.random.Generator) -> FloatArray:
        """`n` independent stationary states (n, d)."""
        return np.asarray(rng.normal(size=(n, self.n_weights)) * np.sqrt(self.covariance(control)[0]))

    def simulate(self, lr: ArrayLike, n: int, rng: np.random.Generator, *, spacing: int = 1) -> FloatArray:
        """Iterates (m, n, d), started in the stationary state of weights and velocities."""
        eta, _ = self._checked(lr)
        covariance = self.covariance(lr)
        w = rng.normal(size=covariance.shape) * np.sqrt(covariance)
        # w is a second-order autoregression; 1 − ρ_1 fixes how w and v = w − w_before vary together.
        turn = eta * self.curvatures / (1 + self.momentum)
        v = turn * w + rng.normal(size=w.shape) * np.sqrt(covariance * turn * (2 - turn))
        deviation = np.sqrt(self.noise)
        out = np.empty((len(eta), n, self.n_weights))
        for i, xi in enumerate(noise_sequence(n * spacing, w.shape, rng)):
            v = self.momentum * v - eta * (self.curvatures * w + deviation * xi)
            w = w + v
            if (i + 1) % spacing == 0:
                out[:, i // spacing] = w
        return out
