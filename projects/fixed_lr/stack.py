"""Models that are trained side by side: one weight vector each, one batch for all."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from copy import copy

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from mlflow_thermo.errors import ThermoError, first_line
from mlflow_thermo.packing import layout_of, trainable
from projects.fixed_lr.objective import chain_indices, sample_losses, weighted
from projects.fixed_lr.training_setup import TrainingSetup

logger = logging.getLogger(__name__)

#: Compiling takes about half a minute and halves the time of what is left: below this many seconds it does not pay.
WORTH_COMPILING = 90.0
#: Share of the free memory that one stack may take.
MEMORY_SHARE = 0.5

#: weights (n_models, d), x, y, weight -> gradient (n_models, d), loss (n_models,), correct (n_models,).
StackedGradient = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, tuple[Tensor, Tensor]]]


class ModelStack(TrainingSetup):
    """`n_models` copies of a model, which all start at its weights and see its batches.

    `branch` parts each of them into the chains of the config: the first sees the batches that the model would have
    seen, every other batches of its own, which it shares with the chains of the same number of the other models.

    Attributes
    ----------
    weights : (n_models, d), or (n_models, chains, d) after `branch`; of the models that are still trained.
    rows : numbers of these models.
    """

    def __init__(self, one: TrainingSetup, n_models: int) -> None:
        # The model's own parameters stay as they are: its layers only lend their forward pass.
        self.config, self.data, self.model = one.config, one.data, one.model
        self.generator, self.noise_generator = one.generator, one.noise_generator
        self.spheres, self.groups = one.spheres, one.groups
        self.rows = list(range(n_models))
        # Recorders look at these weights, whatever is trained at present.
        self._all = one.weights.detach().repeat(n_models, one.config.chains, 1)
        self._start = one.weights.detach().clone()
        self.weights = self._all[:, 0]
        self.layout = layout_of(trainable(one.model))
        fixed = {name: p.detach() for name, p in one.model.named_parameters() if not p.requires_grad}
        self._fixed = fixed | dict(one.model.named_buffers())
        self._gradient: StackedGradient = vmap(grad(self._one, has_aux=True), in_dims=(0, None, None, None))
        self._loss = vmap(self._one, in_dims=(0, None, None, None))
        self._single: ModelStack | None = None
        self._asked, self._compiled = "never", False

    @property
    def chains(self) -> int:
        """Chains of each model at present."""
        return 1 if self.weights.ndim == 2 else self.weights.shape[1]

    def branch(self) -> None:
        """Part each model into its chains, which from now on see batches of their own."""
        self._single = copy(self)
        self._all[:] = self._all[:, :1].clone()
        self.weights = self._all
        each = vmap(grad(self._one, has_aux=True), in_dims=(0, 0, 0, None))
        self._gradient = vmap(each, in_dims=(0, None, None, None))
        rows, self.rows = self.rows, list(range(len(self._all)))
        self.keep(rows)
        self.compile_if_worth_it(self._asked)

    def keep(self, positions: list[int]) -> None:
        """Go on with the models at these positions of the present ones alone."""
        if len(positions) < len(self.rows):
            self.rows = [self.rows[position] for position in positions]
            self.weights = self.weights[positions]

    @property
    def harmless(self) -> Tensor:
        """The weights (d,) at which all models started."""
        return self._start

    @property
    def can_shrink(self) -> bool:
        """Whether models may leave: a compiled program is for one number of them."""
        return not self._compiled

    def show(self) -> None:
        """Bring the weights that recorders look at up to date."""
        if len(self.rows) < len(self._all):
            target = self._all if self.weights.ndim == 3 else self._all[:, 0]
            target[self.rows] = self.weights

    def probe(self) -> ModelStack:
        """A stack for any number of weight vectors, which are set from outside."""
        probe = copy(self)
        probe._gradient = vmap(grad(self._one, has_aux=True), in_dims=(0, None, None, None))
        return probe

    def one_chain(self) -> ModelStack:
        """The first chain of each model, with the weights of now."""
        if self._single is None:
            return self
        self._single.weights = self.weights[:, 0]
        return self._single

    @torch.no_grad()
    def losses_of(self, x: Tensor, y: Tensor) -> Tensor:
        """Losses (n_models, batch) of the single samples of a batch, at the weights of the first chains."""
        return vmap(self._samples, in_dims=(0, None, None))(self.one_chain().weights, x, y)

    def source(self) -> Iterator[Tensor]:
        """The endless batches that the training sees from now on: (batch,), or (chains, batch)."""
        if self.chains == 1:
            return super().source()
        seeds = np.random.SeedSequence(self.config.seed).generate_state(self.chains - 1, np.uint64)
        others = [torch.Generator().manual_seed(int(seed) >> 2) for seed in seeds]
        return chain_indices(self.data, self.config.batch_size, self.config.sampling, [self.generator, *others])

    def _one(self, weights: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        loss, correct = weighted(*sample_losses(self._logits(weights, x), y, self.config.loss), weight)
        return loss, (loss.detach(), correct)

    def _samples(self, weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return sample_losses(self._logits(weights, x), y, self.config.loss)[0]

    def _logits(self, weights: Tensor, x: Tensor) -> Tensor:
        parts = {p.name: weights[p.offset : p.offset + p.size].view(p.shape) for p in self.layout}
        logits: Tensor = functional_call(self.model, parts | self._fixed, (x,))
        return logits

    def weighted_gradient(self, x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the shape of the weights, with losses and accuracies (…, 2)."""
        gradient, (loss, correct) = self._gradient(self.weights, x, y, weight)
        return gradient, torch.stack([loss, correct], dim=-1)

    @torch.no_grad()
    def weighted_loss(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Losses and accuracies, (n_models, 2)."""
        loss, (_, correct) = self._loss(self.weights, x, y, weight)
        return torch.stack([loss, correct], dim=-1)

    def named_views(self, row: int) -> list[tuple[str, Tensor]]:
        """Parameters of model `row` by name, of its first chain, as views of its weights, for a recorder."""
        return self.chains_of(row)[0]

    def chains_of(self, row: int) -> list[list[tuple[str, Tensor]]]:
        """Parameters of each chain of model `row` by name, as views of its weights, for a recorder."""
        return [
            [(p.name, vector[p.offset : p.offset + p.size].view(p.shape).requires_grad_(True)) for p in self.layout]
            for vector in self._all[row].detach()
        ]

    def compile_if_worth_it(self, mode: str) -> bool:
        """Compile the gradient where there is a compiler and, by a timed trial, enough left to do.

        Parameters
        ----------
        mode : ``auto``, ``always`` or ``never``.
        """
        self._asked = mode
        if self.chains < self.config.chains or (mode == "auto" and self.config.until):
            # A short trajectory first, or models that leave one by one: a program is for one shape.
            return False
        if mode == "never" or (mode == "auto" and not (self._can_compile() and self._seconds() > WORTH_COMPILING)):
            return False
        # On a GPU the launches of many small kernels cost more than the kernels: replay them as one graph.
        options = "reduce-overhead" if self.device.type == "cuda" else "default"
        try:
            self.compile(options)
        except Exception as error:
            # A compiler that is there and does not work must not cost the training.
            logger.warning("compiling failed, going on without: %s", first_line(error))
            return False
        return True

    def compile(self, mode: str) -> None:
        """Compile the gradient in a mode of `torch.compile`; what that raises leaves the gradient as it was."""
        compiled = torch.compile(self._gradient, dynamic=False, mode=mode)
        # A graph is recorded at the second call and replayed at the third: none of them may fail in the training.
        for _ in range(3):
            compiled(self.weights, *self._trial())
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._gradient, self._compiled = compiled, True

    def _can_compile(self) -> bool:
        return self.device.type == "cuda" or any(
            shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")
        )

    def _trial(self) -> tuple[Tensor, Tensor, Tensor]:
        # The first images, not a drawn batch: a trial must not change what the training sees.
        size = self.config.batch_size
        index = torch.arange(size, device=self.device) % len(self.data.y_train)
        if self.chains > 1:
            index = index.expand(self.chains, size)
        weight = torch.full((size,), 1 / size, dtype=self.weights.dtype, device=self.device)
        return self.data.x_train[index], self.data.y_train[index], weight

    def _seconds(self) -> float:
        """About how long the training's steps will take without compiling."""
        trial = self._trial()
        for _ in range(2):
            start = time.perf_counter()
            self._gradient(self.weights, *trial)
            # After the first call too: what is still running on the device would count for the second.
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        return (time.perf_counter() - start) * self.config.steps


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
