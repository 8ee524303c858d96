"""How long a sweep takes: plain loop, processes, models side by side."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.plain import PlainTraining
from benchmarks.steps import CORES, CPU, limit_note, plain_rate, stack_rate, together
from benchmarks.table import Table
from mlflow_thermo.observables import log_points
from projects.common import parse_lrs
from projects.fixed_lr import choose_engine, deal, prepare, resolve

ROOT = Path(__file__).parents[1]
LRS = parse_lrs("5.6e-4:5.6e-2:13")
STEPS, POINTS = 12_000, 100
SETTINGS: dict[str, tuple[dict[str, Any], int]] = {
    "digits-up, 13 learning rates": ({"preset": "digits-up"}, 13),
    "ConvNet(8) at 3x32x32, 8 learning rates": (
        {"dataset": "random", "model": "convnet", "width": 8, "label_noise": 0.0}, 8,
    ),
}  # fmt: skip


def plain_sweep_seconds(steps: int, points: int) -> float:
    """The plain sweep's time from a sample: its steps and its log points all cost the same."""
    training = PlainTraining(prepare(resolve({"lr": 0.01, "preset": "digits-up"}), CPU).data, 2, 0.01)
    for _ in range(20):
        training.step()
    start = time.perf_counter()
    for _ in range(steps):
        training.step()
    middle = time.perf_counter()
    for _ in range(points):
        training.log()
    end = time.perf_counter()
    n_points = len(log_points(STEPS, POINTS))
    return len(LRS) * ((middle - start) / steps * STEPS + (end - middle) / points * n_points)


def sweep_seconds(folder: Path, steps: int, engine: str) -> float:
    """The command that a user gives, from start to finish, with everything that it records."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment |= {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    arguments = [f"--lrs={','.join(map(str, LRS))}", f"--steps={steps}", f"--log_points={POINTS}", f"--engine={engine}"]
    start = time.perf_counter()
    command = [sys.executable, "-m", "projects.fixed_lr.sweep", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def main(quick: bool) -> None:
    """Write sweep.md and sweep.json."""
    seconds, rounds = (3.0, 1) if quick else (10.0, 3)
    table = Table(
        "sweep",
        "Time to a sweep",
        f"Model-steps a second, logging left out, medians of {rounds} rounds in which all rows take turns; then the "
        f"whole sweep of {len(LRS)} learning rates x {STEPS} steps with {POINTS} log points. `plain`: ordinary layers "
        "and optimiser, one run after the other, torch's own number of threads, 1000 minibatch gradients at each log "
        "point (benchmarks/plain.py).",
        ("what", "how", "model-steps a second", "seconds", "times plain"),
        ("torch", "mlflow"),
    )
    for name, (options, models) in SETTINGS.items():
        sizes = [len(part) for part, _ in deal([float(i) for i in range(models)], [0], CORES)]
        ways: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {
            "plain": [(plain_rate, (options, seconds))],
            "one by one, one thread": [(stack_rate, (options, 0, seconds))],
            f"process engine, {CORES} processes": [(stack_rate, (options, 0, seconds))] * CORES,
            f"batched engine, {CORES} processes": [(stack_rate, (options, size, seconds)) for size in sizes],
        }
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, jobs in ways.items():
                found[way].append(together(jobs))
        plain = np.array(found["plain"])
        for way, rates in found.items():
            table.add(name, way, float(np.median(rates)), "-", float(np.median(np.array(rates) / plain)))
        chosen = choose_engine("auto", resolve({"preset": "digits-up", "lr": 0.01, **options}), models, CORES)
        table.notes.append(f"engine=auto takes {chosen} for {name}.")
        if chosen == "process":
            table.notes.append(limit_note(name, options, float(np.median(plain))))
    whole(table, quick)
    if not quick:
        table.write()


def whole(table: Table, quick: bool) -> None:
    """The whole sweep against the plain one, which is sampled before and after it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(CORES)
    plain = [plain_sweep_seconds(200 if quick else 1500, 1 if quick else 3)]
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        ours = sweep_seconds(Path(folder), STEPS // 10 if quick else STEPS, "auto")
    torch.set_num_threads(CORES)
    plain.append(plain_sweep_seconds(200 if quick else 1500, 1 if quick else 3))
    torch.set_num_threads(threads)
    name = "digits-up, the whole sweep"
    mean = float(np.mean(plain))
    table.add(name, "plain, from a sample", "-", mean, 1.0)
    table.add(name, "mlflow-thermo, everything recorded", "-", ours, mean / ours)
