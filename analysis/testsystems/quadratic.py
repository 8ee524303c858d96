"""The Gibbs state of a quadratic loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from analysis.results import FloatArray
from analysis.testsystems._base import GibbsSystem, positive


class GibbsQuadratic(GibbsSystem):
    """L = ½ Σ k_i w_i²: a Gaussian of covariance T/k_i, with U = dT/2 and S = ½ Σ ln(2πeT/k_i).

    Parameters
    ----------
    curvatures : (d,) k_i.
    """

    def __init__(self, curvatures: ArrayLike) -> None:
        self.curvatures = positive("curvatures", curvatures)
        self.name = "isotropic quadratic" if np.ptp(self.curvatures) == 0 else "quadratic"
        self.n_weights = len(self.curvatures)

    def loss(self, control: ArrayLike) -> FloatArray:
        """Equipartition: T/2 for each weight."""
        return 0.5 * self.n_weights * positive("temperature", control)

    def entropy(self, control: ArrayLike) -> FloatArray:
        """½ Σ ln(2πeT/k_i)."""
        return np.asarray(0.5 * np.sum(np.log(2 * np.pi * np.e * self.covariance(control)), axis=1))

    def covariance(self, temperature: ArrayLike) -> FloatArray:
        """Variances T/k_i along the axes; (m, d) for m temperatures."""
        return np.asarray(positive("temperature", temperature)[:, None] / self.curvatures)

    def langevin_covariance(self, temperature: ArrayLike, step: float) -> FloatArray:
        """Variances (m, d) of the discretised Langevin dynamics, T/(k_i(1 − h k_i/2)); ValueError if unstable."""
        if step * self.curvatures.max() >= 2:
            raise ValueError(f"step={step} is unstable: it must be below 2/max(curvatures)")
        return np.asarray(self.covariance(temperature) / (1 - step * self.curvatures / 2))

    def langevin_tau(self, step: float) -> FloatArray:
        """Integrated autocorrelation times (d,) of the discretised dynamics, in steps: (2 − hk_i)/(hk_i)."""
        rate = positive("step", step)[0] * self.curvatures
        return np.asarray((2 - rate) / rate)

    def potential(self, weights: FloatArray) -> FloatArray:
        """½ Σ k_i w_i²."""
        return np.asarray(0.5 * np.square(weights) @ self.curvatures)

    def gradient(self, weights: FloatArray) -> FloatArray:
        """k_i w_i."""
        return np.asarray(weights * self.curvatures)

    def sample(self, control: float, n: int, rng: np.random.Generator) -> FloatArray:
        """`n` independent states (n, d)."""
        return np.asarray(rng.normal(size=(n, self.n_weights)) * np.sqrt(self.covariance(control)[0]))
