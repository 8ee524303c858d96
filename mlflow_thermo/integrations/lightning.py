"""A callback for Lightning that records the training as `SnapshotRecorder` does."""

from __future__ import annotations

import math
import os
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from mlflow_thermo.errors import ThermoError
from mlflow_thermo.integrations.adapter import Adapted
from mlflow_thermo.integrations.rates import plain_optimizer, warmup_of

try:
    from lightning.pytorch import Callback
except ImportError as error:
    raise ThermoError(f"Lightning cannot be imported ({error}): pip install 'mlflow-thermo[lightning]'") from error


class ThermoCallback(Adapted, Callback):  # type: ignore[misc]
    """Records the weights of a Lightning training, before each update of its one optimizer.

    It counts updates: the micro-batches of one update are one step, whose loss is their mean, and an update that a
    ``GradScaler`` skips is none. It records on the first process alone, into the run of the trainer's ``MLFlowLogger``,
    or else into the active run. A training that cannot be recorded is refused when it begins; after that nothing that
    goes wrong here stops it: the recording ends with one line in the log, and `error` says why.

    Checkpoints hold where the recording stands. With `directory` a resumed training goes on recording there, in the run
    where it began; without, what is left of it is recorded anew. A copy of the callback has its settings, and records a
    training of its own.

    Parameters
    ----------
    total_steps : int, optional
        Updates of the whole training; by default ``trainer.estimated_stepping_batches``.
    warmup : int, optional
        Updates at first that are not recorded. From the first recorded one on the learning rate must not change. By
        default as many as a ``LambdaLR`` takes until it is constant, otherwise 0.
    directory : str or Path, optional
        Keep the series in this folder too; without a run, only there.
    **options
        Other arguments of `SnapshotRecorder`: `series`, `select`, `seed`, `storage` and so on.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Without the logging functions of a model, which the trainer lends to its callbacks."""
        return {"_adapter": self._adapter}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the recorder, or go on with that of a checkpoint."""
        if trainer.fast_dev_run or not trainer.is_global_zero:
            return
        if len(trainer.optimizers) != 1:
            raise ThermoError(
                f"the training has {len(trainer.optimizers)} optimizers, and a temperature is that of one: record it "
                "with a SnapshotRecorder in training_step"
            )
        optimizer = plain_optimizer(trainer.optimizers[0])
        total = self._adapter.total or _planned(trainer)
        logger = next((one for one in trainer.loggers if _is_mlflow(one)), None)
        seed = os.environ.get("PL_GLOBAL_SEED")
        self._adapter.begin(
            pl_module, optimizer, total=total, done=trainer.global_step, warmup=_warmup(trainer, total),
            run_id=None if logger is None else logger.run_id,
            tracking_uri=None if logger is None else logger._tracking_uri,
            seed=None if seed is None else int(seed),
        )  # fmt: skip
        if _scaler(trainer) is not None:
            self._adapter.watch(optimizer)

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        """Take the loss of a micro-batch."""
        # Divided by their number in automatic optimization, and multiplied by a scaler.
        number = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
        scaler = _scaler(trainer)
        self._adapter.add_loss(loss.detach() * number / (1.0 if scaler is None else scaler.get_scale()))

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Optimizer) -> None:
        """Record, here where the loss is that of the weights; a scaler first sees whether there will be an update."""
        seen = self._adapter.attempt()
        if (seen or not pl_module.automatic_optimization) and _scaler(trainer) is None:
            self._adapter.update()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Close the recorder."""
        self._adapter.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Close the recorder of a training that broke off; what it has is kept."""
        self._adapter.end(False)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Close what is still open."""
        self._adapter.end(False)

    def state_dict(self) -> dict[str, Any]:
        """Where the recording stands."""
        return self._adapter.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on there when the training does."""
        self._adapter.load_state_dict(state_dict)


def _is_mlflow(logger: object) -> bool:
    # By name: the package pytorch_lightning has a class of its own.
    return any(kind.__name__ == "MLFlowLogger" for kind in type(logger).__mro__)


def _scaler(trainer: Any) -> Any:
    return getattr(trainer.precision_plugin, "scaler", None)


def _planned(trainer: Any) -> float:
    try:
        return float(trainer.estimated_stepping_batches)
    except Exception as error:
        # Where the number of micro-batches changes from epoch to epoch.
        raise ThermoError(
            f"Lightning does not know how many updates it will make: give total_steps= ({error})"
        ) from error


def _warmup(trainer: Any, total: float) -> int:
    """Updates until all schedulers leave the learning rate where it is; ThermoError where they never do."""
    longest = 0
    for config in trainer.lr_scheduler_configs:
        updates = config.frequency
        if config.interval == "epoch":
            updates *= math.ceil(total / max(1, trainer.max_epochs or 1))
        longest = max(longest, updates * (warmup_of(config.scheduler, int(total // updates)) or 0))
    return longest
