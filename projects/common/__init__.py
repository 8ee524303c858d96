"""What several projects share: MLflow runs, the lifetime of programs, their parameters, training processes."""

from typing import TYPE_CHECKING

from mlflow_thermo.faces import lazy_names

if TYPE_CHECKING:
    from projects.common.inputs import log_dataset as log_dataset
    from projects.common.lifetime import (
        ParentWatch as ParentWatch,
        Terminated as Terminated,
        reason_of as reason_of,
    )
    from projects.common.parameters import (
        EXPERIMENT as EXPERIMENT,
        WholeNumber as WholeNumber,
        parse_jobs as parse_jobs,
        parse_lrs as parse_lrs,
        parse_seeds as parse_seeds,
        parse_whole as parse_whole,
    )
    from projects.common.system import SystemMetrics as SystemMetrics
    from projects.common.tracking import (
        await_delivery as await_delivery,
        create_run as create_run,
        end_run as end_run,
        first_line as first_line,
        log_new_params as log_new_params,
        open_run as open_run,
        own_run as own_run,
        prepare_store as prepare_store,
    )
    from projects.common.workers import Outcome as Outcome, Workers as Workers

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "inputs": ["log_dataset"],
        "lifetime": ["ParentWatch", "Terminated", "reason_of"],
        "parameters": ["EXPERIMENT", "WholeNumber", "parse_jobs", "parse_lrs", "parse_seeds", "parse_whole"],
        "system": ["SystemMetrics"],
        "tracking": [
            "await_delivery",
            "create_run",
            "end_run",
            "first_line",
            "log_new_params",
            "open_run",
            "own_run",
            "prepare_store",
        ],
        "workers": ["Outcome", "Workers"],
    },
)
