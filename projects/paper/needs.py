"""What a scale needs, checked before anything is trained or even imported, and what it will cost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_thermo.errors import ThermoError
from projects.fixed_lr import PRESETS, cifar_folder, cifar_is_there
from projects.paper.plan import Plan, Study

if TYPE_CHECKING:
    from projects.fixed_lr import TrainingSetup


def require(plan: Plan, given: dict[str, Any]) -> None:
    """Raise ThermoError, naming everything that is missing, unless the plan's data and device are there.

    Digits come with scikit-learn and train anywhere; the published settings need the CIFAR files and a GPU.
    """
    wanted = sorted({_dataset(study) for study in plan.studies} & {"cifar10", "cifar100"})
    if not wanted:
        return
    folder = Path(given.get("data_folder", "data"))
    # Not parsed yet: any text that is not empty would be true.
    download = str(given.get("download", "")).lower() in ("true", "1", "yes")
    missing = []
    for name in wanted:
        if not download and not cifar_is_there(name, folder):
            missing.append(f"{name} in {folder.resolve()} (folder {cifar_folder(name)})")
    if given.get("device", "auto") in ("auto", "cuda") and not _has_gpu():
        missing.append("a GPU that PyTorch can use")
    if missing:
        raise ThermoError(
            f"scale={plan.scale} needs {' and '.join(missing)}: put the data there (data_folder=DIR, or "
            "download=true), use a machine with a GPU (device=cpu trains without one, for weeks), or take scale=laptop"
        )


def _dataset(study: Study) -> str:
    preset = PRESETS.get(study.options.get("preset", ""), {})
    return str(study.options.get("dataset", preset.get("dataset", "digits")))


#: Device files without which no driver of a GPU works on Linux: CUDA, Tegra, ROCm, WSL.
_DEVICE_FILES = ("nvidia[0-9]*", "nvhost*", "nvmap", "kfd", "dxg")


def _has_gpu() -> bool:
    folder = Path("/dev")
    if sys.platform == "linux" and not any(True for name in _DEVICE_FILES for _ in folder.glob(name)):
        return False
    # Imported here: torch takes seconds to load, and a machine without a GPU needs no such wait.
    import torch

    return torch.cuda.is_available()


def estimate(studies: Sequence[Study], jobs: int) -> list[str]:
    """A line for each study: about how long it takes here, without compiling, and how many bytes its runs keep.

    Raises
    ------
    ThermoError
        Parameters or data that no run could be trained with.
    """
    from projects.fixed_lr import choose_device, prepare, resolve, step_seconds

    lines = []
    total = 0.0
    for study in studies:
        config = resolve({**study.options, "lr": study.lrs[0]})
        try:
            one = prepare(config, choose_device(config.device))
        except ThermoError as error:
            lines.append(f"{study.name}: {error}")
            continue
        side_by_side = jobs if one.device.type == "cpu" else 1
        seconds = step_seconds(one) * (config.steps + _measuring(one)) * study.runs / side_by_side
        total += seconds
        size = study.runs * _bytes(config.snapshots, config.bursts * config.burst_size, one.d)
        lines.append(
            f"{study.name}: {study.runs} runs of {config.steps} steps, d = {one.d}: about "
            f"{_duration(seconds)}, {size / 1e9:.2g} GB"
        )
    return [*lines, f"all together about {_duration(total)}"]


def _measuring(one: TrainingSetup) -> float:
    """What the log points and the uniform baseline of one run cost, in steps: a loss alone is a third of a gradient."""
    from mlflow_thermo.observables import log_points
    from projects.fixed_lr import UNIFORM_SAMPLES

    config, data = one.config, one.data
    train, test = len(data.y_train) / config.batch_size, len(data.y_test) / config.batch_size
    points = len(log_points(config.steps, config.log_points))
    return points * (train + config.noise_batches + test / 3) + UNIFORM_SAMPLES * train / 3


def _bytes(snapshots: int, bursts: int, d: int) -> int:
    """Kept by one run: whole where that is small, else the triangle of inner products and a sketch beside it."""
    series = (snapshots, snapshots, bursts)
    return sum(min(4 * n * d, 4 * n * (n + 1) + 2048 * n) for n in series)


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
