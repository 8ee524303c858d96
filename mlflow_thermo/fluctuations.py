"""Sums over the steps of a training that fluctuation-dissipation relations need."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor
from torch.nn import functional


class FluctuationSums:
    """Running sums over the steps of the products that fluctuation-dissipation relations need.

    With weights w, minibatch gradient g and a fixed unit vector r along the initial weights: ``w·g`` and ``|g|²`` for
    the relation 2⟨w·g⟩ = lr·⟨|g|²⟩ in flat space (Yaida, arXiv 1810.00004); ``g·r``, ``w·r`` and ``(w·r)|g|²`` for its
    counterpart on the sphere, where w·g = 0 carries no information. The sums stay on the device.

    With weights on spheres, a step w → |w|(w − lr·g)/|w − lr·g| of each has an exact relation too: with
    h = (1 + lr²|g|²/|w|²)^(−1/2), ``gr`` is the sum of h·(g·r) and ``wrgg`` that of 2(1 − h)(w·r)/lr² over the spheres,
    so that −2⟨gr⟩ = lr·⟨wrgg⟩ whatever the size of the step. To leading order h is 1 − lr²|g|²/2|w|².

    Parameters
    ----------
    weights : Tensor
        Initial weights, shape (..., d).
    spheres : sequence of int
        Weights on each of the spheres that the training keeps (`schema.spheres_of`); none in flat space.
    """

    NAMES = ("wg", "gg", "gr", "wr", "wrgg")

    def __init__(self, weights: Tensor, spheres: Sequence[int] = ()) -> None:
        self._groups = groups_of(spheres, weights) if spheres else None
        self._direction = weights / torch.linalg.vector_norm(weights, dim=-1, keepdim=True)
        shape = (*weights.shape[:-1], len(self.NAMES))
        self._sums = torch.zeros(shape, dtype=torch.float64, device=_wide(weights.device))
        self._steps = self._sums.new_zeros(shape[:-1])

    def add(self, weights: Tensor, gradient: Tensor, lr: float | Tensor = 0.0) -> None:
        """Add one step: the weights before the update and the gradient there, both of shape (..., d).

        Parameters
        ----------
        weights, gradient : Tensor
            Shape (..., d).
        lr : float or Tensor
            Learning rate of the step, which the relation on spheres needs; (..., 1) for several models.
        """
        dot = torch.linalg.vecdot
        gg = dot(gradient, gradient)
        wr = dot(weights, self._direction)
        if self._groups is None:
            gr, wrgg = dot(gradient, self._direction), wr * gg
        else:
            parts = torch.stack([weights * self._direction, gradient * self._direction, weights**2, gradient**2])
            along, uphill, squares, steepness = (parts @ self._groups).to(self._sums)
            step = torch.as_tensor(lr, dtype=self._sums.dtype, device=self._sums.device).square()
            turned = steepness / squares
            # 2(1 − h)/lr², written so that it does not cancel, and holds where lr is zero too.
            h = torch.rsqrt(1 + step * turned)
            wrgg = (along * 2 * turned * h.square() / (1 + h)).sum(dim=-1)
            gr = (h * uphill).sum(dim=-1)
        terms = [dot(weights, gradient), gg, gr, wr, wrgg]
        self._sums += torch.stack([term.to(self._sums) for term in terms], dim=-1)
        self._steps += 1

    def rows(self) -> list[dict[str, float]]:
        """The sums of each model by name, over all of its chains, with the number of steps that they are over."""
        table = torch.cat([self._steps.unsqueeze(-1), self._sums], dim=-1)
        table = table.flatten(1, -2).sum(dim=1) if table.ndim > 2 else table.reshape(-1, table.shape[-1])
        return [dict(zip(("steps", *self.NAMES), row, strict=True)) for row in table.tolist()]

    def squares(self) -> Tensor:
        """Sums of |g|² and numbers of steps of each model and chain, (2, ...), on the CPU."""
        return torch.stack([self._sums[..., self.NAMES.index("gg")], self._steps]).cpu()

    def ratio_errors(self, begun: FluctuationSums, lr: float | Tensor) -> Tensor:
        """Standard errors of the fluctuation-dissipation ratios since `begun`, from the scatter of the chains.

        A ratio of two sums over chains, to first order (Cochran 1977, section 6.3): (n_models,), all NaN where models
        have no chains.

        Parameters
        ----------
        begun : FluctuationSums
            The sums as they were then.
        lr : float or Tensor
            Learning rate, (n_models, 1) for several.
        """
        parts = self._sums - begun._sums
        if parts.ndim < 3 or parts.shape[1] < 2:
            return parts.new_full(parts.shape[:1], torch.nan)
        names = dict(zip(self.NAMES, parts.unbind(-1), strict=True))
        step = torch.as_tensor(lr, dtype=parts.dtype, device=parts.device)
        if self._groups is None:
            falls, noise = 2 * names["wg"], step * names["gg"]
        else:
            falls, noise = -2 * names["gr"], step * names["wrgg"]
        ratio = falls.sum(dim=1, keepdim=True) / noise.sum(dim=1, keepdim=True)
        chains = parts.shape[1]
        scatter = (falls - ratio * noise).square().sum(dim=1) * chains / (chains - 1)
        return scatter.sqrt() / noise.sum(dim=1).abs()

    def branched(self, chains: int) -> FluctuationSums:
        """Go on with `chains` chains of each model, of which the first carries what was summed before."""
        parted = copy(self)
        parted._direction = self._direction.unsqueeze(-2)
        parted._sums, parted._steps = (
            torch.cat([one.unsqueeze(1), one.new_zeros(len(one), chains - 1, *one.shape[1:])], dim=1)
            for one in (self._sums, self._steps)
        )
        return parted

    def as_of_now(self) -> FluctuationSums:
        """The sums as they are, which further steps leave alone."""
        held = copy(self)
        held._sums, held._steps = self._sums.clone(), self._steps.clone()
        return held

    def state(self) -> dict[str, Tensor]:
        """The sums as they are, for a checkpoint."""
        return {"direction": self._direction, "sums": self._sums, "steps": self._steps}

    def restored(self, state: dict[str, Tensor]) -> FluctuationSums:
        """The sums of a `state`, of weights on the same spheres."""
        found = copy(self)
        found._direction = state["direction"].to(self._direction)
        found._sums, found._steps = (state[name].to(self._sums) for name in ("sums", "steps"))
        return found

    def keep(self, positions: Sequence[int]) -> None:
        """Go on with the models at these positions alone."""
        chosen = list(positions)
        self._direction, self._sums, self._steps = (one[chosen] for one in (self._direction, self._sums, self._steps))

    def values(self) -> dict[str, float]:
        """The only row of `rows`, for a single model."""
        (row,) = self.rows()
        return row


def groups_of(sizes: Sequence[int], like: Tensor) -> Tensor:
    """Zeros and ones (d, groups): which weight belongs to which of the groups that follow each other.

    Examples
    --------
    >>> groups_of([2, 1], torch.zeros(3)).tolist()
    [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    """
    number = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return functional.one_hot(number, len(sizes)).to(like)


def _wide(device: torch.device) -> torch.device:
    """Where float64 sums live: MPS has no float64."""
    return torch.device("cpu") if device.type == "mps" else device


def widened(values: Tensor) -> Tensor:
    """Detached, in float64."""
    return values.detach().to(device=_wide(values.device), dtype=torch.float64)
