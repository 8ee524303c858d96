"""Gibbs states on circles and spheres: their shape changes with the temperature."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from analysis.results import FloatArray
from analysis.testsystems._base import GibbsSystem, System, positive


def random_rotation(d: int, rng: np.random.Generator) -> FloatArray:
    """A rotation (d, d) drawn uniformly."""
    return np.asarray(stats.special_ortho_group.rvs(d, random_state=rng)) if d > 1 else np.ones((1, 1))


class VonMisesProduct(GibbsSystem):
    """L = Σ k_i(1 − cos θ_i): d independent angles in (−π, π], each von Mises with concentration x_i = k_i/T.

    Each angle goes from a narrow Gaussian to a uniform distribution at a temperature of its own: the hardest test for
    an estimator that assumes a shape.

    Parameters
    ----------
    stiffness : (d,) k_i.
    rotation : (d, d) orthogonal matrix that mixes the angles into weights, w = Q θ; None leaves them.
    """

    name = "von Mises product"

    def __init__(self, stiffness: ArrayLike, rotation: FloatArray | None = None) -> None:
        self.stiffness = positive("stiffness", stiffness)
        self.n_weights = len(self.stiffness)
        self.rotation = rotation
        if rotation is not None:
            self.name = "rotated von Mises product"
            if rotation.shape != (self.n_weights, self.n_weights):
                raise ValueError(f"rotation must have shape {(self.n_weights,) * 2}, got {rotation.shape}")

    def _concentration(self, temperature: ArrayLike) -> FloatArray:
        return np.asarray(self.stiffness / positive("temperature", temperature)[:, None])

    def loss(self, control: ArrayLike) -> FloatArray:
        """Σ k_i(1 − I_1/I_0(x_i))."""
        x = self._concentration(control)
        return np.asarray((1 - special.i1e(x) / special.i0e(x)) @ self.stiffness)

    def entropy(self, control: ArrayLike) -> FloatArray:
        """Σ ln(2πI_0(x_i)) − x_i I_1/I_0(x_i)."""
        x = self._concentration(control)
        log_i0 = np.log(special.i0e(x)) + x
        return np.asarray(np.sum(np.log(2 * np.pi) + log_i0 - x * special.i1e(x) / special.i0e(x), axis=1))

    def _angles(self, weights: FloatArray) -> FloatArray:
        return weights if self.rotation is None else np.asarray(weights @ self.rotation)

    def potential(self, weights: FloatArray) -> FloatArray:
        """Σ k_i(1 − cos θ_i)."""
        return np.asarray((1 - np.cos(self._angles(weights))) @ self.stiffness)

    def gradient(self, weights: FloatArray) -> FloatArray:
        """k_i sin θ_i, rotated."""
        slope = self.stiffness * np.sin(self._angles(weights))
        return slope if self.rotation is None else np.asarray(slope @ self.rotation.T)

    def sample(self, control: float, n: int, rng: np.random.Generator) -> FloatArray:
        """`n` independent states (n, d)."""
        angles = rng.vonmises(0.0, self._concentration(control)[0], size=(n, self.n_weights))
        return angles if self.rotation is None else np.asarray(angles @ self.rotation.T)


class VonMisesFisher(GibbsSystem):
    """L = 1 + μ·w on the unit sphere S^(d−1), μ the first axis: von Mises–Fisher with κ = 1/T about −μ.

    U = 1 − A and S = −ln C_d(κ) − κA with A = I_{d/2}/I_{d/2−1}(κ); in three dimensions U = 1 − coth(1/T) + T.

    Parameters
    ----------
    n_weights : d >= 2.
    """

    name = "von Mises-Fisher"
    on_sphere = True

    def __init__(self, n_weights: int) -> None:
        if n_weights < 2:
            raise ValueError(f"n_weights must be at least 2, got {n_weights}")
        self.n_weights = int(n_weights)

    def _log_bessel(self, order: float, kappa: FloatArray) -> FloatArray:
        """ln I_ν(κ) by its power series in logarithms, since I_ν(κ) itself underflows at ν = 499."""
        k = np.arange(int(2 * kappa.max()) + 200)
        terms = (order + 2 * k) * np.log(kappa / 2)[:, None] - special.gammaln(k + 1) - special.gammaln(k + order + 1)
        return np.asarray(special.logsumexp(terms, axis=1))

    def _mean_cosine(self, kappa: FloatArray) -> FloatArray:
        half = self.n_weights / 2
        return np.asarray(np.exp(self._log_bessel(half, kappa) - self._log_bessel(half - 1, kappa)))

    def loss(self, control: ArrayLike) -> FloatArray:
        """1 − A."""
        return 1 - self._mean_cosine(1 / positive("temperature", control))

    def entropy(self, control: ArrayLike) -> FloatArray:
        """−ln C_d(κ) − κA, over the surface of the sphere."""
        kappa, half = 1 / positive("temperature", control), self.n_weights / 2
        log_c = (half - 1) * np.log(kappa) - half * np.log(2 * np.pi) - self._log_bessel(half - 1, kappa)
        return np.asarray(-log_c - kappa * self._mean_cosine(kappa))

    def potential(self, weights: FloatArray) -> FloatArray:
        """1 + w_1."""
        return 1 + weights[..., 0]

    def gradient(self, weights: FloatArray) -> FloatArray:
        """The first unit vector."""
        out = np.zeros_like(weights)
        out[..., 0] = 1.0
        return out

    def sample(self, control: float, n: int, rng: np.random.Generator) -> FloatArray:
        """`n` independent points (n, d) of the sphere."""
        centre = np.zeros(self.n_weights)
        centre[0] = -1.0
        law = stats.vonmises_fisher(centre, 1 / float(positive("temperature", control)[0]))
        return np.asarray(law.rvs(n, random_state=rng)).reshape(n, self.n_weights)


class UniformSphere(System):
    """The uniform state on a sphere of radius r, at infinite temperature; the control parameter is r.

    S = ln 2 + (d/2) ln π − ln Γ(d/2) + (d − 1) ln r. The loss is that of a linear potential and averages to 1.
    """

    name = "uniform sphere"
    on_sphere = True

    def __init__(self, n_weights: int) -> None:
        if n_weights < 2:
            raise ValueError(f"n_weights must be at least 2, got {n_weights}")
        self.n_weights = int(n_weights)

    def loss(self, control: ArrayLike) -> FloatArray:
        """1, whatever the radius."""
        return np.ones(len(positive("radius", control)))

    def entropy(self, control: ArrayLike) -> FloatArray:
        """Logarithm of the surface."""
        d = self.n_weights
        surface = np.log(2) + d / 2 * np.log(np.pi) - special.gammaln(d / 2)
        return np.asarray(surface + (d - 1) * np.log(positive("radius", control)))

    def temperature(self, control: ArrayLike) -> FloatArray:
        """Infinite."""
        return np.full(len(positive("radius", control)), np.inf)

    def potential(self, weights: FloatArray) -> FloatArray:
        """1 + w_1."""
        return 1 + weights[..., 0]

    def sample(self, control: float, n: int, rng: np.random.Generator) -> FloatArray:
        """`n` independent points (n, d) of the sphere of radius `control`."""
        points = rng.normal(size=(n, self.n_weights))
        return np.asarray(control * points / np.linalg.norm(points, axis=1, keepdims=True))
