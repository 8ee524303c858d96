"""Models that are trained side by side: one weight vector each, one batch for all."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from mlflow_thermo.errors import first_line
from mlflow_thermo.packing import layout_of, trainable
from projects.fixed_lr.objective import BatchSource, sample_losses, weighted
from projects.fixed_lr.training_setup import TrainingSetup

logger = logging.getLogger(__name__)

#: Compiling takes a quarter to half a minute and saves half of the time or more: it does not pay for fewer seconds.
WORTH_COMPILING = 40.0
#: weights (..., d), x, y, weight -> gradient (..., d), loss (...), correct (...).
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
        #: The gradients of the chains of one model, each on its own batch, and those of all models.
        self._of_chains: StackedGradient = vmap(grad(self._one, has_aux=True), in_dims=(0, 0, 0, None))
        self._chained: StackedGradient = vmap(self._of_chains, in_dims=(0, None, None, None))
        self._single: ModelStack | None = None
        self._of_one_size, self._in_turns = False, False

    @property
    def chains(self) -> int:
        """Chains of each model at present."""
        return 1 if self.weights.ndim == 2 else self.weights.shape[1]

    def branch(self) -> None:
        """Part each model into its chains, which from now on see batches of their own."""
        self._single = copy(self)
        self._all[:] = self._all[:, :1].clone()
        self.weights = self._all
        self._gradient = self._chained
        rows, self.rows = self.rows, list(range(len(self._all)))
        self.keep(rows)

    def keep(self, positions: list[int]) -> None:
        """Go on with the models at these positions of the present ones alone."""
        if len(positions) < len(self.rows):
            self.rows = [self.rows[position] for position in positions]
            self.weights = self.weights[positions]

    def state(self) -> dict[str, Any]:
        """The weights, which models are left and what measures, for a checkpoint."""
        return {
            "all": self._all.detach(), "weights": self.weights.detach(), "rows": self.rows,
            "parted": self.weights.ndim == 3, "noise": self.noise_generator.get_state(),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`, from how the stack was at the start."""
        if state["parted"]:
            self.branch()
        self._all.copy_(state["all"])
        # Not set to what was saved: all models together lie in memory as the recorders look at them.
        self.keep(state["rows"])
        self.weights.copy_(state["weights"])
        self.noise_generator.set_state(state["noise"])

    @property
    def harmless(self) -> Tensor:
        """The weights (d,) at which all models started."""
        return self._start

    @property
    def can_shrink(self) -> bool:
        """Whether models may leave: the compiled program of a whole stack is for one number of them."""
        return not self._of_one_size

    @property
    def in_turns(self) -> bool:
        """Whether the chains of one model after the other are computed, and not those of all together."""
        return self._in_turns

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

    def source(self) -> BatchSource:
        """The endless batches that the training sees from now on: (batch,), or (chains, batch)."""
        if self.chains == 1:
            return super().source()
        seeds = np.random.SeedSequence(self.config.seed).generate_state(self.chains - 1, np.uint64)
        others = [torch.Generator().manual_seed(int(seed) >> 2) for seed in seeds]
        return BatchSource(self.data, self.config.batch_size, self.config.sampling, [self.generator, *others])

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

    def try_step(self, parted: bool) -> None:
        """A gradient that changes nothing: of the one trajectory of each model, or of its chains."""
        if parted:
            self._chained(self._all, *self._trial(self.config.chains))
        else:
            self._gradient(self.weights, *self._trial(self.chains))

    def compile_if_worth_it(self, mode: str, steps: float | None = None) -> bool:
        """Compile the gradient where there is a compiler and, by a timed trial, enough left to do.

        Before the training, so that its time is known from the first step on.

        Parameters
        ----------
        mode : ``auto``, ``always`` or ``never``.
        steps : of a model, in the mean; by default as many as the config says.
        """
        if mode == "never" or (mode == "auto" and not self._is_worth_it(self.config.steps if steps is None else steps)):
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
        """Compile the gradient in a mode of `torch.compile`; what that raises leaves the gradient as it was.

        Of a training in chains the gradient of these: on a processor a program for the chains of one model, called for
        one model after the other so that models may leave; on a GPU one for all models.
        """
        if self._by_models:
            program = _in_turns(torch.compile(self._of_chains, dynamic=False, mode=mode))
        else:
            whole = self._chained if self.config.chains > 1 else self._gradient
            program = torch.compile(whole, dynamic=False, mode=mode)
        weights = self._all if self.config.chains > 1 else self.weights
        # A graph is recorded at the second call and replayed at the third: none of them may fail in the training.
        for _ in range(3):
            program(weights, *self._trial(self.config.chains))
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        if self.config.chains > 1:
            self._chained = program
        if self.chains == self.config.chains:
            self._gradient = program
        self._of_one_size, self._in_turns = not self._by_models, self._by_models

    def _is_worth_it(self, steps: float) -> bool:
        if self.config.until and not self._by_models:
            # Models that leave one by one would be computed on in a program of one size.
            return False
        on_processor = self.device.type == "cpu"
        can = not on_processor or any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))
        return can and self._seconds() * steps > WORTH_COMPILING

    @property
    def _by_models(self) -> bool:
        """Whether compiling makes a program for the chains of one model."""
        return self.config.chains > 1 and self.device.type == "cpu"

    def _seconds(self) -> float:
        """About how long a step takes without compiling, in chains where there will be some."""
        for _ in range(2):
            start = time.perf_counter()
            self.try_step(self.config.chains > 1)
            # After the first call too: what is still running on the device would count for the second.
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        return time.perf_counter() - start


def _in_turns(program: StackedGradient) -> StackedGradient:
    """The gradients of any number of models by the program of one, which computes those of its chains."""

    def gradients(weights: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        found = [program(one, x, y, weight) for one in weights]
        gradient = torch.stack([one for one, _ in found])
        loss, correct = (torch.stack(parts) for parts in zip(*[pair for _, pair in found], strict=True))
        return gradient, (loss, correct)

    return gradients
