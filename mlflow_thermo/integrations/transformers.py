"""A callback for the Trainer of Transformers that records the training as `SnapshotRecorder` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from mlflow_thermo.errors import ThermoError, first_line
from mlflow_thermo.integrations.adapter import Adapted, logger
from mlflow_thermo.integrations.rates import plain_optimizer, warmup_of

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ThermoError(
        f"Transformers cannot be imported ({error}): pip install 'mlflow-thermo[transformers]'"
    ) from error

#: What a checkpoint of the Trainer holds of the recording.
CHECKPOINT = "thermo_recorder.pt"


class ThermoCallback(Adapted, TrainerCallback):  # type: ignore[misc]
    """Records the weights of a Trainer's model, before each update of its optimizer.

    It counts updates: the micro-batches of one update are one step, whose loss is theirs together, and an update that a
    ``GradScaler`` skips is none. It records on the first process alone, into the active run, which is that of the
    Trainer's ``MLflowCallback``. A training that cannot be recorded is refused when it begins, as is the Trainer's
    default of a learning rate that falls linearly; after that nothing that goes wrong here stops it: the recording ends
    with one line in the log, and `error` says why.

    Checkpoints hold where the recording stands. With `directory` a resumed training goes on recording there, in the run
    where it began; without, what is left of it is recorded anew. A copy of the callback has its settings, and records a
    training of its own.

    The loss is the one in the output of the model. A Trainer that computes its own calls `add_loss` with it. Nobody
    tells the callback of an exception: what is recorded until then is written at the end of the program, or at once
    where the training is inside of ``with ThermoCallback(...) as callback:``.

    Parameters
    ----------
    total_steps : int, optional
        Updates of the whole training; by default those that the Trainer plans.
    warmup : int, optional
        Updates at first that are not recorded. From the first recorded one on the learning rate must not change. By
        default those of ``constant_with_warmup``.
    directory : str or Path, optional
        Keep the series in this folder too; without a run, only there.
    **options
        Other arguments of `SnapshotRecorder`: `series`, `select`, `seed`, `storage` and so on.
    """

    _own_losses = False
    _processes = 1

    def add_loss(self, loss: Tensor) -> None:
        """Take the loss of one micro-batch from a Trainer that computes it itself, in its ``compute_loss``."""
        if not self._own_losses:
            self._own_losses = True
            self._adapter.drop_losses()
        self._adapter.add_loss(loss)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the recorder, or go on with that of a checkpoint."""
        if not state.is_world_process_zero:
            return
        optimizer, model = plain_optimizer(kwargs["optimizer"]), kwargs["model"]
        total = self._adapter.total or state.max_steps
        if state.global_step and (kept := _checkpoint(args, state)):
            self._adapter.load_state_dict(kept)
        self._adapter.begin(
            model, optimizer, total=total, done=state.global_step, seed=args.seed,
            warmup=warmup_of(kwargs.get("lr_scheduler"), total),
        )  # fmt: skip
        self._processes = args.world_size if args.average_tokens_across_devices else 1
        self._adapter.handles.append(model.register_forward_hook(self._see_output, with_kwargs=True))
        self._adapter.watch(optimizer)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _see_output(self, model: Any, _: Any, inputs: dict[str, Any], output: Any) -> None:
        if not model.training or self._own_losses or not torch.is_grad_enabled():
            return
        first = output.get("loss") if isinstance(output, dict) else output[0] if isinstance(output, tuple) else None
        # A sequence of logits is none.
        if isinstance(first, Tensor) and first.ndim == 0:
            # Divided by the number of tokens in all micro-batches, the losses of an update add up to its mean.
            shared = inputs.get("num_items_in_batch") is not None
            self._adapter.add_loss(first.detach() * (self._processes if shared else 1), shared=shared)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """All micro-batches of an update were seen; it is recorded when the optimizer makes it."""
        self._adapter.attempt()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Put where the recording stands into the checkpoint."""
        folder = _folder(args, state)
        if (kept := self._adapter.state_dict()) and folder.is_dir():
            try:
                torch.save(kept, folder / CHECKPOINT)
            except (OSError, RuntimeError) as error:
                logger.error("the checkpoint %s has nothing of the recording: %s", folder, first_line(error))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the recorder."""
        self._adapter.end()

    def close(self) -> None:
        """Close the recorder of a training that broke off; does nothing after one that ended."""
        self._adapter.end(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _folder(args: Any, state: Any) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"


def _checkpoint(args: Any, state: Any) -> dict[str, Any]:
    """What the checkpoint that a training goes on from holds of its recording."""
    given = args.resume_from_checkpoint
    for folder in (Path(given) if isinstance(given, str) else None, _folder(args, state)):
        if folder is not None and (folder / CHECKPOINT).is_file():
            kept: dict[str, Any] = torch.load(folder / CHECKPOINT, weights_only=True)
            return kept
    return {}
