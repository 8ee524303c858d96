"""The training's side of MLflow: which run to write to, its params, and metrics in batches."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from sqlalchemy import make_url

from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError, without_password
from mlflow_thermo.plugin import run_tags
from projects.common.lifetime import ParentWatch, Terminated, reason_of

logger = logging.getLogger(__name__)

#: Requests carry at most this many metrics (MLflow's limit for log_batch).
MAX_METRICS = 1000


def prepare_store() -> None:
    """Create or upgrade the tables of a sqlite store, in one process at a time, before workers open it.

    Several processes that open a fresh sqlite database at once break it for good.
    """
    uri = mlflow.get_tracking_uri()
    if uri.startswith("sqlite:"):
        database = make_url(uri).database
        with ExitStack() as stack:
            if database and database != ":memory:":
                # A folder that cannot be written, or is not there, is MLflow's to complain about.
                with suppress(OSError):
                    stack.enter_context(FileLock(f"{database}.lock"))
            MlflowClient().search_experiments(max_results=1)


def open_run(experiment: str | None, name: str, kind: str, tags: Mapping[str, str]) -> str:
    """Id of the run to write to: the one that ``mlflow run`` started, or a new one.

    ``mlflow run`` calls no context providers, so their tags are set here as well.
    """
    run_id = os.environ.get("MLFLOW_RUN_ID")
    # Before anything else touches the store: a client opens it as soon as it is made.
    prepare_store()
    client = MlflowClient()
    if run_id is None:
        if experiment:
            mlflow.set_experiment(experiment)
        with mlflow.start_run(run_name=name) as run:
            run_id = run.info.run_id
        client.update_run(run_id, status="RUNNING")
    else:
        with suppress(MlflowException):
            client.update_run(run_id, name=name)
    try:
        all_tags = {**run_tags(), schema.TAG_KIND: kind, **tags}
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in all_tags.items()])
    except BaseException:
        # Nobody else knows of the run yet.
        end_run(run_id, "FAILED")
        raise
    return run_id


@contextmanager
def own_run(
    watch: ParentWatch, experiment: str | None, name: str, kind: str, tags: Mapping[str, str], stopped: str
) -> Iterator[str]:
    """The id of a program's own run (`open_run`), which ends as the program does: finished, failed or killed.

    Parameters
    ----------
    stopped : message of the error when the program is stopped from outside, with ``{end}`` for the cause.
    """
    run_id, status = "", "FAILED"
    try:
        with watch.holding():
            run_id = open_run(experiment, name, kind, tags)
        yield run_id
        status = "FINISHED"
    except (Terminated, KeyboardInterrupt) as end:
        status = "KILLED"
        raise ThermoError(stopped.format(end=reason_of(end))) from end
    finally:
        watch.close()
        if run_id:
            end_run(run_id, status)


def end_run(run_id: str, status: str) -> None:
    """Set the final status of a run; a server that refuses it is an error only for FINISHED.

    A run that ends in another way ends with an error of its own, which this one must not hide.
    """
    try:
        MlflowClient().set_terminated(run_id, status)
    except Exception as error:
        if status == "FINISHED":
            raise
        logger.warning("run %s could not be marked %s: %s", run_id, status, first_line(error))


def first_line(error: BaseException) -> str:
    """An error in one line, whatever it holds, without passwords."""
    return next(iter(without_password(error).splitlines()), type(error).__name__)


def log_new_params(run_id: str, params: Mapping[str, Any]) -> None:
    """Log the params that the run does not have yet.

    ``mlflow run`` logs what the user typed as it was typed; logging ``lr`` as 0.1 after ``-P lr=1e-1`` would
    fail the run, since a param never changes.
    """
    client = MlflowClient()
    known = client.get_run(run_id).data.params
    fresh = [Param(key, str(value)) for key, value in params.items() if key not in known]
    client.log_batch(run_id, params=fresh[:100])


class MetricLog:
    """Collects metrics and sends them in batches: one request every few seconds, not one a number."""

    #: Seconds between two requests, at least.
    INTERVAL = 10.0
    #: A request to a server that is down takes minutes to time out. For this many times as long, no run of this process
    #: sends another.
    PATIENCE = 10.0
    _silent_until = 0.0

    def __init__(self, run_id: str) -> None:
        self._client = MlflowClient()
        self._run_id = run_id
        self._sent = time.monotonic()
        self._waiting: list[Metric] = []

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Queue values at an optimiser step; NaN is kept, infinity is left out (MLflow would store 1.8e308)."""
        now = time.time_ns() // 1_000_000
        self._waiting += [Metric(k, v, now, step) for k, v in values.items() if not math.isinf(v)]
        begin = time.monotonic()
        if begin - self._sent > self.INTERVAL and begin >= MetricLog._silent_until:
            try:
                self.flush()
            except MlflowException as error:
                # A server that is down must not end a training of days: these metrics go out with the next ones.
                logger.warning("run %s: metrics not sent, will retry: %s", self._run_id, first_line(error))
                self._sent = time.monotonic()
                MetricLog._silent_until = self._sent + self.PATIENCE * (self._sent - begin)

    def flush(self) -> None:
        """Send what is waiting; MlflowException where the server does not take it, and it waits on."""
        while self._waiting:
            self._client.log_batch(self._run_id, metrics=self._waiting[:MAX_METRICS])
            del self._waiting[:MAX_METRICS]
        self._sent = time.monotonic()
