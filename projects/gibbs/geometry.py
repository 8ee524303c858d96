"""The spaces in which trajectories move: flat space, and a product of spheres crossed along great circles.

All shapes are (n_temps, n_chains, d). A geometry holds what is tuned to a temperature, the inverse mass; every setting
of it leaves the Gibbs state as it is, and it must not change any more once draws count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Geometry(Protocol):
    """Positions q of weights w, momenta p, and the motion without a force.

    The density of positions is exp(−L/T)·volume(q), the volume being the Jacobian of the map from them to weights.
    """

    def dim(self, d: int) -> int:
        """Degrees of freedom D of d weights."""
        ...

    def position(self, weights: Tensor) -> Tensor:
        """Positions of weights, both (n_temps, n_chains, d)."""
        ...

    def weights(self, position: Tensor) -> Tensor:
        """Weights at positions, both (n_temps, n_chains, d)."""
        ...

    def log_volume(self, position: Tensor) -> Tensor:
        """Logarithm of the volume, (n_temps, n_chains)."""
        ...

    def force(self, position: Tensor, slope: Tensor) -> Tensor:
        """Change of the momentum per unit of time; `slope` is ∇L/T, the gradient with respect to the weights."""
        ...

    def draw_momentum(self, position: Tensor, generator: torch.Generator) -> Tensor:
        """Momenta of the density exp(−kinetic)."""
        ...

    def kinetic(self, momentum: Tensor) -> Tensor:
        """Kinetic energy in units of T, (n_temps, n_chains)."""
        ...

    def flow(self, position: Tensor, momentum: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Positions and momenta after `time` (n_temps, n_chains, 1) of free motion."""
        ...

    def fit(self, samples: Tensor) -> None:
        """Tune the inverse mass to samples (n_temps, n, d) of weights from the burn-in."""
        ...


def normal_like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normals of the shape, type and device of `tensor`; the generator is the processor's."""
    return torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype).to(tensor.device)


def covariance_root(x: Tensor) -> Tensor:
    """Lower Cholesky factors (n_temps, k, k) of the covariances of x (n_temps, n, k), shrunk towards their diagonal.

    The weight of the diagonal, k/(n + k), is what keeps the factor defined when there are few samples.
    """
    n, k = x.shape[-2:]
    centred = x - x.mean(dim=-2, keepdim=True)
    covariance = centred.mT @ centred / n
    share = k / (n + k)
    diagonal = torch.diagonal(covariance, dim1=-2, dim2=-1)
    # A direction in which nothing has moved yet would stay frozen for ever.
    floor = 1e-6 * diagonal.mean(dim=-1, keepdim=True)
    root: Tensor = torch.linalg.cholesky((1 - share) * covariance + torch.diag_embed(share * diagonal + floor))
    return root


class FlatSpace:
    """R^d with a mass matrix for each temperature.

    The inverse mass Σ = AAᵀ is the covariance from the burn-in (Neal 2011, section 4.1): the momentum is kept as Aᵀ
    times the usual one, so that it is standard normal, moves the weights by A·p and feels the force −Aᵀ∇L/T.

    Parameters
    ----------
    mass : ``dense`` (all covariances), ``diagonal`` (variances), or ``unit`` (never tuned).
    """

    def __init__(self, mass: str = "dense") -> None:
        if mass not in ("dense", "diagonal", "unit"):
            raise ValueError(f"mass must be dense, diagonal or unit, got {mass!r}")
        self.mass = mass
        self.root: Tensor | None = None

    def dim(self, d: int) -> int:
        """All d weights are free."""
        return d

    def position(self, weights: Tensor) -> Tensor:
        """The weights themselves."""
        return weights

    def weights(self, position: Tensor) -> Tensor:
        """The positions themselves."""
        return position

    def log_volume(self, position: Tensor) -> Tensor:
        """Zero: the map is the identity."""
        return position.new_zeros(position.shape[:-1])

    def force(self, position: Tensor, slope: Tensor) -> Tensor:
        """−Aᵀ∇L/T."""
        return -slope if self.root is None else -slope @ self.root

    def draw_momentum(self, position: Tensor, generator: torch.Generator) -> Tensor:
        """Standard normal momenta."""
        return normal_like(position, generator)

    def kinetic(self, momentum: Tensor) -> Tensor:
        """½|p|²."""
        return momentum.square().sum(dim=-1) / 2

    def flow(self, position: Tensor, momentum: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """A straight line with the velocity A·p."""
        velocity = momentum if self.root is None else momentum @ self.root.mT
        return position + time * velocity, momentum

    def fit(self, samples: Tensor) -> None:
        """Take the covariance of the samples for the inverse mass."""
        if self.mass == "dense":
            self.root = covariance_root(samples)
        elif self.mass == "diagonal":
            self.root = torch.diag_embed(samples.std(dim=-2))


class Blocks:
    """Consecutive blocks of a weight vector, one for each unit: sums over the blocks for all of them at once.

    Parameters
    ----------
    sizes : weights of each block, in their order; a block on a sphere needs at least two.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        if not sizes or min(sizes) < 2:
            raise ValueError(f"a sphere needs at least two weights, got blocks of {list(sizes)}")
        self.sizes = list(sizes)
        self.of_weight = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(self.sizes))

    def sum(self, x: Tensor) -> Tensor:
        """Sums over each block, (..., d) to (..., n_blocks)."""
        total = x.new_zeros(*x.shape[:-1], len(self.sizes))
        return total.index_add_(-1, self.of_weight.to(x.device), x)

    def spread(self, x: Tensor) -> Tensor:
        """The block's value for each of its weights, (..., n_blocks) to (..., d)."""
        return x[..., self.of_weight.to(x.device)]

    def dot(self, x: Tensor, y: Tensor) -> Tensor:
        """Scalar products block by block, given for each weight: (..., d)."""
        return self.spread(self.sum(x * y))

    def free(self, x: Tensor) -> Tensor:
        """Degrees of freedom of each block's direction, one less than its weights, like x: (n_blocks,)."""
        return torch.tensor(self.sizes, dtype=x.dtype, device=x.device) - 1

    def unit(self, x: Tensor) -> Tensor:
        """Each block divided by its norm."""
        return x / self.dot(x, x).sqrt()


class Spheres(Blocks):
    """A product of unit spheres, one for each block of weights, crossed along great circles.

    Geodesic Hamiltonian Monte Carlo (Byrne & Girolami 2013): the momentum is tangent, is kicked by the tangent part of
    −∇L/T, and between the kicks every block flies along its great circle, which is exact and keeps the volume. A block
    may have its own inverse mass, for that only changes its speed: the burn-in sets it to the block's angular variance.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(sizes)
        self.speed: Tensor | None = None

    def dim(self, d: int) -> int:
        """One degree of freedom less for each block."""
        return d - len(self.sizes)

    def position(self, weights: Tensor) -> Tensor:
        """The directions of the blocks."""
        return self.unit(weights)

    def weights(self, position: Tensor) -> Tensor:
        """The positions themselves, whose blocks have norm 1."""
        return position

    def log_volume(self, position: Tensor) -> Tensor:
        """Zero: densities are with respect to the area of the spheres."""
        return position.new_zeros(position.shape[:-1])

    def _tangent(self, position: Tensor, vector: Tensor) -> Tensor:
        return vector - position * self.dot(position, vector)

    def force(self, position: Tensor, slope: Tensor) -> Tensor:
        """The tangent part of −∇L/T, times the square root of the block's inverse mass."""
        force = -self._tangent(position, slope)
        return force if self.speed is None else force * self.speed

    def draw_momentum(self, position: Tensor, generator: torch.Generator) -> Tensor:
        """Standard normals in the tangent space."""
        return self._tangent(position, normal_like(position, generator))

    def kinetic(self, momentum: Tensor) -> Tensor:
        """½|p|²."""
        return momentum.square().sum(dim=-1) / 2

    def flow(self, position: Tensor, momentum: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Every block turns along its great circle by the angle time·speed·|p|."""
        size = self.dot(momentum, momentum).sqrt().clamp(min=torch.finfo(momentum.dtype).tiny)
        angle = time * size if self.speed is None else time * self.speed * size
        sin, cos = torch.sin(angle), torch.cos(angle)
        moved = position * cos + momentum * (sin / size)
        # Rounding only: thousands of flights must not leave the sphere.
        return self.unit(moved), momentum * cos - position * (size * sin)

    def fit(self, samples: Tensor) -> None:
        """Set the blocks' speeds to the root mean square distance from their mean directions, per dimension."""
        unit = self.unit(samples)
        centre = self.unit(unit.mean(dim=-2, keepdim=True))
        spread = self.sum((unit - centre).square().mean(dim=-2)) / self.free(unit)
        self.speed = self.spread(spread.sqrt()).unsqueeze(-2)
