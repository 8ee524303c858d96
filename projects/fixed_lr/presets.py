"""Named settings: the eight of arXiv 2505.23489, two that show the same physics on a laptop, and the default.

A parameter that the user gives overrides the preset. `lrs` is the preset's learning-rate grid for a sweep,
`times` what follows from the learning rate: numbers of steps in units of 1/lr.
"""

from __future__ import annotations

from typing import Any

_PAPER: dict[str, Any] = {
    "protocol": "sphere",
    "loss": "cross-entropy",
    "head_norm": 10.0,
    "batch_size": 128,
    "log_points": 193,
    "noise_batches": 1000,
}
_CONVNET = {**_PAPER, "model": "convnet", "steps": 1_600_000}
_RESNET = {**_PAPER, "model": "resnet18", "steps": 1_000_000}

# 5 learning rates a decade below 1e-3, 15 in the decade above, 4 a decade beyond: the published grid's density.
_GRID = "1e-4:6.3e-4:5,1e-3:1e-2:16,1.8e-2:1e-1:4"

_DIGITS: dict[str, Any] = {
    "dataset": "digits",
    "model": "convnet",
    "protocol": "sphere",
    "loss": "cross-entropy",
    "head_norm": 10.0,
    "batch_size": 128,
    "log_points": 30,
}

PRESETS: dict[str, dict[str, Any]] = {
    # A network of one basin, whose states are identified within a minute: found by measurement, see docs/physics.md.
    "digits": {
        "dataset": "small-digits",
        "model": "shallow",
        "width": 10,
        "protocol": "spheres",
        "loss": "cross-entropy",
        "head_norm": 7.0,
        "batch_size": 128,
        "log_points": 20,
        "chains": 16,
        # Fifty for each free dimension: temperatures to a few per cent, to fifteen at the ends of the curve.
        "until": "4000",
        "burn_in": 2_000,
        # The losses at all snapshots, for a U without the noise of the batches: at twice as many every second one goes.
        "full_gradients": 8_000,
        # In units of 1/lr: the slowest correlation time is 5, that of most directions 2.
        "times": {"forget": 15, "first": 60, "spacing": 0.8},
        "lrs": "0.0177:0.283:9",
        "lr_range": (0.0177, 0.283),
    },
    "digits-up": {
        **_DIGITS,
        "width": 2,
        "label_noise": 0.3,
        "steps": 12_000,
        "lrs": "5.6e-4:5.6e-2:9",
        "lr_range": (5.6e-4, 1.8e-2),
    },
    "digits-op": {
        **_DIGITS,
        "width": 16,
        "steps": 3_000,
        # A step costs twenty times that of digits-up: measuring the noise must not outweigh the training.
        "noise_batches": 24,
        "lrs": "1e-4:1e-1:7",
        "lr_range": (1e-4, 1e-2),
    },
    "up-convnet-cifar10": {**_CONVNET, "dataset": "cifar10", "width": 8, "lrs": _GRID},
    "up-convnet-cifar100": {**_CONVNET, "dataset": "cifar100", "width": 8, "lrs": _GRID},
    "up-resnet-cifar10": {**_RESNET, "dataset": "cifar10", "width": 4, "lrs": _GRID},
    "up-resnet-cifar100": {**_RESNET, "dataset": "cifar100", "width": 4, "lrs": _GRID},
    "op-convnet-cifar10": {**_CONVNET, "dataset": "cifar10", "width": 64, "lrs": _GRID},
    "op-convnet-cifar100": {**_CONVNET, "dataset": "cifar100", "width": 96, "lrs": _GRID},
    "op-resnet-cifar10": {**_RESNET, "dataset": "cifar10", "width": 32, "lrs": _GRID},
    "op-resnet-cifar100": {**_RESNET, "dataset": "cifar100", "width": 48, "lrs": _GRID},
}

# Ranges of the published fits: the learning rates worth trying first.
for _name, _range in {
    "up-convnet-cifar10": (3.2e-4, 8.5e-3),
    "up-convnet-cifar100": (1e-3, 1e-2),
    "up-resnet-cifar10": (3.2e-4, 8.5e-3),
    "up-resnet-cifar100": (1e-3, 1e-2),
    "op-convnet-cifar10": (1.2e-3, 4.4e-3),
    "op-convnet-cifar100": (1e-3, 5.2e-3),
    "op-resnet-cifar10": (1.2e-3, 6.1e-3),
    "op-resnet-cifar100": (1.2e-3, 5.2e-3),
}.items():
    PRESETS[_name]["lr_range"] = _range
