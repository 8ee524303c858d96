"""The parameters of a training run: defaults, presets, and the values they may take."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from analysis.stationarity import SNAPSHOTS_PER_DIMENSION
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import PROTOCOLS, STORAGES
from mlflow_thermo.uploader import WAIT
from projects.fixed_lr.data import LOADERS
from projects.fixed_lr.models import MODELS
from projects.fixed_lr.presets import PRESETS

LOSSES = ("cross-entropy", "mse")
SAMPLINGS = ("iid", "epochs")
DEVICES = ("auto", "cuda", "mps", "cpu")


@dataclass(frozen=True)
class TrainConfig:
    """Every parameter of a run, with its default where neither the preset nor the user gives one."""

    lr: float
    preset: str = "digits"
    dataset: str = "digits"
    data_folder: str = "data"
    download: bool = False
    samples_per_label: int = 0
    label_noise: float = 0.0
    model: str = "convnet"
    width: int = 2
    head_norm: float = 10.0
    protocol: str = "sphere"
    weight_decay: float = 5e-4
    loss: str = "cross-entropy"
    batch_size: int = 128
    sampling: str = "iid"
    steps: int = 12_000
    chains: int = 1
    burn_in: int = 0
    forget: int = 0
    spacing: int = 0
    until: str = ""
    max_steps: int = 0
    log_points: int = 30
    noise_batches: int = 200
    noise_error: float = 0.05
    snapshots: int = 1000
    full_gradients: int = 0
    bursts: int = 10
    burst_size: int = 100
    storage: str = "auto"
    seed: int = 0
    data_seed: int = 0
    init_seed: int = 0
    head_seed: int = 0
    device: str = "auto"
    threads: int = 1
    checkpoint_every: float = 60.0
    work_dir: str = ""
    wait: float = WAIT

    @property
    def lr_range(self) -> tuple[float, float]:
        """Learning rates worth trying with this preset."""
        low, high = PRESETS[self.preset]["lr_range"]
        return low, high

    def needed(self, dim: int) -> float:
        """Independent snapshots that the run goes on for, of a model with `dim` free dimensions."""
        if self.until == IDENTIFIED:
            return float(SNAPSHOTS_PER_DIMENSION * dim)
        try:
            count = float(self.until)
        except ValueError:
            # User input: float has no other way to report text that is no number.
            count = math.nan
        if not (math.isfinite(count) and count >= 1):
            raise ThermoError(f"until must be {IDENTIFIED!r} or a number of independent snapshots, got {self.until!r}")
        return count

    def validate(self) -> None:
        """Raise ThermoError with one line that names the parameter and the remedy."""
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ThermoError(f"lr must be a finite positive number, got {self.lr}: try lr=0.01")
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ThermoError(f"{name} {value!r} is unknown: choose one of {', '.join(choices)}")
        positive = (
            "width", "batch_size", "steps", "chains", "log_points", "noise_batches", "snapshots", "burst_size",
            "threads",
        )  # fmt: skip
        for name in positive:
            if getattr(self, name) < 1:
                raise ThermoError(f"{name} must be at least 1, got {getattr(self, name)}")
        seeds = ("seed", "data_seed", "init_seed", "head_seed")
        counts = ("burn_in", "forget", "spacing", "max_steps", "full_gradients")
        others = ("weight_decay", "noise_error", "checkpoint_every", "wait")
        for name in ("samples_per_label", "bursts", *counts, *others, *seeds):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ThermoError(f"{name} must be finite and not negative, got {value}")
        for name in seeds:
            if getattr(self, name) > MAX_SEED:
                raise ThermoError(f"{name} must be at most {MAX_SEED}, got {getattr(self, name)}")
        if self.burn_in + self.forget >= self.steps:
            raise ThermoError(
                f"burn_in={self.burn_in} and forget={self.forget} leave nothing of steps={self.steps} to record: take "
                "more steps"
            )
        if self.until:
            self.needed(1)
            if self.max_steps < self.steps:
                raise ThermoError(f"max_steps={self.max_steps} is below steps={self.steps}, the first round: raise it")
        if self.batch_size < 2:
            raise ThermoError("batch_size must be at least 2: batch normalisation needs two samples")
        if not 0 <= self.label_noise <= 1:
            raise ThermoError(f"label_noise is a fraction between 0 and 1, got {self.label_noise}")
        if not (math.isfinite(self.head_norm) and self.head_norm > 0):
            raise ThermoError(f"head_norm must be a finite positive number, got {self.head_norm}")


#: Torch's generators take 64 bits with a sign; what is measured has seeds of its own, 2**32 above the training's.
MAX_SEED = 2**63 - 2**32 - 1

#: Value of `until` that asks for as many independent snapshots as determine a covariance.
IDENTIFIED = "identified"
#: What a preset says about the phases of a run.
PHASES = ("burn_in", "forget", "first", "spacing", "until", "max_steps")
#: A run that goes on by need ends after this many times its first round, unless the user says otherwise.
LONGEST = 20

#: Parameters that take one of a few words.
CHOICES: dict[str, tuple[str, ...]] = {
    "preset": tuple(PRESETS),
    "dataset": tuple(LOADERS),
    "model": tuple(MODELS),
    "protocol": PROTOCOLS,
    "loss": LOSSES,
    "sampling": SAMPLINGS,
    "device": DEVICES,
    "storage": STORAGES,
}


def preset_named(name: str) -> dict[str, Any]:
    """A preset's parameters; ThermoError for an unknown name."""
    if name not in PRESETS:
        raise ThermoError(f"preset {name!r} is unknown: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def resolve(given: dict[str, Any]) -> TrainConfig:
    """Defaults, overridden by the preset, overridden by what the user gave; validated.

    MSE without a given head norm takes the paper's 1.5.
    """
    preset = preset_named(given.get("preset", TrainConfig.preset))
    names = {f.name for f in fields(TrainConfig)}
    values = {key: value for key, value in preset.items() if key in names}
    # Relaxation takes a number of steps in proportion to 1/lr.
    lr = float(given["lr"])
    if math.isfinite(lr) and lr > 0:
        values |= {key: math.ceil(time / lr) for key, time in preset.get("times", {}).items()}
    if "steps" in given:
        # A length that the user sets is exact, and its phases are parts of it.
        values = {key: value for key, value in values.items() if key not in PHASES}
    if given.get("loss") == "mse":
        values["head_norm"] = 1.5
    values |= given
    _fill_phases(values)
    config = TrainConfig(**values)
    config.validate()
    return config


def _fill_phases(values: dict[str, Any]) -> None:
    """Give the phases that neither the preset nor the user sets the lengths that follow from the others.

    ``first`` of a preset is the length of the first round after burn-in and forgetting.
    """
    chains, first = values.get("chains", TrainConfig.chains), values.pop("first", 0)
    if first:
        values["steps"] = values["burn_in"] + values["forget"] + first
    steps = values.get("steps", TrainConfig.steps)
    values["burn_in"] = values.get("burn_in") or (steps // 4 if chains > 1 else steps // 2)
    if chains > 1:
        values["forget"] = values.get("forget") or max(1, values["burn_in"] // 4)
    if values.get("until"):
        values["max_steps"] = values.get("max_steps") or LONGEST * steps
