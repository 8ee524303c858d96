"""The temperature of sampled states from the gradient alone, to hold against the one that was set."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from projects.gibbs.charts import ChartedSpheres
from projects.gibbs.states import Samples


def virial_temperature(samples: Samples, sizes: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
    """Temperatures (n_temps,) by the virial theorem, and their errors from the differences between chains.

    In flat space ⟨(w − w̄)·∇L⟩ = d·T, by parts from p ∝ exp(−L/T). On spheres the same holds in the coordinates x of a
    chart, whose area belongs to the density: ⟨x·∂(L/T − ln volume)/∂x⟩ = D. So T = ⟨x·∂L/∂x⟩/(D + ⟨x·∂ ln volume/∂x⟩),
    exact however wide the state is, where ⟨(w − w̄)·∇L⟩/D reads too low.

    Parameters
    ----------
    sizes : weights of each block on a sphere; none for flat space.
    """
    weights, gradients = (x.double().movedim(0, 2) for x in (samples.weights, samples.gradients))
    if sizes:
        charts = ChartedSpheres(sizes)
        charts.fit(weights.flatten(1, 2))
        dim = charts.dim(weights.shape[-1])
        position = charts.position(weights.flatten(1, 2))
        work = position * charts.pull_back(position, gradients.flatten(1, 2))
        narrowing = (position * charts.narrowing(position)).sum(dim=-1).view(weights.shape[:-1])
        work = work.view(weights.shape)
    else:
        dim = weights.shape[-1]
        work = (weights - weights.mean(dim=(1, 2), keepdim=True)) * gradients
        narrowing = weights.new_zeros(weights.shape[:-1])
    per_chain = work.sum(dim=-1).mean(dim=-1)
    room = dim - narrowing.mean(dim=-1)
    temperature = per_chain.mean(dim=-1) / room.mean(dim=-1)
    # The error of a ratio: of the numerator less the ratio times the denominator.
    left = per_chain - temperature.unsqueeze(-1) * room
    error = left.std(dim=-1) / left.shape[-1] ** 0.5 / room.mean(dim=-1)
    return temperature, error
