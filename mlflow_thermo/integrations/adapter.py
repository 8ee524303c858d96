"""What the callbacks of all trainers share: a recorder that starts, counts and ends with somebody else's loop."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mlflow_thermo.arguments import whole
from mlflow_thermo.errors import ThermoError, first_line
from mlflow_thermo.following import Followed
from mlflow_thermo.integrations.rates import learning_rate, moved
from mlflow_thermo.recorder import SnapshotRecorder

logger = logging.getLogger(__name__)

#: What a callback finds out by itself.
_OWN = ("self", "parameters", "total_steps", "lr", "directory", "resume")


class Adapter:
    """A recorder in a training that somebody else runs, and that goes on whatever happens to the recording.

    Parameters
    ----------
    total_steps : int, optional
        Updates of the whole training, where the trainer cannot tell.
    warmup : int, optional
        Updates at first that are not recorded nor counted; by default those of the trainer's warm-up.
    directory : str or Path, optional
        As `SnapshotRecorder` takes it. Only with one can a recording be resumed.
    options : dict
        Other arguments of `SnapshotRecorder`.

    Attributes
    ----------
    recorder : SnapshotRecorder or None
        Where the training is being recorded, or was.
    total : int or None
        The `total_steps` that were given.
    error : str
        Why nothing is recorded any more; empty where all is well.
    """

    def __init__(
        self, total_steps: int | None, warmup: int | None, directory: str | Path | None, options: dict[str, Any]
    ) -> None:
        known = [name for name in inspect.signature(SnapshotRecorder.__init__).parameters if name not in _OWN]
        if strange := [name for name in options if name not in known]:
            raise ThermoError(f"{strange[0]!r} is no argument of the callback: there are {', '.join(known)}")
        self.total = None if total_steps is None else whole("total_steps", total_steps, at_least=1)
        self._warmup = None if warmup is None else whole("warmup", warmup, at_least=0)
        self._directory, self._options = directory, options
        self._forget()

    def _forget(self) -> None:
        self.recorder: SnapshotRecorder | None = None
        self.error = ""
        self.handles = list[Any]()
        self._recording, self._state = False, dict[str, Any]()
        self._losses, self._shared, self._window, self._told = list[Tensor](), False, False, False
        self._total_recorded, self._ended = 0, False

    def __getstate__(self) -> dict[str, Any]:
        """A copy has the settings, and records a training of its own: two recorders cannot write to one place."""
        return {name: getattr(self, name) for name in ("total", "_warmup", "_directory", "_options")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def begin(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        total: float,
        done: int = 0,
        warmup: int | None = None,
        run_id: str | None = None,
        tracking_uri: str | None = None,
        seed: int | None = None,
    ) -> None:
        """The training begins, or goes on after `done` of its `total` updates.

        Raises
        ------
        ThermoError
            It cannot be recorded. Nothing is lost yet, which is why this alone is an error of the training too.
        """
        self.end(False)
        state = self._state
        self._forget()
        planned = total if self.total is None else self.total
        if not 1 <= planned < float("inf"):
            raise ThermoError("the trainer does not know how many updates it will make: give total_steps=")
        self._model, self._optimizer = model, optimizer
        self._planned, self._attempts, self._uri = int(planned), done, tracking_uri
        own = {"seed": seed, "run_id": run_id}
        self._arguments = {**own, **{name: value for name, value in self._options.items() if value is not None}}
        self._tensors = Followed(model, self._options.get("select")).given
        learning_rate(optimizer, self._tensors)
        self._left_out = max(0, ((warmup or 0) if self._warmup is None else self._warmup) - done)
        if done >= self._planned:
            # Resumed where it had ended.
            return
        if self._left_out >= self._planned - done:
            raise ThermoError(f"warmup={self._left_out} leaves nothing to record of {self._planned - done} updates")
        self._recording = True
        if done:
            self._survive(self._go_on, state, done)
        elif not self._left_out:
            try:
                self._open(self._planned)
            except ThermoError:
                self._recording = False
                raise
            except Exception as error:
                # Of a tracking server, for one, that is away.
                self._give_up(error)

    def _go_on(self, state: dict[str, Any], done: int) -> None:
        if state and self._directory is not None:
            if (began := state["run_id"]) != self._arguments["run_id"] and began is not None:
                # A trainer that is resumed may have a run of its own; what is recorded belongs together.
                logger.info("the recording goes on in run %s, where it began", began)
                self._arguments["run_id"] = began
            self._open(state["total"], resume=True)
            if self.recorder is not None:
                self.recorder.load_state_dict(state["recorder"])
        elif not self._left_out:
            why = "only a recording with directory= can be resumed" if state else "the checkpoint has none of it"
            logger.warning("the recording of the first %d updates is not continued, it begins here: %s", done, why)
            self._open(self._planned - done)

    def _open(self, total: int, resume: bool = False) -> None:
        self._lr, self._total_recorded = learning_rate(self._optimizer, self._tensors), total
        with _tracking_at(self._uri):
            self.recorder = SnapshotRecorder(
                self._model, total, lr=self._lr, directory=self._directory, resume=resume, **self._arguments
            )

    def watch(self, optimizer: Optimizer) -> None:
        """Count and record each update that `optimizer` makes from now on; a `GradScaler` calls it for those alone."""
        self.handles.append(optimizer.register_step_pre_hook(self._before_step))

    def _before_step(self, optimizer: Optimizer, *_: Any) -> None:
        # A fused optimizer is called at every attempt, and looks itself whether the gradients are finite.
        overflow = getattr(optimizer, "found_inf", None)
        if overflow is None or not bool(overflow):
            self.update()

    def add_loss(self, loss: Tensor, *, shared: bool = False) -> None:
        """Take the loss of one micro-batch: an update has their mean, or their sum where each is a share of it."""
        if self._recording:
            if not self._window:
                self._losses, self._window = [], True
            self._shared = shared
            self._losses.append(loss.detach().mean())

    def drop_losses(self) -> None:
        """Forget the losses since the last update."""
        self._losses, self._window = [], False

    def attempt(self) -> bool:
        """All micro-batches of an update were seen, whether or not it is made; returns whether there were any."""
        seen, self._window = self._window, False
        if self._recording:
            self._attempts += 1
            self._losses = self._losses if seen else []
        return seen

    def update(self) -> None:
        """The optimizer is about to change the weights."""
        if self._recording:
            self._survive(self._update)

    def _update(self) -> None:
        if self._left_out:
            self._left_out -= 1
            return
        if self.recorder is None:
            self._open(self._planned - self._attempts + 1)
        now = learning_rate(self._optimizer, self._tensors)
        if now != self._lr:
            raise moved(self._lr, now, self._attempts)
        if not self._losses and not self._told:
            self._told = True
            logger.warning("no loss was seen with update %d: without losses there is no temperature", self._attempts)
        if self.recorder is not None:
            losses = torch.stack(self._losses) if self._losses else None
            self.recorder.step(None if losses is None else losses.sum() if self._shared else losses.mean())

    def state_dict(self) -> dict[str, Any]:
        """Where the recording stands, for a checkpoint of the training."""
        found: dict[str, Any] = {}

        def fill(recorder: SnapshotRecorder) -> None:
            found.update(recorder=recorder.state_dict(), total=self._total_recorded, run_id=recorder.run_id)

        if self._recording and self.recorder is not None:
            self._survive(fill, self.recorder)
        return found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` at the next `begin`."""
        self._state = dict(state)

    def end(self, complete: bool | None = None) -> None:
        """The training has ended; `complete` is False where it broke off."""
        for handle in self.handles:
            handle.remove()
        self.handles = []
        if self.recorder is not None and not self._ended:
            self._ended = True
            if self._recording and complete is None and self._attempts >= self._planned:
                # Updates that were skipped, as by a GradScaler, are among those that the trainer planned.
                self.recorder.end_here()
            try:
                self._close(self.recorder, complete)
            except Exception as error:
                self.error = self.error or first_line(error)
                logger.error("the recording of a training that has ended: %s", first_line(error))
        self._recording = False

    @staticmethod
    def _close(recorder: SnapshotRecorder, complete: bool | None) -> None:
        if recorder.closed:
            recorder.await_delivery()
        else:
            recorder.close(complete)

    def _survive(self, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(*arguments)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._recording = False
        self.error = self.error or first_line(error)
        logger.error("the training goes on, its recording ends at update %d: %s", self._attempts, first_line(error))
        if self.recorder is not None and not self.recorder.closed:
            try:
                self.recorder.finish(False)
            except Exception as another:
                logger.error("%s", first_line(another))


@contextmanager
def _tracking_at(uri: str | None) -> Iterator[None]:
    """MLflow at the server of the trainer's own logger, which need not be that of the program."""
    if uri is None:
        yield
        return
    import mlflow

    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None  # type: ignore[no-untyped-call]
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]


class Adapted:
    """What the callbacks for all trainers share: their settings, and what a user looks at.

    A callback is also of its trainer's own class, whose other methods it has.
    """

    def __init__(
        self,
        *,
        total_steps: int | None = None,
        warmup: int | None = None,
        directory: str | Path | None = None,
        **options: Any,
    ) -> None:
        self._adapter = Adapter(total_steps, warmup, directory, options)

    @property
    def recorder(self) -> SnapshotRecorder | None:
        """The recorder of this training; None before it begins and on other processes."""
        return self._adapter.recorder

    @property
    def error(self) -> str:
        """Why nothing is recorded any more; empty where all is well."""
        return self._adapter.error
