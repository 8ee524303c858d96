"""One training's MLflow run: its params, metrics and snapshots, and the status that it ends with."""

from __future__ import annotations

import logging
import math
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import Tensor

from analysis.stationarity import BLOCKS, Regime, classify
from mlflow_thermo import schema
from mlflow_thermo.buffering import buffer_bytes
from mlflow_thermo.failures import Failures
from mlflow_thermo.packing import Parameters
from mlflow_thermo.recorder import SnapshotRecorder
from mlflow_thermo.schedule import Schedule
from mlflow_thermo.store import DISK_SHARE, choose_storage, read_index
from projects.common import SystemMetrics, Terminated, end_run, log_dataset, log_new_params
from projects.fixed_lr.checkpoint import Checkpoints, State
from projects.fixed_lr.config import TrainConfig
from projects.fixed_lr.full_gradients import FullGradients
from projects.fixed_lr.loop import Diverged
from projects.fixed_lr.need import Need
from projects.fixed_lr.phases import phases_of, schedules
from projects.fixed_lr.training_setup import TrainingSetup
from projects.fixed_lr.work import WorkFolder

logger = logging.getLogger(__name__)

#: Mean and standard deviation of the loss of uniformly random weights; None where weights are not on a sphere.
Baseline = tuple[float, float] | tuple[None, None]


def device_name(device: torch.device) -> str:
    """Name of the device, for a tag."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.processor() or platform.machine()})"


def recording_bytes(config: TrainConfig, weights: Tensor) -> int:
    """Memory that the recording of one model with these weights, shape (..., d), takes on the processor's side."""
    d, itemsize = weights.shape[-1], weights.element_size()
    total = 0
    for schedule in schedules(config):
        chains = config.chains if schedule.every_chain else 1
        n = chains * len(schedule.steps)
        total += buffer_bytes(n, d, itemsize, choose_storage(config.storage, n, d, itemsize, math.inf), chains)
    return total


def _of_what_is_left(found: Sequence[Schedule], work: WorkFolder | None) -> list[Schedule]:
    """The schedules of a run that goes on, which for a series that was reduced at its end went no further."""
    assert work is not None
    left = []
    for schedule in found:
        folder = work.series / schedule.name
        index = read_index(folder) if (folder / schema.INDEX_NAME).exists() else None
        if index is not None and index.storage == schema.ISOMETRIC:
            schedule = replace(schedule, steps=index.steps[:: index.chains])
        left.append(schedule)
    return left


class RecordedRun:
    """Writes what a training yields into the MLflow run `run_id`.

    Parameters
    ----------
    sharing : how many such runs share this machine's disk, this one included.
    work : where it keeps what it needs to go on after a kill; None where it does not.
    begun : its state at the checkpoint from which it goes on.
    again : whether another program has had this run before.
    """

    def __init__(
        self,
        config: TrainConfig,
        run_id: str,
        setup: TrainingSetup,
        parameters: Parameters | Sequence[Parameters],
        baseline: Baseline,
        sharing: int = 1,
        work: WorkFolder | None = None,
        begun: State | None = None,
        again: bool = False,
    ) -> None:
        self.config = config
        self.work = work
        self._again = again
        self.run_id = run_id
        self._baseline = baseline
        self.last_step = config.steps
        params = {**asdict(config), "d": setup.d, "n_train": len(setup.data.y_train)}
        log_new_params(run_id, params, {schema.TAG_DEVICE: device_name(setup.device)})
        self._machine = SystemMetrics(run_id, again=again)
        dim = setup.d - len(setup.spheres)
        self._setup = setup
        self._gradients = FullGradients(phases_of(config), config.full_gradients, config.chains)
        self.need = Need(phases_of(config), config.needed(dim) if config.until else None)
        if begun is not None:
            self.need.restore(begun["need"], setup.device)
            self._gradients.restore(begun["gradients"], setup.device)
        mean, std = baseline
        if work is not None and again and begun is None:
            # Recorded before there was a checkpoint: it comes again. What was logged is not logged again.
            for series in work.series.glob(f"*/{schema.INDEX_NAME}"):
                shutil.rmtree(series.parent, ignore_errors=True)
        self.recorder = SnapshotRecorder(
            parameters,
            series=schedules(config) if begun is None else _of_what_is_left(schedules(config), work),
            lr=config.lr,
            seed=config.seed,
            protocol=config.protocol,
            run_id=run_id,
            directory=None if work is None else work.series,
            resume=work is not None and again,
            storage=config.storage,
            disk_share=DISK_SHARE / sharing,
            attributes={
                "uniform_loss": mean,
                "uniform_loss_std": std,
                "weight_decay": 0.0 if setup.spheres else config.weight_decay,
            },
            wait=config.wait,
        )
        assert self.recorder.outbox is not None
        self._outbox = self.recorder.outbox
        data = setup.data
        parts = {"training": (data.x_train, data.y_train), "testing": (data.x_test, data.y_test)}
        log_dataset(self._outbox, config.dataset, {name: one for name, one in parts.items() if len(one[1])})
        if begun is not None:
            self.recorder.load_state_dict(begun["recorder"])
        if mean is not None and std is not None:
            self.log({schema.METRIC_UNIFORM_LOSS: mean, schema.METRIC_UNIFORM_LOSS_STD: std}, 0)

    @property
    def checkpoints(self) -> Checkpoints | None:
        """What saves the run's checkpoints, if it has any."""
        return None if self.work is None else Checkpoints(self.work.checkpoint, self.config.checkpoint_every)

    def log(self, values: dict[str, float], step: int) -> None:
        """Hand over observables, each once for a step: a resumed run comes again to what it has logged."""
        known = self._outbox.known
        self._outbox.metrics({name: value for name, value in values.items() if (name, step) not in known}, step)

    def state(self) -> State:
        """All that the run needs to go on from here, for a checkpoint."""
        return {
            "need": self.need.state(),
            "gradients": self._gradients.state(),
            "recorder": self.recorder.state_dict(),
        }

    def step(self, step: int, weights: Tensor, losses: Tensor) -> None:
        """Take in the weights (chains, d) that optimiser step `step` will change, and the losses (chains,) at them."""
        self.need.step(step, weights, losses)
        self._gradients.step(step, weights)

    def enough(self, step: int, squares: Tensor) -> None:
        """The run ends after `step` steps, which it may do before the last one that it is allowed.

        Parameters
        ----------
        squares : (chains,) means of |g_B|² over the window.
        """
        self.last_step = step
        self.recorder.end_here()
        found = self._gradients.measured(self._setup)
        if found is not None:
            steps, gradients, losses = found
            if self._again:
                shutil.rmtree(self.recorder.directory / schema.GRADIENTS, ignore_errors=True)
            facts = {schema.MINIBATCH_SQUARES: squares.tolist()}
            self.recorder.attach(schema.GRADIENTS, steps, gradients, losses, **facts)
        if self.need.needed is not None:
            have, need = schema.METRIC_SAMPLING_N_EFF, schema.METRIC_SAMPLING_NEEDED
            self.log({have: self.need.n_eff, need: self.need.needed}, step)

    @property
    def lacks(self) -> bool:
        """Whether the run ended with fewer independent snapshots than it needs."""
        return self.need.missing(self.last_step) > 0

    def tag_diverged(self) -> None:
        """Say that the run diverged."""
        self._outbox.tags({schema.TAG_REGIME: schema.DIVERGED, schema.TAG_STATUS: schema.DIVERGED})

    def close(self) -> None:
        """Hand over what was recorded of a run that did not reach its end."""
        self._machine.close()
        self.recorder.finish(complete=False)

    def finish(self) -> Regime:
        """Hand over everything, and return the regime that the run ended in, without a name where it was too short."""
        self._machine.close()
        self.recorder.finish()
        index = self.recorder.index(schema.SPACED)
        losses = np.array(index.loss_mean, dtype=float).reshape(-1, index.chains).mean(axis=1)
        if len(losses) < BLOCKS:
            regime = Regime("", float(losses.mean()))
        else:
            regime = classify(np.array(index.steps[:: index.chains]), losses, *self._baseline)
            self._outbox.tags({schema.TAG_REGIME: regime.name})
        self.log({schema.METRIC_LOSS: regime.loss}, self.last_step)
        return regime


def break_off(run_id: str, run: RecordedRun | None, error: BaseException) -> None:
    """End a run that `error` has ended: what it recorded is kept, and no other error hides that one.

    Parameters
    ----------
    run : what records it; None where it was not opened yet.
    """
    status = "KILLED" if isinstance(error, (Terminated, KeyboardInterrupt)) else "FAILED"
    if run is None:
        end_run(run_id, status)
        return
    failures = Failures(told=error)
    if isinstance(error, Diverged):
        failures.attempt(run.tag_diverged)
    failures.attempt(run.close)
    end_run(run_id, status)
    failures.attempt(run.recorder.await_delivery)
    failures.log()
