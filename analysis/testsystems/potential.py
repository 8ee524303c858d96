"""Gibbs states in one dimension, by quadrature: any potential, the double well among them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import simpson

from analysis.results import FloatArray
from analysis.testsystems._base import GibbsSystem, positive

#: Points of the quadrature grid; Simpson's error at this number is below 1e-12 for smooth potentials.
_GRID = 20_001


class PotentialOnLine(GibbsSystem):
    """p ∝ exp(−L(w)/T) for one weight on an interval: U = ⟨L⟩ and S = ln Z + U/T by Simpson's rule.

    Parameters
    ----------
    potential : L, vectorised.
    derivative : L', vectorised.
    low, high : interval that holds all but a negligible part of the probability at every temperature of interest.
    """

    name = "potential on a line"
    n_weights = 1

    def __init__(
        self,
        potential: Callable[[FloatArray], FloatArray],
        derivative: Callable[[FloatArray], FloatArray],
        low: float,
        high: float,
    ) -> None:
        if not low < high:
            raise ValueError(f"the interval [{low}, {high}] is empty: low must be below high")
        self._potential, self._derivative = potential, derivative
        self._grid = np.linspace(low, high, _GRID)
        self._on_grid = potential(self._grid)

    def _density(self, temperature: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Normalised densities (m, grid) and ln Z (m,)."""
        t = positive("temperature", temperature)
        lowest = float(self._on_grid.min())
        boltzmann = np.exp(-(self._on_grid - lowest) / t[:, None])
        z = simpson(boltzmann, x=self._grid, axis=1)
        return boltzmann / z[:, None], np.log(z) - lowest / t

    def loss(self, control: ArrayLike) -> FloatArray:
        """⟨L⟩."""
        return np.asarray(simpson(self._density(control)[0] * self._on_grid, x=self._grid, axis=1))

    def entropy(self, control: ArrayLike) -> FloatArray:
        """ln Z + U/T."""
        return np.asarray(self._density(control)[1] + self.loss(control) / positive("temperature", control))

    def potential(self, weights: FloatArray) -> FloatArray:
        """L(w) of states (..., 1)."""
        return np.asarray(self._potential(weights[..., 0]))

    def gradient(self, weights: FloatArray) -> FloatArray:
        """L'(w), shape (..., 1)."""
        return np.asarray(self._derivative(weights))

    def sample(self, control: float, n: int, rng: np.random.Generator) -> FloatArray:
        """`n` independent states (n, 1) by inversion of the cumulative distribution."""
        density = self._density(control)[0][0]
        # Trapezoids between the grid points: linear interpolation of the inverse is then exact to second order.
        cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
        return np.interp(rng.uniform(size=n), cumulative / cumulative[-1], self._grid)[:, None]


class DoubleWell(PotentialOnLine):
    """L = b(w² − 1)²: minima at ±1 under a barrier of height b."""

    name = "double well"

    def __init__(self, barrier: float = 1.0) -> None:
        b = float(positive("barrier", barrier)[0])
        super().__init__(lambda w: b * (w**2 - 1) ** 2, lambda w: 4 * b * w * (w**2 - 1), -4.0, 4.0)
        self.barrier = b
