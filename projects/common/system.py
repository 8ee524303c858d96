"""Load, memory and GPU of the machine along a run, where MLflow's own switch for them is on."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING

logger = logging.getLogger(__name__)


class SystemMetrics:
    """Measures from now on into a run; nothing without MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING."""

    def __init__(self, run_id: str, *, again: bool = False) -> None:
        self._monitor: Any = None
        if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():  # type: ignore[no-untyped-call]
            return
        try:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            self._monitor = SystemMetricsMonitor(run_id, resume_logging=again)  # type: ignore[no-untyped-call]
            self._monitor.start()
        except Exception as error:
            # No psutil, or no server: a training does not end for want of its load.
            self._monitor = None
            logger.warning("no system metrics: %s", error)

    def close(self) -> None:
        """Stop measuring; once or more."""
        if self._monitor is not None:
            with suppress(Exception):
                self._monitor.finish()
            self._monitor = None
