"""What `benchmarks.gpu` trains, and the observers that time `run_loop`."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlflow_thermo import Schedule, SnapshotRecorder
from projects.fixed_lr import Observer, TrainingSetup, prepare, resolve, run_loop

LR = 1e-3
EVERY = "every"
#: `run_loop` measures at its first eleven steps, whatever is asked of it: they warm up what is timed afterwards.
WARM_UP = 15


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes
    ----------
    lrs, copies : models side by side: one per learning rate, then this many copies of each.
    parity_steps : of the comparison with the CPU.
    windows, window_seconds : timed stretches of a training, and about how long each takes.
    recorded : steps of a stretch that is recorded, by the number of models.
    snapshots : that the entropy kernels are given.
    """

    width: int = 8
    batch_size: int = 128
    lrs: int = 22
    copies: int = 8
    parity_steps: int = 100
    windows: int = 5
    window_seconds: float = 0.5
    recorded: tuple[int, int] = (1000, 250)
    snapshots: int = 1000

    @property
    def models(self) -> list[int]:
        """Numbers of models that are trained side by side."""
        return sorted({1, self.lrs, self.lrs * self.copies})


FULL = Sizes()
TINY = Sizes(1, 8, 3, 1, 20, 3, 0.05, (30, 20), 60)


def set_up() -> None:
    """One thread, and no TensorFloat-32: float32 means the same on both sides."""
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def experiment_at(
    sizes: Sizes, device: str, steps: int, *, all_data: bool = False, wide: bool = False
) -> TrainingSetup:
    """ConvNet on random images; of a few of them where the log points of `run_loop` must not cost much.

    Parameters
    ----------
    wide : in float64.
    """
    config = resolve(
        {
            "preset": "digits-up", "lr": LR, "dataset": "random", "model": "convnet", "width": sizes.width,
            "label_noise": 0.0, "batch_size": sizes.batch_size, "steps": steps, "log_points": 1, "noise_batches": 1,
            "samples_per_label": 0 if all_data else max(1, sizes.batch_size // 10),
        }
    )  # fmt: skip
    one = prepare(config, torch.device(device))
    if not wide:
        return one
    data = replace(one.data, x_train=one.data.x_train.double(), x_test=one.data.x_test.double())
    return TrainingSetup(config, data, one.model.double())


def learning_rates(sizes: Sizes, models: int, device: str) -> Tensor:
    """(models, 1) learning rates from `LR` upwards, again and again."""
    lrs = torch.logspace(math.log10(LR), math.log10(30 * LR), sizes.lrs)
    return lrs.repeat(math.ceil(models / sizes.lrs))[:models].unsqueeze(1).to(device)


def settled(device: torch.device) -> float:
    """The time at which all work that the device was given is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Enough(Exception):
    """Raised when all that was to be measured of a training is measured."""


class Follower(Observer):
    """Follows a training that ends when its observer has enough."""

    def follow(self, experiment: TrainingSetup, lr: float | Tensor) -> None:
        """Train until there is enough."""
        with suppress(Enough):
            run_loop(experiment, lr, self)


class Course(Follower):
    """Keeps the losses and the weights of a training, in float64 on the CPU.

    Attributes
    ----------
    losses, weights : (steps,) and (steps, d), or (steps, n_models) and (steps, n_models, d).
    """

    def __init__(self, experiment: TrainingSetup, lr: float | Tensor) -> None:
        self._experiment = experiment
        self._losses: list[Tensor] = []
        self._weights: list[Tensor] = []
        self.follow(experiment, lr)
        self.losses, self.weights = torch.stack(self._losses), torch.stack(self._weights)

    def step(self, losses: Tensor) -> None:
        self._losses.append(losses.to("cpu", torch.float64, copy=True))
        self._weights.append(self._experiment.weights.detach().to("cpu", torch.float64, copy=True))


class Stopwatch(Follower):
    """Times windows of steps.

    Attributes
    ----------
    seconds : of a step, the median over the windows.
    """

    def __init__(self, device: torch.device, sizes: Sizes) -> None:
        self._device, self._sizes = device, sizes
        self._done, self._until = 0, WARM_UP
        self._start = 0.0
        self._window = 0
        self._found: list[float] = []

    @property
    def seconds(self) -> float:
        return float(np.median(self._found))

    def step(self, losses: Tensor) -> None:
        self._done += 1
        if self._done < self._until:
            return
        now = settled(self._device)
        if self._window:
            self._found.append((now - self._start) / self._window)
        if len(self._found) > self._sizes.windows:
            del self._found[0]
            raise Enough
        # The first window only says how many steps the others have.
        self._window = math.ceil(self._sizes.window_seconds / self._found[0]) if self._found else 3
        self._start = now
        self._until = self._done + self._window


class RecordedWindows(Follower):
    """Alternating windows without and with recorders that keep every iterate; the first two do not count.

    Attributes
    ----------
    plain, recorded, closed : seconds of `count` steps by turn: without recorders, with them, and until all is on disk.
    folder : snapshots of the first model in the last recorded window; the caller removes its parent.
    """

    def __init__(self, device: torch.device, models: Sequence[Any], count: int, rounds: int) -> None:
        self._device, self._models = device, models
        self._count, self._rounds = count, rounds
        self._done, self._until = 0, WARM_UP
        self._recorders: list[SnapshotRecorder] = []
        self._place: Path | None = None
        self._start = 0.0
        self.plain: list[float] = []
        self.recorded: list[float] = []
        self.closed: list[float] = []

    @property
    def folder(self) -> Path:
        assert self._place is not None
        return self._place / "0" / EVERY

    def step(self, losses: Tensor) -> None:
        if self._recorders:
            # As the batched engine hands them out: numbers on the processor, tensors on a device.
            values: Iterable[Any] = losses.reshape(-1).unbind()
            if losses.device.type == "cpu":
                values = losses.reshape(-1).tolist()
            for recorder, value in zip(self._recorders, values, strict=True):
                recorder.step(value)
        self._done += 1
        if self._done == self._until:
            self._until += self._count
            self._turn()

    def _turn(self) -> None:
        now = settled(self._device)
        if self._recorders:
            for recorder in self._recorders:
                recorder.close()
            self.recorded.append(now - self._start)
            self.closed.append(time.perf_counter() - self._start)
            self._recorders = []
            if len(self.recorded) > self._rounds:
                for times in (self.plain, self.recorded, self.closed):
                    del times[0]
                raise Enough
            self.clear()
        elif self._start:
            self.plain.append(now - self._start)
            self._place = Path(tempfile.mkdtemp(prefix="thermo-gpu-"))
            series = (Schedule(EVERY, tuple(range(1, self._count + 1))),)
            self._recorders = [
                SnapshotRecorder(model, series=series, directory=self._place / str(i), storage="full")
                for i, model in enumerate(self._models)
            ]
        self._start = settled(self._device)

    def clear(self) -> None:
        """Remove what was recorded last."""
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)
