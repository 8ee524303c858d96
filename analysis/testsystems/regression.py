"""Minibatch SGD on linear regression: noise that depends on the weights, and vanishes when the labels are exact."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from analysis.results import FloatArray
from analysis.testsystems._base import SGDSystem, positive


class RegressionSGD(SGDSystem):
    """L = ½ E(y − x·w)² with x ~ N(0, diag h), y = x·w* + s·ε, w* = 0, batches of B fresh samples.

    The error's second moment is C_i = (η/B)(s² + q)/(2 − ηh_i(1 + 1/B)) with q = Σ h_i C_i = s²A/(1 − A) and
    A = (η/B) Σ h_i/(2 − ηh_i(1 + 1/B)). With exact labels (s = 0, the model interpolates) the noise dies with the
    error: for A < 1 the state is the optimum itself, U = 0, S = −∞ and T = 0.

    Parameters
    ----------
    curvatures : (d,) h_i, variances of the inputs.
    label_std : s; 0 interpolates.
    batch_size : B.
    """

    name = "SGD on linear regression"

    def __init__(self, curvatures: ArrayLike, label_std: float = 1.0, batch_size: int = 8) -> None:
        self.curvatures = positive("curvatures", curvatures)
        if not (np.isfinite(label_std) and label_std >= 0):
            raise ValueError(f"label_std must be a finite number that is not negative, got {label_std}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.label_std, self.batch_size = float(label_std), int(batch_size)
        self.n_weights = len(self.curvatures)

    def _room(self, eta: FloatArray) -> FloatArray:
        return 2 - eta[:, None] * self.curvatures * (1 + 1 / self.batch_size)

    def gain(self, lr: ArrayLike) -> FloatArray:
        """A, (m,): the gradient noise that a unit of excess loss feeds back; infinite where the mean diverges."""
        eta = positive("lr", lr)
        room = self._room(eta)
        stable = np.all(room > 0, axis=1)
        total = eta / self.batch_size * np.sum(self.curvatures / np.where(room > 0, room, 1.0), axis=1)
        return np.asarray(np.where(stable, total, np.inf))

    def _stable(self, lr: ArrayLike) -> FloatArray:
        gain = self.gain(lr)
        if np.any(gain >= 1):
            worst = positive("lr", lr)[int(np.argmax(gain))]
            raise ValueError(f"lr={worst:g} is unstable: its second moment grows (A = {gain.max():.3g} >= 1), lower it")
        return gain

    def excess(self, lr: ArrayLike) -> FloatArray:
        """q = Σ h_i C_i, (m,): twice the excess loss."""
        gain = self._stable(lr)
        return np.asarray(self.label_std**2 * gain / (1 - gain))

    def covariance(self, lr: ArrayLike) -> FloatArray:
        """Second moments C_i of the error along the axes, (m, d)."""
        q, eta = self.excess(lr), positive("lr", lr)
        return np.asarray((eta / self.batch_size * (self.label_std**2 + q))[:, None] / self._room(eta))

    def loss(self, control: ArrayLike) -> FloatArray:
        """(s² + q)/2."""
        return np.asarray((self.label_std**2 + self.excess(control)) / 2)

    def entropy(self, control: ArrayLike) -> FloatArray:
        """−∞ when the model interpolates.

        Raises
        ------
        ValueError
            With label noise: the state is not Gaussian and its entropy has no closed form; `covariance` bounds it.
        """
        gain = self._stable(control)
        if self.label_std > 0:
            raise ValueError("the entropy with label noise has no closed form: use the Gaussian bound by covariance")
        return np.full(len(gain), -np.inf)

    def temperature(self, control: ArrayLike) -> FloatArray:
        """0 when the model interpolates.

        Raises
        ------
        ValueError
            With label noise, as for `entropy`.
        """
        return np.zeros(len(self.entropy(control)))

    def potential(self, weights: FloatArray) -> FloatArray:
        """½(s² + Σ h_i w_i²)."""
        return np.asarray(0.5 * (self.label_std**2 + np.square(weights) @ self.curvatures))

    def sample(self, control: float, n: int, rng: np.random.Generator) -> FloatArray:
        """`n` independent runs, iterated for ten relaxation times; the optimum itself without label noise."""
        self._stable(control)
        if self.label_std == 0:
            return np.zeros((n, self.n_weights))
        relaxation = 1 / (control * float(self.curvatures.min()))
        start = rng.normal(size=(n, self.n_weights)) * np.sqrt(self.covariance(control)[0])
        return self._iterate(np.full(n, control), start, int(10 * relaxation) + 1, rng)

    def simulate(
        self,
        lr: ArrayLike,
        n: int,
        rng: np.random.Generator,
        *,
        spacing: int = 1,
        start: FloatArray | None = None,
    ) -> FloatArray:
        """Iterates (m, n, d), from `start` (d,) or an error of the stationary size (1 per weight without noise)."""
        eta = positive("lr", lr)
        self._stable(eta)
        scale = np.sqrt(self.covariance(eta)) if self.label_std > 0 else np.ones((len(eta), self.n_weights))
        w = rng.normal(size=scale.shape) * scale if start is None else np.tile(start, (len(eta), 1))
        out = np.empty((len(eta), n, self.n_weights))
        for i in range(n):
            w = self._iterate(eta, w, spacing, rng)
            out[:, i] = w
        return out

    def _iterate(self, eta: FloatArray, w: FloatArray, steps: int, rng: np.random.Generator) -> FloatArray:
        """`steps` iterations of independent chains: eta (m,), w (m, d)."""
        deviation = np.sqrt(self.curvatures)
        for _ in range(steps):
            x = rng.normal(size=(len(w), self.batch_size, self.n_weights)) * deviation
            residual = np.einsum("mbd,md->mb", x, w)
            if self.label_std > 0:
                residual -= self.label_std * rng.normal(size=residual.shape)
            w = w - eta[:, None] / self.batch_size * np.einsum("mb,mbd->md", residual, x)
        return w
