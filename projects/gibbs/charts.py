"""A product of spheres in flat coordinates, in which a dense mass matrix is exact."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from projects.gibbs.geometry import Blocks, covariance_root, normal_like


class ChartedSpheres(Blocks):
    """A product of unit spheres, one for each block, seen from their mean directions.

    A great circle has one speed, so that flights along it cannot be fitted to a state that is narrow in one direction
    of a block and wide in another. The stereographic chart can: around a centre m (a unit vector in each block),

        w(x) = [(1 − s)·m + x]/(1 + s),  s = |x|²/4,  x ⟂ m in each block,

    covers each sphere but the point −m, is an isometry at the centre and conformal everywhere, with the area
    (1 + s)^{−(n−1)} dx on a block of n weights. In x the state is sampled as in flat space, with that factor in the
    density and the covariance of x from the burn-in for the inverse mass. Centre and mass belong to a temperature.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(sizes)
        self._centre: Tensor | None = None
        self._frame: Tensor | None = None

    def dim(self, d: int) -> int:
        """One degree of freedom less for each block."""
        return d - len(self.sizes)

    @property
    def centre(self) -> Tensor:
        """Centres of the charts, (n_temps, 1, d)."""
        if self._centre is None:
            raise RuntimeError("the chart has no centre before it is fitted")
        return self._centre

    @property
    def frame(self) -> Tensor:
        """Steps of x, one a column, for unit momenta: (n_temps, d, D)."""
        if self._frame is None:
            raise RuntimeError("the chart has no frame before it is fitted")
        return self._frame

    def position(self, weights: Tensor) -> Tensor:
        """Coordinates x of the blocks' directions."""
        if self._centre is None:
            self._look_from(weights)
        unit = self.unit(weights)
        cosine = self.dot(unit, self.centre)
        # (1 + cos)/2 = 1/(1 + s).
        return (unit - cosine * self.centre) / ((1 + cosine) / 2)

    def _shrink(self, position: Tensor) -> Tensor:
        """1/(1 + s) of the block, for each weight."""
        return 1 / (1 + self.dot(position, position) / 4)

    def weights(self, position: Tensor) -> Tensor:
        """w(x), whose blocks have norm 1."""
        shrink = self._shrink(position)
        return (2 * shrink - 1) * self.centre + position * shrink

    def log_volume(self, position: Tensor) -> Tensor:
        """−Σ_blocks (n − 1) ln(1 + s)."""
        squares = self.sum(position.square())
        return -(torch.log1p(squares / 4) * self.free(position)).sum(dim=-1)

    def pull_back(self, position: Tensor, gradient: Tensor) -> Tensor:
        """∂L/∂x of a loss with the gradient ∂L/∂w, up to parts along the centre, which no momentum sees.

        By the chain rule with ds = x·dx/2, and without the part along w when the loss is scale-invariant.
        """
        shrink = self._shrink(position)
        centre = self.centre
        along = self.dot(centre + (2 * shrink - 1) * centre + position * shrink, gradient)
        return shrink * (gradient - position * along / 2)

    def narrowing(self, position: Tensor) -> Tensor:
        """−∂ ln volume/∂x, (n_temps, n_chains, d)."""
        return self.spread(self.free(position)) * position * self._shrink(position) / 2

    def force(self, position: Tensor, slope: Tensor) -> Tensor:
        """Frameᵀ·(−∂(L/T)/∂x + ∂ ln volume/∂x)."""
        return -(self.pull_back(position, slope) + self.narrowing(position)) @ self.frame

    def draw_momentum(self, position: Tensor, generator: torch.Generator) -> Tensor:
        """Standard normal momenta, (n_temps, n_chains, D)."""
        return normal_like(position[..., : self.frame.shape[-1]], generator)

    def kinetic(self, momentum: Tensor) -> Tensor:
        """½|p|²."""
        return momentum.square().sum(dim=-1) / 2

    def flow(self, position: Tensor, momentum: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """A straight line in x."""
        return position + time * (momentum @ self.frame.mT), momentum

    def fit(self, samples: Tensor) -> None:
        """Put the charts' centres at the mean directions, and take the covariance of x for the inverse mass."""
        basis = self._look_from(samples)
        self._frame = basis @ covariance_root(self.position(samples) @ basis)

    def _look_from(self, samples: Tensor) -> Tensor:
        """Centre the charts; an orthonormal basis (n_temps, d, D) of the tangent space at the centre."""
        centre = self.unit(self.unit(samples).mean(dim=-2, keepdim=True))
        # A column for each block; what is orthogonal to all of them is the tangent space.
        columns = torch.diag_embed(centre.squeeze(-2)) @ one_hot(self.of_weight).to(centre)
        basis: Tensor = torch.linalg.qr(columns, mode="complete")[0][..., len(self.sizes) :]
        self._centre, self._frame = centre, basis
        return basis
