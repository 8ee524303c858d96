"""Which engine trains a sweep, and how its runs are dealt out to processes."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from mlflow_thermo.errors import ThermoError
from projects.fixed_lr.config import TrainConfig
from projects.fixed_lr.train import choose_device
from projects.fixed_lr.training_setup import TrainingSetup, prepare

AUTO, BATCHED, PROCESS = "auto", "batched", "process"
ENGINES = (AUTO, BATCHED, PROCESS)

#: A step of one model that takes longer than this, in seconds, keeps a core busy by itself: stacking models saves
#: the overhead of small operations and there is little of it.
SMALL_STEP = 0.01


def choose_engine(engine: str, config: TrainConfig, n_runs: int, jobs: int) -> str:
    """`engine`, or for ``auto`` the one that a timed step speaks for.

    Raises
    ------
    ThermoError
        Unknown name, or data or a device that is not there.
    """
    if engine not in ENGINES:
        raise ThermoError(f"engine {engine!r} is unknown: choose one of {', '.join(ENGINES)}")
    if engine != AUTO:
        return engine
    if n_runs <= jobs:
        return PROCESS
    device = choose_device(config.device)
    if device.type == "cuda":
        return BATCHED
    return BATCHED if step_seconds(prepare(config, device)) < SMALL_STEP else PROCESS


def step_seconds(one: TrainingSetup) -> float:
    """Seconds that a gradient of one model takes, on one core or on the device."""
    size = one.config.batch_size
    index = torch.arange(size, device=one.device) % len(one.data.y_train)
    batch: tuple[Tensor, Tensor, Tensor] = (
        one.data.x_train[index], one.data.y_train[index], torch.full((size,), 1 / size, device=one.device),
    )  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        one.weighted_gradient(*batch)
        start = time.perf_counter()
        for _ in range(3):
            one.weighted_gradient(*batch)
        return (time.perf_counter() - start) / 3
    finally:
        torch.set_num_threads(threads)


def deal(lrs: Sequence[float], seeds: Sequence[int], jobs: int) -> list[tuple[list[float], int]]:
    """Stacks of learning rates, each of one seed, so that all jobs have about as much to do.

    Learning rates are dealt out in turns: those that diverge are the large ones, and should not share one stack.
    """
    # With at least as many seeds as jobs whole seeds would do, but an odd one out would leave a job idle.
    parts = 1 if len(seeds) % jobs == 0 else min(jobs, len(lrs))
    return [(list(lrs[part::parts]), seed) for seed in seeds for part in range(parts)]
