"""What recording costs a training step."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.table import Table
from mlflow_thermo import Schedule, SnapshotRecorder
from projects.fixed_lr import TrainingSetup, make_update, prepare, resolve

#: What is trained: the options of `projects.fixed_lr.train`.
SETTINGS = {
    "digits-up": {"preset": "digits-up", "lr": 0.01},
    "ConvNet(8) at 3x32x32": {
        "dataset": "random", "model": "convnet", "width": 8, "lr": 0.01, "label_noise": 0.0,
    },
}  # fmt: skip
ROUNDS = 15


def steps(setup: TrainingSetup, count: int, recorder: SnapshotRecorder | None) -> float:
    """Seconds for `count` steps of the training loop, with every iterate recorded where there is a recorder."""
    config, weights = setup.config, setup.weights
    update = make_update(config.protocol, config.lr, config.weight_decay)
    batches = setup.training_batches(setup.generator)
    mean = torch.full((config.batch_size,), 1 / config.batch_size)
    start = time.perf_counter()
    for _ in range(count):
        x, y = next(batches)
        gradient, metrics = setup.weighted_gradient(x, y, mean)
        if recorder is not None:
            recorder.step(metrics[0])
        update(weights, gradient)
    return time.perf_counter() - start


def main(quick: bool) -> None:
    """Write recorder.md and recorder.json."""
    torch.set_num_threads(1)
    rounds = 3 if quick else ROUNDS
    table = Table(
        "recorder",
        "Cost of recording",
        f"One training step with and without a recorder that keeps every iterate, in turns, medians of {rounds} "
        "rounds; the recording includes the end of its series on disk. One thread for the training; the writer has "
        "its own.",
        ("training", "d", "ms a step", "ms a step, recorded", "overhead"),
        ("numpy", "torch"),
    )
    for name, options in SETTINGS.items():
        setup = prepare(resolve({"preset": "digits-up", **options}), torch.device("cpu"))
        count = 3000 if name == "digits-up" else 100
        steps(setup, 20, None)
        plain, recorded = [], []
        for _ in range(rounds):
            plain.append(steps(setup, count, None) / count)
            folder = Path(tempfile.mkdtemp())
            series = (Schedule("every", tuple(range(1, count + 1))),)
            with SnapshotRecorder(setup.model, series=series, directory=folder) as one:
                seconds = steps(setup, count, one)
                start = time.perf_counter()
            recorded.append((seconds + time.perf_counter() - start) / count)
            shutil.rmtree(folder)
        # Each round by itself: what else the machine does hits neighbours alike.
        overhead = float(np.median(np.array(recorded) / np.array(plain) - 1))
        table.add(name, setup.weights.numel(), 1e3 * float(np.median(plain)), 1e3 * float(np.median(recorded)),
                  f"{overhead:.1%}")  # fmt: skip
    if not quick:
        table.write()
