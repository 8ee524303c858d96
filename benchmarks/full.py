"""What the eight published settings take in disk and in arithmetic, from models and schedules: nothing is trained."""

from __future__ import annotations

import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.table import Table
from mlflow_thermo.schema import FULL, ISOMETRIC
from mlflow_thermo.store import SHARED_COLUMNS, choose_storage
from projects.common import parse_lrs
from projects.fixed_lr import PRESETS, build_model, resolve, schedules

#: Multiplications and additions a second that a GPU sustains on networks this small; to be replaced by one's own.
SUSTAINED = 10e12
#: A backward pass is about two forward ones.
PASSES = 3


def bytes_of(n: int, d: int) -> tuple[str, int, int]:
    """Storage of a series of n snapshots, its bytes on the server, and those on the disk until it is closed."""
    storage, whole = choose_storage("auto", n, d, 4, math.inf), 4 * n * d
    if storage == FULL:
        return storage, whole, whole
    assert storage == ISOMETRIC
    return storage, 4 * n * (n + 1) + 4 * n * SHARED_COLUMNS, whole


def main(quick: bool) -> None:
    """Write full.md and full.json."""
    table = Table(
        "full",
        "The eight published settings: what they take",
        "One run a learning rate, as `mlflow run . -e paper -P scale=full` trains them. Arithmetic is counted on the "
        f"model; the time is that of the arithmetic alone at {SUSTAINED / 1e12:.0f} Tflop/s, and not measured. Disk is "
        "what a run leaves on the server, and what lies on the training's machine until its series are closed.",
        (
            "setting", "weights", "runs", "steps a run", "Tflop a step", "hours a run", "hours of a GPU in all",
            "server, GB a run", "server, GB in all", "local, GB a run",
        ),
        ("torch",),
    )  # fmt: skip
    for name, preset in PRESETS.items():
        if "cifar" not in name:
            continue
        config = resolve({"preset": name, "lr": 1e-3})
        classes = 100 if name.endswith("100") else 10
        model = build_model(
            config.model, config.width, channels=3, image_size=32, n_classes=classes, init_seed=0, head_seed=0,
            head_norm=config.head_norm,
        )  # fmt: skip
        d = sum(p.numel() for p in model.parameters() if p.requires_grad)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.zeros(config.batch_size, 3, 32, 32))
        step = PASSES * counter.get_total_flops()
        series = [bytes_of(len(one.steps), d) for one in schedules(config)]
        server, local = (sum(one[i] for one in series) / 1e9 for i in (1, 2))
        runs, hours = len(parse_lrs(preset["lrs"])), config.steps * step / SUSTAINED / 3600
        table.add(
            name, d, runs, config.steps, f"{step / 1e12:.3g}", f"{hours:.2g}", f"{runs * hours:.3g}", f"{server:.2g}",
            f"{runs * server:.2g}", f"{local:.2g}",
        )  # fmt: skip
    if not quick:
        table.write()


if __name__ == "__main__":
    main(quick=True)
