"""What the exact systems share: the family of states, its self-check, and Langevin dynamics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from analysis.results import FloatArray

#: Half-width of the central differences in the self-check, in ln T.
_STEP = 1e-3
#: Steps whose random numbers are drawn at once: one call of the generator costs more than ten numbers.
_DRAWN_AT_ONCE = 256


class System(ABC):
    """A one-parameter family of probability densities over weights.

    Attributes
    ----------
    name : short name for tables.
    n_weights : number of coordinates of a state.
    dim : D of the entropy formulas; one less than `n_weights` on a sphere.
    on_sphere : whether the states live on the unit sphere S^(n_weights − 1).
    """

    name: str = ""
    n_weights: int
    on_sphere: bool = False

    @property
    def dim(self) -> int:
        """Number of free dimensions."""
        return self.n_weights - int(self.on_sphere)

    @abstractmethod
    def loss(self, control: ArrayLike) -> FloatArray:
        """U = E[L], one for each value of the control parameter, in loss units."""

    @abstractmethod
    def entropy(self, control: ArrayLike) -> FloatArray:
        """S = −E[ln p], one for each value of the control parameter, in nats."""

    @abstractmethod
    def temperature(self, control: ArrayLike) -> FloatArray:
        """T = dU/dS along the family, one for each value of the control parameter, in loss units per nat."""

    @abstractmethod
    def potential(self, weights: FloatArray) -> FloatArray:
        """Loss L(w) of states (..., n_weights); shape (...)."""

    @abstractmethod
    def sample(self, control: float, n: int, rng: np.random.Generator) -> FloatArray:
        """`n` independent states (n, n_weights) at one value of the control parameter."""

    def consistency(self, control: ArrayLike) -> float:
        """Largest relative difference between the slope dU/dS of the exact U and S, and the exact T.

        Central differences of fourth order in the logarithm of the control parameter; below 1e-6 for every system
        of this package.
        """
        x = np.atleast_1d(np.asarray(control, dtype=float))

        def slope(values: list[FloatArray]) -> FloatArray:
            return (8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * _STEP)

        points = [x * np.exp(k * _STEP) for k in (-2, -1, 1, 2)]
        du, ds = (slope([np.asarray(f(p)) for p in points]) for f in (self.loss, self.entropy))
        exact = self.temperature(x)
        return float(np.max(np.abs(du / ds - exact) / np.abs(exact)))


class GibbsSystem(System):
    """A Gibbs state p ∝ exp(−L/T): the control parameter is the temperature."""

    def temperature(self, control: ArrayLike) -> FloatArray:
        """The control parameter itself."""
        return positive("temperature", control)

    @abstractmethod
    def gradient(self, weights: FloatArray) -> FloatArray:
        """∇L at states (..., n_weights); same shape."""

    def simulate(
        self, temperature: ArrayLike, n: int, rng: np.random.Generator, *, step: float, spacing: int = 1
    ) -> FloatArray:
        """Langevin dynamics w ← w − h∇L + √(2hT)·ξ, started in the stationary state.

        On the sphere the increment is projected on the tangent space and the state rescaled to norm 1.

        Parameters
        ----------
        temperature : (m,)
        n : snapshots per temperature.
        step : h; the stationary state is the Gibbs state up to terms of order h.
        spacing : steps between snapshots.

        Returns
        -------
        (m, n, n_weights) snapshots.
        """
        t = positive("temperature", temperature)
        w = np.stack([self.sample(float(value), 1, rng)[0] for value in t])
        amplitude = np.sqrt(2 * positive("step", step)[0] * t)[:, None]
        out = np.empty((len(t), n, self.n_weights))
        for i, noise in enumerate(noise_sequence(n * spacing, w.shape, rng)):
            change = amplitude * noise - step * self.gradient(w)
            if self.on_sphere:
                change -= np.sum(change * w, axis=1, keepdims=True) * w
            w = w + change
            if self.on_sphere:
                w /= np.linalg.norm(w, axis=1, keepdims=True)
            if (i + 1) % spacing == 0:
                out[:, i // spacing] = w
        return out


class SGDSystem(System):
    """The stationary state of stochastic gradient descent: the control parameter is the learning rate."""

    @abstractmethod
    def simulate(self, lr: ArrayLike, n: int, rng: np.random.Generator, *, spacing: int = 1) -> FloatArray:
        """Iterate the optimiser.

        Parameters
        ----------
        lr : (m,) learning rates.
        n : snapshots per learning rate.
        spacing : iterations between snapshots; 1 takes consecutive iterates.

        Returns
        -------
        (m, n, n_weights) snapshots.
        """


def positive(name: str, values: ArrayLike) -> FloatArray:
    """`values` as a one-dimensional array, or a ValueError that names the parameter."""
    array = np.atleast_1d(np.asarray(values, dtype=float))
    if array.ndim != 1 or not array.size or not (np.isfinite(array).all() and (array > 0).all()):
        raise ValueError(f"{name} must hold finite positive numbers in one dimension")
    return array


def noise_sequence(steps: int, shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[FloatArray]:
    """Standard normals of `shape`, once for each step."""
    for start in range(0, steps, _DRAWN_AT_ONCE):
        yield from rng.normal(size=(min(_DRAWN_AT_ONCE, steps - start), *shape))
