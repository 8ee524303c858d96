"""Steps a second of the plain loop and of this project's engines, and where the time of a step goes."""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plain import PlainTraining
from projects.fixed_lr import ModelStack, TrainingSetup, make_update, prepare, resolve

CPU = torch.device("cpu")
CORES = os.cpu_count() or 1
#: A copy of this much goes through the memory, not through the caches.
COPIED_BYTES = 2**26


def plain_rate(options: dict[str, Any], seconds: float, ready: Any, rates: Any) -> None:
    """Model-steps a second of the plain loop, with the threads that torch takes by itself."""
    data = prepare(resolve({"preset": "digits-up", "lr": 0.01, **options}), CPU).data
    training = PlainTraining(data, options.get("width", 2), 0.01)
    _timed(training.step, 1, seconds, ready, rates)


def stack_rate(options: dict[str, Any], models: int, seconds: float, ready: Any, rates: Any) -> None:
    """Model-steps a second of this project's step in one thread; `models` of 0 is a single model's own loop."""
    _timed(_own_step(options, models), max(1, models), seconds, ready, rates)


def _own_step(options: dict[str, Any], models: int) -> Callable[[], None]:
    torch.set_num_threads(1)
    config = resolve({"preset": "digits-up", "lr": 0.01, "steps": 10**9, **options})
    setup: TrainingSetup = prepare(config, CPU)
    lr: float | torch.Tensor = 0.01
    if models:
        setup = ModelStack(setup, models)
        setup.compile_if_worth_it("auto")
        lr = torch.logspace(-3, -1.5, models).unsqueeze(1)
    update = make_update(config.protocol, lr, 0.0)
    source = setup.training_batches(setup.generator)
    weight = torch.full((config.batch_size,), 1 / config.batch_size)

    def step() -> None:
        gradient, _ = setup.weighted_gradient(*next(source), weight)
        update(setup.weights, gradient)

    return step


def _timed(step: Any, models: int, seconds: float, ready: Any, rates: Any) -> None:
    for _ in range(3):
        step()
    ready.wait()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step()
        count += 1
    rates.put(models * count / (time.perf_counter() - start))


def results(jobs: list[tuple[Any, tuple[Any, ...]]]) -> list[Any]:
    """What processes that run at the same time put into their queue."""
    context = mp.get_context("spawn")
    ready, queue = context.Barrier(len(jobs)), context.Queue()
    processes = [context.Process(target=target, args=(*arguments, ready, queue)) for target, arguments in jobs]
    for process in processes:
        process.start()
    found = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    return found


def together(jobs: list[tuple[Any, tuple[Any, ...]]]) -> float:
    """Sum of the rates of processes that run at the same time."""
    return float(sum(results(jobs)))


class _Kernels(TorchDispatchMode):
    """Adds up the seconds inside torch's kernels, and the bytes that they read and write, by kind."""

    KINDS = (("convolution", "convolutions"), ("batch_norm", "normalisation"), ("max_pool", "pooling"))

    def __init__(self) -> None:
        super().__init__()
        self.seconds: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        start = time.perf_counter()
        out = func(*args, **(kwargs or {}))
        kind = next((kind for word, kind in self.KINDS if word in str(func)), "other kernels")
        self.seconds[kind] += time.perf_counter() - start
        self.bytes[kind] += sum(leaf.nbytes for leaf in tree_leaves((args, out)) if isinstance(leaf, torch.Tensor))
        return out


def step_parts(options: dict[str, Any], ready: Any, parts: Any) -> None:
    """A single model's step in one thread: its seconds, those of its kernels by kind, and four speeds.

    The speeds are those of its convolutions and of a bare matrix product in FLOP/s, those of its normalisation and
    pooling and of a bare copy in bytes/s, each tensor counted once.
    """
    step = _own_step(options, 0)
    with FlopCounterMode(display=False) as counter:
        step()
    flops = sum(n for op, n in counter.get_flop_counts()["Global"].items() if "convolution" in str(op))
    square = torch.randn(1024, 1024)
    ready.wait()
    repeats = 40
    for _ in range(repeats):
        step()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    whole = (time.perf_counter() - start) / repeats
    with _Kernels() as kernels:
        for _ in range(repeats):
            step()
    each = {kind: seconds / repeats for kind, seconds in kernels.seconds.items()}
    each["outside of kernels"] = max(0.0, whole - sum(each.values()))
    start = time.perf_counter()
    for _ in range(repeats):
        square @ square
    bare = 2 * 1024**3 * repeats / (time.perf_counter() - start)
    passes = ("normalisation", "pooling")
    moving = sum(kernels.bytes[kind] for kind in passes) / sum(kernels.seconds[kind] for kind in passes)
    there, back = torch.zeros(2, COPIED_BYTES // 4)
    start = time.perf_counter()
    for _ in range(repeats):
        back.copy_(there)
    copying = 2 * COPIED_BYTES * repeats / (time.perf_counter() - start)
    parts.put((whole, each, (flops / each["convolutions"], bare, moving, copying)))


def limit_note(name: str, options: dict[str, Any], plain: float) -> str:
    """Where the time of a step of the process engine goes; `plain` is the plain loop's model-steps a second."""
    wholes, parts, speeds = zip(*results([(step_parts, (options,))] * CORES), strict=True)
    kinds = ", ".join(f"{1e3 * float(np.mean([one[kind] for one in parts])):.1f} ms {kind}" for kind in parts[0])
    convolutions, bare, moving, copying = np.mean(speeds, axis=0) / 1e9
    return (
        f"A step of {name}, in each of {CORES} processes takes {1e3 * float(np.mean(wholes)):.1f} ms: {kinds}. The "
        f"convolutions run at {convolutions:.0f} GFLOP/s in one thread, a bare matrix product of 1024 at {bare:.0f}; "
        f"normalisation and pooling move {moving:.1f} GB/s, a bare copy of {COPIED_BYTES / 2**20:.0f} MiB "
        f"{copying:.1f}. "
        f"Twice the plain loop would be {500 * CORES / plain:.1f} ms."
    )
