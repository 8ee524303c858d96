"""The toy of arXiv 2505.23489: SGD with batch size 1 on the sphere S², over- and under-parameterised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.results import FloatArray, IntArray
from analysis.testsystems._base import positive

#: Steps whose samples are drawn at once.
_DRAWN_AT_ONCE = 4096
#: Coordinates below this are set to zero: their squares underflow, and tiny numbers slow the arithmetic down.
_NOTHING = 1e-250


class SphereToy:
    """L(x) = mean_i (a_i·x)²/|x|² on S², one sample a_i a step: x ← x − lr·∇ℓ_i(x), rescaled to norm 1.

    The loss is the same at x and −x, and its optimum is the third axis.

    Parameters
    ----------
    vectors : (n, 3) unit vectors a_i.
    name : short name for tables.
    """

    def __init__(self, vectors: ArrayLike, name: str) -> None:
        self.vectors = np.asarray(vectors, dtype=float)
        if self.vectors.ndim != 2 or self.vectors.shape[1] != 3:
            raise ValueError(f"vectors must have shape (n, 3), got {self.vectors.shape}")
        if not np.allclose(np.linalg.norm(self.vectors, axis=1), 1.0):
            raise ValueError("vectors must have norm 1")
        self.name = name

    @classmethod
    def over_parameterised(cls) -> SphereToy:
        """Two vectors at ±30°: one direction is orthogonal to both, where every sample's loss is 0."""
        angle = np.radians(30)
        return cls([[np.cos(angle), np.sin(angle), 0.0], [np.cos(angle), -np.sin(angle), 0.0]], "op")

    @classmethod
    def under_parameterised(cls) -> SphereToy:
        """Three vectors (1, 0, 0.2)/√1.04 at 120° about the third axis: no direction is orthogonal to all."""
        angles = np.radians([0.0, 120.0, 240.0])
        rows = np.stack([np.cos(angles), np.sin(angles), np.full(3, 0.2)], axis=1)
        return cls(rows / np.sqrt(1.04), "up")

    def products(self, x: FloatArray) -> FloatArray:
        """a_i·x of unit vectors x (..., 3): (..., n)."""
        return np.asarray(x @ self.vectors.T)

    def loss(self, x: FloatArray) -> FloatArray:
        """L(x) of unit vectors (..., 3): (...)."""
        return np.asarray(np.mean(self.products(x) ** 2, axis=-1))

    def sample_gradients(self, x: FloatArray) -> FloatArray:
        """∇ℓ_i = 2 s_i (a_i − s_i x) with s_i = a_i·x, at unit vectors (..., 3): (..., n, 3)."""
        s = self.products(x)[..., None]
        return np.asarray(2 * s * (self.vectors - s * x[..., None, :]))

    def gradient(self, x: FloatArray) -> FloatArray:
        """∇L at unit vectors (..., 3): (..., 3)."""
        return np.asarray(self.sample_gradients(x).mean(axis=-2))

    def norms(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """|∇L|, E|∇ℓ_i| and the SNR |∇L|/sqrt(E|∇ℓ_i − ∇L|²) at unit vectors (..., 3), each (...).

        The SNR is NaN where every gradient is zero.
        """
        samples = self.sample_gradients(x)
        # Scaled before it is squared: near the optimum of the over-parameterised toy the squares are zero.
        scale = np.max(np.abs(samples), axis=(-2, -1), keepdims=True)
        there = scale > 0
        relative = samples / np.where(there, scale, 1.0)
        mean = relative.mean(axis=-2, keepdims=True)
        full = np.linalg.norm(mean[..., 0, :], axis=-1)
        noise = np.sqrt(np.mean(np.sum((relative - mean) ** 2, axis=-1), axis=-1))
        size = scale[..., 0, 0]
        snr = np.divide(full, noise, out=np.full_like(full, np.nan), where=there[..., 0, 0] & (noise > 0))
        return full * size, np.mean(np.linalg.norm(relative, axis=-1), axis=-1) * size, snr

    @property
    def optimum(self) -> FloatArray:
        """The third axis."""
        return np.array([0.0, 0.0, 1.0])

    @property
    def least_loss(self) -> float:
        """L at the optimum: 0 over-parameterised, 0.04/1.04 under-parameterised."""
        return float(self.loss(self.optimum))

    @property
    def curvatures(self) -> FloatArray:
        """Eigenvalues (2,) of the Hessian of L at the optimum in the tangent plane, 2(A − L·1), A = mean a aᵀ there."""
        plane = self.vectors[:, :2]
        inner = 2 * (plane.T @ plane / len(plane) - self.least_loss * np.eye(2))
        return np.asarray(np.linalg.eigvalsh(inner))

    @property
    def noise_trace(self) -> float:
        """tr Σ = E|∇ℓ_i − ∇L|² at the optimum."""
        samples = self.sample_gradients(self.optimum)
        return float(np.mean(np.sum((samples - samples.mean(axis=0)) ** 2, axis=1)))

    @property
    def loss_slope(self) -> float:
        """d(U − L_min)/d lr for small lr, tr Σ/4: 0.037 under-parameterised."""
        return self.noise_trace / 4

    def temperature(self, lr: ArrayLike) -> FloatArray:
        """T of small learning rates, lr·c/(2 − lr·h) with c = tr Σ/2 and h the mean curvature: (m,)."""
        rates = positive("lr", lr)
        return np.asarray(rates * self.noise_trace / 2 / (2 - rates * self.curvatures.mean()))

    def small_lr_entropy(self, lr: ArrayLike) -> FloatArray:
        """S of small learning rates, both poles alike: ln 2 + ln(2πe·C) with C = T/h the variance along each axis."""
        return np.asarray(np.log(2) + np.log(2 * np.pi * np.e * self.temperature(lr) / self.curvatures.mean()))

    def walk(
        self, lr: ArrayLike, chains: int, steps: int, rng: np.random.Generator, start: FloatArray | None = None
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """All learning rates in one program: yields the states and the losses of the samples drawn at them.

        Every chain draws one sample a step, which all learning rates share, and starts at one point for all of them.

        Parameters
        ----------
        lr : (m,)
        chains : number of independent chains.
        start : (chains, 3) unit vectors; None draws them uniformly.

        Yields
        ------
        x, loss : (3, m, chains) states before the step, the coordinates first, valid until the next step; (m, chains)
            losses ℓ_i(x).
        """
        rates = positive("lr", lr)[:, None]
        if start is None:
            start = rng.standard_normal((chains, 3))
            start = start / np.linalg.norm(start, axis=1, keepdims=True)
        x = np.repeat(start.T[:, None, :], len(rates), axis=1)
        columns = np.ascontiguousarray(self.vectors.T)
        s, c, t = (np.empty(x.shape[1:]) for _ in range(3))
        for begin in range(0, steps, _DRAWN_AT_ONCE):
            drawn: IntArray = rng.integers(len(self.vectors), size=(min(_DRAWN_AT_ONCE, steps - begin), chains))
            x[np.abs(x) < _NOTHING] = 0.0
            for row in drawn:
                a = columns[:, row]
                np.multiply(x[0], a[0], out=s)
                for i in (1, 2):
                    np.multiply(x[i], a[i], out=t)
                    s += t
                yield x, s * s
                # x ← x − 2 lr s (a − s x): the gradient of (a·x)²/|x|² at norm 1.
                np.multiply(rates, s, out=c)
                c *= 2
                np.multiply(c, s, out=t)
                t += 1
                x *= t
                for i in (0, 1, 2):
                    np.multiply(c, a[i], out=t)
                    x[i] -= t
                np.einsum("imk,imk->mk", x, x, out=t)
                np.sqrt(t, out=t)
                x /= t


@dataclass(frozen=True)
class ToyLines:
    """Analytic values that the figures mark.

    Attributes
    ----------
    snr_limit : SNR of the over-parameterised toy at low lr, tan 30°.
    critical_lr : at lr = 1 a step multiplies the component along its sample by −1.
    least_loss, loss_slope : U = least_loss + loss_slope·lr of the under-parameterised toy.
    stochastic_norm : E|∇ℓ_i| at its optimum.
    uniform_loss, uniform_entropy : of uniformly random points: 1/3 and ln 4π.
    """

    snr_limit: float = float(np.tan(np.radians(30)))
    critical_lr: float = 1.0
    least_loss: float = 0.04 / 1.04
    loss_slope: float = (0.4 / 1.04) ** 2 / 4
    stochastic_norm: float = 0.4 / 1.04
    uniform_loss: float = 1 / 3
    uniform_entropy: float = float(np.log(4 * np.pi))


def toys() -> Sequence[SphereToy]:
    """Both toys, over-parameterised first."""
    return SphereToy.over_parameterised(), SphereToy.under_parameterised()
