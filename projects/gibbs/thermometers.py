"""The temperature of sampled states from the gradient alone, to hold against the one that was set."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from analysis.temperature import direction_temperatures
from projects.gibbs.states import Samples


def virial_temperature(samples: Samples, sizes: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
    """Temperatures (n_temps,) by the virial theorem, and their errors from the differences between chains.

    Those of `analysis.temperature.direction_temperatures`, exact however wide the state is.

    Parameters
    ----------
    sizes : weights of each block on a sphere; none for flat space.
    """
    weights, gradients = (x.double().movedim(0, 2).numpy() for x in (samples.weights, samples.gradients))
    found = [direction_temperatures(w, g, sizes).virial for w, g in zip(weights, gradients, strict=True)]
    values = [[one.value, one.stderr] for one in found]
    temperature, error = torch.tensor(values, dtype=torch.float64).T
    return temperature, error
