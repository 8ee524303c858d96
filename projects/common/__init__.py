"""What several projects share: MLflow runs, the lifetime of programs, grids, training processes."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from projects.common.grids import parse_jobs as parse_jobs, parse_lrs as parse_lrs, parse_seeds as parse_seeds
    from projects.common.lifetime import ParentWatch as ParentWatch, Terminated as Terminated
    from projects.common.tracking import (
        MetricLog as MetricLog,
        end_run as end_run,
        first_line as first_line,
        log_new_params as log_new_params,
        open_run as open_run,
        own_run as own_run,
    )
    from projects.common.workers import Outcome as Outcome, Workers as Workers

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "grids": ["parse_jobs", "parse_lrs", "parse_seeds"],
        "lifetime": ["ParentWatch", "Terminated"],
        "tracking": ["MetricLog", "end_run", "first_line", "log_new_params", "open_run", "own_run"],
        "workers": ["Outcome", "Workers"],
    },
)
