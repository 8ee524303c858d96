"""How many models may be trained side by side in the memory that is free."""

from __future__ import annotations

import os
from collections import Counter

import torch
from torch import Tensor

from mlflow_thermo.errors import ThermoError
from projects.fixed_lr.objective import sample_losses
from projects.fixed_lr.training_setup import TrainingSetup

#: Share of the free memory that one stack may take.
MEMORY_SHARE = 0.5


def models_that_fit(one: TrainingSetup, wanted: int, shares: int = 1, recording: int = 0) -> int:
    """How many of `wanted` models, with all their chains, may be stacked in the memory that is free.

    A model needs its weights and gradient a few times over, and what its forward pass keeps for the backward
    pass, twice: once more for the gradients of it.

    Parameters
    ----------
    shares : processes that share the memory.
    recording : bytes that the recording of a model takes on the processor's side.

    Raises
    ------
    ThermoError
        The chains of a single model do not fit; the message says how many would.
    """
    saved = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += tensor.numel() * tensor.element_size()
        return tensor

    size = one.config.batch_size
    index = torch.arange(size, device=one.device) % len(one.data.y_train)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        sample_losses(one.model(one.data.x_train[index]), one.data.y_train[index], one.config.loss)
    need = Counter({"cpu": recording})
    chains = one.config.chains
    need[one.device.type] += chains * (2 * saved + 6 * one.d * one.weights.element_size())
    fits = [MEMORY_SHARE * _free_bytes(torch.device(kind)) / shares / max(1, each) for kind, each in need.items()]
    if chains > 1 and min(fits) < 1:
        raise ThermoError(
            f"chains={chains} of one model do not fit into memory: take at most {max(1, int(min(fits) * chains))}"
        )
    return max(1, min(wanted, int(min(fits))))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
