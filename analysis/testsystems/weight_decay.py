"""SGD with weight decay on scale-invariant weights whose gradient noise is isotropic (arXiv 2511.07308)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from analysis.results import FloatArray
from analysis.testsystems._base import noise_sequence, positive
from analysis.testsystems.directional import UniformSphere, VonMisesFisher
from mlflow_thermo.schema import FIXED_ELR, FIXED_LR

#: Protocols with weight decay.
DECAYING = (FIXED_ELR, FIXED_LR)


class IsotropicNoiseSphere:
    """L(w) = f(1 + μ·w/|w|) with the gradient ∇L + (σ/|w|)·P ξ, P the projection orthogonal to w, ξ standard normal.

    ``fixed_elr``: w ← w − lr·|w|²(g + λw), lr the effective learning rate. ``fixed_lr``: w ← (1 − lr·λ)w − lr·g, whose
    effective learning rate is lr/r². The direction does Langevin dynamics at T = lr_eff·σ²/2, so that its stationary
    state is von Mises–Fisher, and the radius settles where decay and noise balance. With f = 0 the direction is
    uniform: the ideal gas.

    S is the entropy on the sphere of radius r: that of the direction plus (d − 1) ln r. The radius fluctuates about its
    stationary value by a relative lr_eff·σ/2 only.

    Parameters
    ----------
    n_weights : d >= 3.
    noise : σ.
    field : f >= 0.
    """

    name = "isotropic noise on the sphere"

    def __init__(self, n_weights: int, noise: float = 1.0, field: float = 0.0) -> None:
        if n_weights < 3:
            raise ValueError(f"n_weights must be at least 3, got {n_weights}")
        if not (np.isfinite(field) and field >= 0):
            raise ValueError(f"field must be a finite number of at least 0, got {field}")
        self.n_weights = int(n_weights)
        self.noise = float(positive("noise", noise)[0])
        self.field = float(field)

    def _checked(self, lr: float, weight_decay: ArrayLike, protocol: str) -> FloatArray:
        if protocol not in DECAYING:
            raise ValueError(f"protocol {protocol!r} has no weight decay: choose one of {', '.join(DECAYING)}")
        positive("lr", lr)
        return positive("weight_decay", weight_decay)

    def _direction_temperature(self, lr_eff: float) -> float:
        return lr_eff * self.noise**2 / 2

    def _gradient_square(self, lr_eff: float) -> float:
        """G = E|g|²·r², of the noise and of the loss: σ²(d − 1) + f(d − 1)·A·T with A = E[−μ·x]."""
        d = self.n_weights
        if self.field == 0:
            return self.noise**2 * (d - 1)
        t = self._direction_temperature(lr_eff)
        cosine = 1 - float(VonMisesFisher(d).loss(t / self.field)[0])
        return (d - 1) * (self.noise**2 + self.field * cosine * t)

    def effective_lr(self, lr: float, weight_decay: ArrayLike, protocol: str) -> FloatArray:
        """lr/r², (m,) for m weight decays: lr itself under ``fixed_elr``."""
        decay = self._checked(lr, weight_decay, protocol)
        if protocol == FIXED_ELR:
            return np.full(len(decay), float(lr))
        return np.asarray(lr / self.radius(lr, decay, protocol) ** 2)

    def radius(self, lr: float, weight_decay: ArrayLike, protocol: str) -> FloatArray:
        """Stationary radius r, (m,) for m weight decays, of the discrete steps to leading order in the fluctuations.

        A step multiplies r² by (1 − lr_eff·λr²)² + lr_eff²·G, which is 1 at the stationary radius: r² = [1 − sqrt(1 −
        lr²G)]/(lr·λ) under ``fixed_elr``, and r⁴ = lr·G/[λ(2 − lr·λ)] under ``fixed_lr``.

        Raises
        ------
        ValueError
            A learning rate so large that no radius is stationary.
        """
        decay = self._checked(lr, weight_decay, protocol)
        if protocol == FIXED_ELR:
            share = lr**2 * self._gradient_square(lr)
            if share >= 1:
                raise ValueError(f"lr={lr:g} is too large: the radius grows without bound, lower it")
            return np.asarray(np.sqrt((1 - np.sqrt(1 - share)) / (lr * decay)))
        return np.array([self._radius_at_fixed_lr(lr, float(one)) for one in decay])

    def _radius_at_fixed_lr(self, lr: float, decay: float) -> float:
        if lr * decay >= 2:
            raise ValueError(f"lr={lr:g} with weight_decay={decay:g} is unstable: lower one of them")
        scale = lr / (decay * (2 - lr * decay))
        lowest = (scale * self.noise**2 * (self.n_weights - 1)) ** 0.25
        if self.field == 0:
            return float(lowest)
        # The loss adds to the gradients of the noise, by at most f².
        highest = (scale * (self.noise**2 * (self.n_weights - 1) + self.field**2)) ** 0.25
        balance = lambda r: r**4 - scale * self._gradient_square(lr / r**2)  # noqa: E731
        return float(brentq(balance, lowest * 0.999, highest * 1.001))

    def temperature(self, lr: float, weight_decay: ArrayLike, protocol: str) -> FloatArray:
        """Temperature of the direction, lr_eff·σ²/2, (m,)."""
        return np.asarray([self._direction_temperature(one) for one in self.effective_lr(lr, weight_decay, protocol)])

    def loss(self, lr: float, weight_decay: ArrayLike, protocol: str) -> FloatArray:
        """U, (m,)."""
        t = self.temperature(lr, weight_decay, protocol)
        return np.zeros(len(t)) if self.field == 0 else self.field * VonMisesFisher(self.n_weights).loss(t / self.field)

    def entropy(self, lr: float, weight_decay: ArrayLike, protocol: str) -> FloatArray:
        """S of the direction plus (d − 1) ln r, (m,) nats.

        Under ``fixed_elr`` the direction does not depend on λ and r² ∝ 1/λ, so that dS/d ln λ = −(d − 1)/2; under
        ``fixed_lr`` without a field r⁴ ∝ 1/λ and the slope is −(d − 1)/4.
        """
        d = self.n_weights
        r = self.radius(lr, weight_decay, protocol)
        t = self.temperature(lr, weight_decay, protocol)
        direction = UniformSphere(d).entropy(1.0) if self.field == 0 else VonMisesFisher(d).entropy(t / self.field)
        return np.asarray(direction + (d - 1) * np.log(r))

    def simulate(
        self,
        lr: float,
        weight_decay: ArrayLike,
        n: int,
        rng: np.random.Generator,
        *,
        protocol: str,
        chains: int = 1,
        spacing: int = 1,
        burn_in: int = 0,
        radius: float = 1.0,
    ) -> FloatArray:
        """Iterate SGD for all weight decays at once, from uniform directions at `radius`.

        Parameters
        ----------
        weight_decay : (m,)
        n : snapshots of every chain.
        chains : independent chains of each weight decay.
        spacing : iterations between snapshots.
        burn_in : iterations before the first.

        Returns
        -------
        (m, chains·n, d) snapshots, chain after chain.
        """
        decay = self._checked(lr, weight_decay, protocol)[:, None, None]
        shape = (len(decay), chains, self.n_weights)
        w = rng.standard_normal(shape)
        w *= radius / np.linalg.norm(w, axis=2, keepdims=True)
        out = np.empty((len(decay), chains, n, self.n_weights))
        for i, xi in enumerate(noise_sequence(burn_in + n * spacing, shape, rng)):
            square = np.einsum("mcd,mcd->mc", w, w)[..., None]
            force = self.noise * xi
            # ∇L = f·P μ/|w|, and the noise has the same 1/|w|: both are projected together.
            force[..., 0] += self.field
            force -= np.einsum("mcd,mcd->mc", force, w)[..., None] / square * w
            if protocol == FIXED_ELR:
                w = (1 - lr * square * decay) * w - lr * np.sqrt(square) * force
            else:
                w = (1 - lr * decay) * w - lr / np.sqrt(square) * force
            done = i + 1 - burn_in
            if done > 0 and done % spacing == 0:
                out[:, :, done // spacing - 1] = w
        return out.reshape(len(decay), chains * n, self.n_weights)
