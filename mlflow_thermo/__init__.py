"""Record the weights of a training run for the measurement of its temperature.

Names load when they are first used (PEP 562): importing the package pulls in neither torch nor MLflow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow_thermo.errors import ThermoError
    from mlflow_thermo.recorder import SnapshotRecorder
    from mlflow_thermo.schedule import Schedule, bursts, consecutive, spaced

__all__ = ["Schedule", "SnapshotRecorder", "ThermoError", "bursts", "consecutive", "spaced"]

_HOME = {
    "Schedule": "schedule",
    "SnapshotRecorder": "recorder",
    "bursts": "schedule",
    "consecutive": "schedule",
    "spaced": "schedule",
    "ThermoError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
