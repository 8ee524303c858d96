"""A GPU beside the CPU: the same numbers, model-steps a second, and what recording and entropies add."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_rows import COMPILED, EAGER, FLOAT32, FLOAT64, GRAPHS, entropy, parity, recording, speed
from benchmarks.gpu_training import FULL, LR, TINY, Sizes
from benchmarks.isolated import FAILED, Job, rows_of
from benchmarks.table import FOLDER, Table
from mlflow_thermo.errors import ThermoError

#: Seconds for the whole table, which has to fit into ten minutes of a machine.
LIMIT = 520.0
#: A measurement with fewer seconds left than this is not started.
SHORTEST = 15.0
NEEDS_A_GPU = "needs a GPU"
NOT_MEASURED = "not measured"
COLUMNS = ("what", "models", "how", "value", "unit", "remark")


def main(quick: bool = False, device: str = "cuda", tiny: bool = False) -> None:
    """Write gpu.md and gpu.json into the folder $OUT, or into this one, row by row.

    Raises
    ------
    ThermoError
        No such device; a table of a card that would be lost; rows that failed.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ThermoError("there is no GPU that torch can use: try --device cpu --tiny")
    folder = Path(os.environ.get("OUT") or FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    if not quick and (device == "cpu" or tiny):
        _keep_the_tables_of_cards(folder)
    sizes = TINY if tiny else FULL
    if quick:
        sizes = replace(sizes, windows=1)
    table = Table("gpu", "Training on a GPU", _intro(sizes, device), COLUMNS, ("torch", "numpy", "scipy"))
    if device == "cuda" and not tiny:
        table.facts["card"] = torch.cuda.get_device_name()
    one_run = 0.0
    failed = 0
    for row in _rows(sizes, device):
        if row[:3] == ["training", 1, EAGER] and row[3] != FAILED:
            one_run = row[3]
        elif row[0] == "training" and isinstance(row[3], float) and one_run:
            row[5] = f"{row[3] / one_run:.3g} times one run; {row[5]}".removesuffix("; -")
        failed += row[3] == FAILED
        table.add(*row)
        if not quick:
            table.write(folder)
    if failed:
        raise ThermoError(f"{failed} of {len(table.rows)} rows failed: see their remarks and what was printed above")


def _rows(sizes: Sizes, device: str) -> Iterator[list[Any]]:
    """All rows, as they are measured; a measurement without time left gets a row that says so."""
    end = time.monotonic() + LIMIT
    for job in _jobs(sizes, device):
        left = end - time.monotonic()
        if device == "cpu" and GRAPHS in job.label:
            yield [*job.label, NEEDS_A_GPU, "-", "-"]
        elif left < SHORTEST:
            yield [*job.label, NOT_MEASURED, "-", f"the {LIMIT:.0f} s are over"]
        else:
            yield from rows_of(job, left)


def _jobs(sizes: Sizes, device: str) -> Iterator[Job]:
    """What is measured, the most important first."""

    def speeds(how: str, seconds: float) -> Iterator[Job]:
        for models in sizes.models:
            yield Job(("training", models, how), speed, (sizes, device, models, how), seconds)

    yield Job(("device against CPU", 1, FLOAT32), parity, (sizes, device, FLOAT32), 120)
    yield from speeds(EAGER, 90)
    yield from speeds(GRAPHS, 150)
    for models in sizes.models[:2]:
        yield Job(("every iterate recorded", models, EAGER), recording, (sizes, device, models), 90)
    yield Job(("entropy kernels", 1, EAGER), entropy, (sizes, device), 90)
    yield from speeds(COMPILED, 150)
    yield Job(("device against CPU", 1, FLOAT64), parity, (sizes, device, FLOAT64), 150)


def _intro(sizes: Sizes, device: str) -> str:
    lr = f"{sizes.lrs} learning rates from {LR:g} to {30 * LR:g}"
    return (
        f"{_device_words(device)} ConvNet({sizes.width}) at 3x32x32 on random images, batches of {sizes.batch_size}, "
        "protocol sphere, float32 without TensorFloat-32, one thread on the CPU. One model trains at "
        f"lr = {LR:g}; side by side there are {lr}, and {sizes.copies} copies of each. Speeds are those of `run_loop`, "
        f"medians of {sizes.windows} stretches after a warm-up, with a synchronisation at both ends of each. A loss "
        "deviates by |a − b|/|b|, weights and gradients by the same with the Euclidean norm. At the same weights a "
        "rounding error that switches one unit on or off for one sample shows in the largest deviation and not in the "
        "median. Where device and CPU train on their own, rounding errors grow from step to step: the CPU's float32 "
        "against its float64 shows how far they take a training without any device."
    )


def _device_words(device: str) -> str:
    if device == "cpu":
        return "**No GPU: a trial of the same code on the CPU.**"
    card = torch.cuda.get_device_properties(0)
    parts = [
        f"{card.name} with {card.total_memory / 2**30:.0f} GiB", f"torch {torch.__version__}",
        f"CUDA {torch.version.cuda}", f"cuDNN {torch.backends.cudnn.version()}",
    ]  # fmt: skip
    with suppress(PackageNotFoundError):
        parts.append(f"triton {version('triton')}")
    return ", ".join(parts) + "."


def _keep_the_tables_of_cards(folder: Path) -> None:
    """Raise ThermoError where a trial would overwrite what was measured on a card."""
    try:
        before = json.loads((folder / "gpu.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    if before.get("card"):
        raise ThermoError(f"{folder / 'gpu.md'} was measured on {before['card']}: set OUT to another folder")
