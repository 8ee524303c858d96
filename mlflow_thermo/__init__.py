"""Record the weights of a training run for the measurement of its temperature.

A training loop needs `SnapshotRecorder`, and `Schedule` or one of `spaced`, `consecutive` and `bursts` where the
default series do not suit it. `schema`, `store` and `errors` are for readers of what was recorded: they need neither
torch nor MLflow. Every name loads when it is first used, so that importing the package costs next to nothing.
"""

from typing import TYPE_CHECKING

from mlflow_thermo.faces import lazy_names

if TYPE_CHECKING:
    from mlflow_thermo import errors as errors, schema as schema, store as store
    from mlflow_thermo.buffering import buffer_bytes as buffer_bytes
    from mlflow_thermo.errors import ThermoError as ThermoError, without_password as without_password
    from mlflow_thermo.fluctuations import FluctuationSums as FluctuationSums, groups_of as groups_of
    from mlflow_thermo.observables import (
        PILOT as PILOT,
        GradientNoise as GradientNoise,
        evaluate as evaluate,
        full_gradient as full_gradient,
        gradient_noise as gradient_noise,
        log_points as log_points,
    )
    from mlflow_thermo.packing import (
        flatten_parameters as flatten_parameters,
        layout_of as layout_of,
        trainable as trainable,
    )
    from mlflow_thermo.plugin import SWEEP_VARIABLE as SWEEP_VARIABLE, run_tags as run_tags
    from mlflow_thermo.recorder import SnapshotRecorder as SnapshotRecorder
    from mlflow_thermo.schedule import (
        Schedule as Schedule,
        bursts as bursts,
        consecutive as consecutive,
        spaced as spaced,
    )

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "buffering": ["buffer_bytes"],
        "errors": ["ThermoError", "without_password"],
        "fluctuations": ["FluctuationSums", "groups_of"],
        "observables": [
            "PILOT",
            "GradientNoise",
            "evaluate",
            "full_gradient",
            "gradient_noise",
            "log_points",
        ],
        "packing": ["flatten_parameters", "layout_of", "trainable"],
        "plugin": ["SWEEP_VARIABLE", "run_tags"],
        "recorder": ["SnapshotRecorder"],
        "schedule": ["Schedule", "bursts", "consecutive", "spaced"],
    },
    submodules=["errors", "schema", "store"],
)
