"""What is trained for the paper's claims: on a laptop, or as it was published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlflow_thermo.errors import ThermoError
from projects.common import parse_lrs, parse_seeds
from projects.fixed_lr import PRESETS

LAPTOP, FULL = "laptop", "full"
SCALES = (LAPTOP, FULL)
#: Role of a study in the claims.
UNDER, OVER, SUBSET = "under", "over", "subset"

#: Labels per class of the published subset-size study, ConvNet(64) on CIFAR-10.
_SUBSETS_FULL = (2500, 1250, 500)
#: Images per label of the laptop's subset-size study; digits has 150 training images of each.
_SUBSETS_LAPTOP = (75, 38, 19)
#: Close where the branches change.
_LRS_OVER = "1e-3:1.8e-2:5,2.4e-2,2.8e-2:6e-2:6,8e-2,1.2e-1"


@dataclass(frozen=True)
class Study:
    """One sweep.

    Attributes
    ----------
    name : short name for tags, folders and tables.
    setting : studies of one setting are compared with each other, under- with over-parameterised.
    role : ``under``, ``over`` or ``subset``.
    options : parameters of `projects.fixed_lr.config.TrainConfig`, preset first.
    lrs, seeds : of the runs.
    """

    name: str
    setting: str
    role: str
    options: dict[str, Any]
    lrs: tuple[float, ...]
    seeds: tuple[int, ...] = (0,)

    @property
    def runs(self) -> int:
        """Number of runs."""
        return len(self.lrs) * len(self.seeds)

    def key(self, scale: str) -> str:
        """Name of the sweep: the same parameters have the same, so that a study goes on where it stopped."""
        content = json.dumps(self.options, sort_keys=True)
        return f"paper-{scale}-{self.name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class PublishedLaw:
    """A published fit T = prefactor·lr^exponent."""

    prefactor: float
    exponent: float


@dataclass(frozen=True)
class Plan:
    """All studies of one scale, in the order in which they are trained."""

    scale: str
    studies: tuple[Study, ...]
    published: Mapping[str, PublishedLaw] = field(default_factory=dict)


def make_plan(scale: str, given: dict[str, Any], lrs: str = "", seeds: str = "") -> Plan:
    """The plan of a scale with the parameters that the user gave in place of its own.

    Parameters
    ----------
    given : of `projects.fixed_lr.config.TrainConfig`.
    lrs, seeds : as for a sweep; empty keeps the plan's.

    Raises
    ------
    ThermoError
        Unknown scale, or lrs or seeds that cannot be read.
    """
    if scale not in SCALES:
        raise ThermoError(f"scale {scale!r} is unknown: choose one of {', '.join(SCALES)}")
    changes: dict[str, Any] = {}
    if lrs:
        changes["lrs"] = tuple(parse_lrs(lrs))
    if seeds:
        changes["seeds"] = tuple(parse_seeds(seeds))
    studies = _laptop() if scale == LAPTOP else _full()
    return Plan(
        scale, tuple(replace(study, options={**study.options, **given}, **changes) for study in studies), PUBLISHED
    )


def _laptop() -> list[Study]:
    up: dict[str, Any] = {"preset": "digits-up", "steps": 12_000, "log_points": 30, "noise_batches": 100}
    # Three channels fit every label and keep a stationary branch between convergence and the uniform state.
    op: dict[str, Any] = {"preset": "digits-op", "width": 3, "steps": 6_000, "noise_batches": 100}
    # The default network on twenty images: it fits them all, and its loss falls on at low learning rates.
    small_op: dict[str, Any] = {
        "preset": "digits", "samples_per_label": 2, "width": 14, "head_norm": 60.0, "batch_size": 32, "until": "",
        "steps": 12_000, "snapshots": 3200,
    }  # fmt: skip
    studies = [
        # Identified states: claims may hold on these.
        Study("small-up", "small-digits", UNDER, {"preset": "digits"}, tuple(parse_lrs(PRESETS["digits"]["lrs"]))),
        Study("small-op", "small-digits", OVER, small_op, tuple(parse_lrs("1e-3:8e-3:4,4.6e-2:1.3e-1:6,0.4,1.5"))),
        Study("digits-up", "digits", UNDER, up, tuple(parse_lrs("1e-3:1e-1:11,0.25,0.63")), (0, 1, 2)),
        Study("digits-op", "digits", OVER, op, tuple(parse_lrs(_LRS_OVER)), (0, 1, 2)),
    ]
    for count in _SUBSETS_LAPTOP:
        options = {**op, "steps": 4_000, "samples_per_label": count}
        studies.append(
            Study(f"digits-op-{count * 10}", "digits", SUBSET, options, tuple(parse_lrs("2e-3:1.8e-2:3")), (0, 1))
        )
    return studies


def _full() -> list[Study]:
    studies = []
    for name, preset in PRESETS.items():
        kind, *setting = name.split("-")
        if "cifar" not in name:
            continue
        role = UNDER if kind == "up" else OVER
        studies.append(Study(name, "-".join(setting), role, {"preset": name}, tuple(parse_lrs(preset["lrs"]))))
    for count in _SUBSETS_FULL:
        options = {"preset": "op-convnet-cifar10", "samples_per_label": count}
        lrs = tuple(parse_lrs("1e-4:6.3e-4:5"))
        studies.append(Study(f"op-convnet-cifar10-{count * 10}", "convnet-cifar10", SUBSET, options, lrs))
    return studies


#: Published fits of arXiv 2505.23489 by preset.
PUBLISHED: dict[str, PublishedLaw] = {
    "up-convnet-cifar10": PublishedLaw(3.9e-3, 0.85),
    "up-convnet-cifar100": PublishedLaw(5.8e-5, 0.29),
    "up-resnet-cifar10": PublishedLaw(3.9e-4, 0.57),
    "up-resnet-cifar100": PublishedLaw(6.2e-5, 0.32),
    "op-convnet-cifar10": PublishedLaw(2.5e-4, 0.86),
    "op-convnet-cifar100": PublishedLaw(9.9e-7, 0.07),
    "op-resnet-cifar10": PublishedLaw(2.4e-6, 0.34),
    "op-resnet-cifar100": PublishedLaw(1.5e-6, 0.23),
}
