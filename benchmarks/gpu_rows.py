"""The rows of `benchmarks.gpu`: what, models, how, value, unit, remark. Each function runs in a process of its own."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu_training import (
    LR,
    Course,
    RecordedWindows,
    Sizes,
    Stopwatch,
    experiment_at,
    learning_rates,
    set_up,
    settled,
)
from benchmarks.timing import medians
from mlflow_thermo.store import read_weights
from projects.fixed_lr import ModelStack, TrainingSetup

Rows = Iterator[list[Any]]

FLOAT32, FLOAT64 = "float32", "float64"
EAGER, COMPILED, GRAPHS = "eager", "compiled", "compiled, CUDA graphs"
#: Modes of `torch.compile`.
MODES = {COMPILED: "default", GRAPHS: "reduce-overhead"}
#: More steps than any training here takes before its observer has enough.
MANY = 10**7
RECORDED_ROUNDS = 3
DEVIATION = "largest relative deviation"


def deviations(ours: Tensor, theirs: Tensor) -> Tensor:
    """|a − b|/|b| of each row of ours (n, ...) and theirs, in float64 on the CPU."""
    ours, theirs = (x.detach().to("cpu", torch.float64).reshape(len(x), -1) for x in (ours, theirs))
    norm = torch.linalg.vector_norm
    return norm(ours - theirs, dim=1) / norm(theirs, dim=1)


def parity(sizes: Sizes, device: str, kind: str) -> Rows:
    """One model on the device against the same on the CPU: at the same weights, and each trained on its own.

    In float64 also what rounding does to a training on the CPU: a device cannot be asked to agree more closely.
    """
    set_up()
    steps, wide = sizes.parity_steps, kind == FLOAT64
    there = Course(experiment_at(sizes, "cpu", steps, all_data=not wide, wide=wide), LR)
    if wide:
        single = Course(experiment_at(sizes, "cpu", steps, all_data=not wide), LR)
        yield from own_courses(single, there, "float32 against float64, both on the CPU", f"{FLOAT32} and {FLOAT64}")
    one = experiment_at(sizes, device, steps, all_data=not wide, wide=wide)
    # Convolutions in float64 are slow on a CPU: a few steps say it all, and log points have few data.
    yield from same_weights(sizes, one, there.weights[: max(2, steps // 5)] if wide else there.weights, kind)
    if not wide:
        stack = ModelStack(experiment_at(sizes, device, steps, all_data=not wide), sizes.lrs)
        yield from same_weights(sizes, stack, there.weights, f"{kind}, side by side")
    here = Course(experiment_at(sizes, device, steps, all_data=not wide, wide=wide), LR)
    yield from own_courses(here, there, "device against CPU, each trained on its own", kind)


def same_weights(sizes: Sizes, ours: TrainingSetup, course: Tensor, how: str) -> Rows:
    """Losses and gradients of the CPU's batches at the weights (steps, d) of its training."""
    wide = ours.weights.dtype == torch.float64
    theirs = experiment_at(sizes, "cpu", sizes.parity_steps, all_data=not wide, wide=wide)
    sides = [(one, one.training_batches(one.generator)) for one in (theirs, ours)]
    found: dict[str, list[float]] = {"losses": [], "gradients": []}
    for weights in course:
        both = []
        for one, source in sides:
            one.weights.copy_(weights)
            x, y = next(source)
            gradient, metrics = one.weighted_gradient(x, y, x.new_full((len(x),), 1 / len(x)))
            both.append((metrics[..., :1].reshape(-1, 1), gradient.reshape(-1, one.d)))
        for values, our, their in zip(found.values(), both[1], both[0], strict=True):
            values.append(float(deviations(our, their.expand_as(our)).max()))
    models = ours.weights.numel() // ours.d
    for name, values in found.items():
        said = f"median of {len(values)} steps {np.median(values):.1g}"
        yield [f"device against CPU at the same weights, {name}", models, how, max(values), DEVIATION, said]


def own_courses(ours: Course, theirs: Course, what: str, how: str) -> Rows:
    """The largest deviations of two trainings in losses and weights, and some along the way."""
    for name in ("losses", "weights"):
        found = deviations(getattr(ours, name), getattr(theirs, name))
        along = {step: f"{float(found[step - 1]):.1g}" for step in (1, 10, len(found))}
        said = f"at steps {', '.join(map(str, along))}: {', '.join(along.values())}"
        yield [f"{what}, {name}", 1, how, float(found.max()), DEVIATION, said]


def speed(sizes: Sizes, device: str, models: int, how: str) -> Rows:
    """Model-steps a second of `run_loop`, and the memory that they take."""
    set_up()
    experiment: TrainingSetup = experiment_at(sizes, device, MANY)
    lr: float | Tensor = LR
    remark = "-"
    place = experiment.device
    if models > 1 or how != EAGER:
        experiment = stack = ModelStack(experiment, models)
        lr = learning_rates(sizes, models, device)
        if how != EAGER:
            remark = compiled(stack, MODES[how])
    if place.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    watch = Stopwatch(place, sizes)
    watch.follow(experiment, lr)
    yield ["training", models, how, models / watch.seconds, "model-steps a second", remark]
    bytes_, kind = peak_bytes(place)
    yield ["memory of the training", models, how, bytes_ / 2**20, "MiB", kind]


def compiled(stack: ModelStack, mode: str) -> str:
    """Compile, and say how long it took and what it did to the gradient."""
    # Here, since those that compile nothing need not wait for the compiler.
    from torch._dynamo.utils import counters

    x, y = next(stack.training_batches(torch.Generator().manual_seed(1)))
    batch = (x, y, x.new_full((len(x),), 1 / len(x)))
    eager = stack.weighted_gradient(*batch)[0].clone()
    start = time.perf_counter()
    stack.compile(mode)
    seconds = settled(stack.device) - start
    # A graph is replayed from the third call on: what it gives then must still be that of this batch.
    for _ in range(3):
        gradient = stack.weighted_gradient(*batch)[0]
    worst = float(deviations(gradient, eager).max())
    if not worst < 1e-2:
        raise ArithmeticError(f"the compiled gradient is {worst:.1g} away from the eager one")
    said = f"compiled in {seconds:.0f} s, gradient within {worst:.1g} of the eager one"
    skipped = counters["inductor"]["cudagraph_skips"]
    return f"{said}; {skipped} parts without a graph" if skipped else said


def peak_bytes(device: torch.device) -> tuple[int, str]:
    """Peak memory, and of what: the device or this process."""
    if device.type == "cuda":
        # What is reserved, not what is allocated: a graph keeps its memory between two replays.
        return torch.cuda.max_memory_reserved(device), "reserved on the device at most"
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "of the whole process at most"


def recording(sizes: Sizes, device: str, models: int) -> Rows:
    """What recorders that keep every iterate add to the training."""
    set_up()
    experiment: TrainingSetup = experiment_at(sizes, device, MANY)
    lr: float | Tensor = LR
    recorded: list[Any] = [experiment.model]
    if models > 1:
        experiment = stack = ModelStack(experiment, models)
        lr = learning_rates(sizes, models, device)
        recorded = [stack.named_views(row) for row in range(models)]
    count = sizes.recorded[models > 1]
    windows = RecordedWindows(experiment.device, recorded, count, RECORDED_ROUNDS)
    try:
        windows.follow(experiment, lr)
    finally:
        windows.clear()
    plain = np.array(windows.plain)
    what, base = "every iterate recorded", f"of {1e3 * float(np.median(plain)) / count:.3g} ms a step"
    for how, seconds in (("while it trains", windows.recorded), ("with the end on disk", windows.closed)):
        yield [what, models, how, 100 * float(np.median(np.array(seconds) / plain - 1)), "% more time", base]


def entropy(sizes: Sizes, device: str) -> Rows:
    """The CPU's entropy kernels on snapshots recorded here, beside the training of these snapshots."""
    # Here, since the other processes need not wait for scikit-learn.
    from threadpoolctl import threadpool_limits

    from analysis.entropy import PAPER_KS, knn_graph_entropies
    from analysis.geometry import centred_gram

    set_up()
    experiment = experiment_at(sizes, device, MANY)
    windows = RecordedWindows(experiment.device, [experiment.model], sizes.snapshots, 1)
    try:
        windows.follow(experiment, LR)
        X = read_weights(windows.folder)
    finally:
        windows.clear()
    training, n = windows.plain[0], len(X)
    yield [f"training of {n} snapshots", 1, EAGER, training, "s", f"d = {X.shape[1]}, consecutive iterates"]
    ks = [k for k in PAPER_KS if k < n]
    for threads, how in {1: "one thread", os.cpu_count() or 1: f"{os.cpu_count()} threads"}.items():
        with threadpool_limits(threads):
            seconds = medians(
                {
                    "Gram matrix": lambda: centred_gram(X),
                    f"kNN graph, {len(ks)} numbers of neighbours": lambda: knn_graph_entropies(X, ks),
                },
                RECORDED_ROUNDS,
            )
        for kernel, value in seconds.items():
            yield [f"{kernel}, of {n} snapshots", 1, how, value, "s", f"{value / training:.2g} of the training"]
