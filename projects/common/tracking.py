"""The training's side of MLflow: which run to write to, its params, and how it ends."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.tracking.default_experiment.registry import get_experiment_id
from sqlalchemy import make_url

from analysis.tracking import (
    ServerError,
    close_orphan,
    find_experiment,
    name_run,
    orphans,
    prepare_experiment,
    require_store,
)
from mlflow_thermo import SnapshotRecorder, schema
from mlflow_thermo.delivery import Sign, waiting_outbox
from mlflow_thermo.errors import ThermoError, first_line as first_line
from mlflow_thermo.failures import Failures
from mlflow_thermo.plugin import run_tags
from projects import STARTED_BY_US
from projects.common.lifetime import ParentWatch, Terminated, reason_of

logger = logging.getLogger(__name__)

#: Times that a request is repeated where the user has not said how often: MLflow's own 7 take four minutes, and what
#: a run has recorded waits for its server anyway.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")


def prepare_store() -> None:
    """Create or upgrade the tables of a sqlite store, in one process at a time, before workers open it.

    Several processes that open a fresh sqlite database at once break it for good.
    """
    uri = mlflow.get_tracking_uri()
    require_store(uri, writes=True)
    if uri.startswith("sqlite:"):
        database = make_url(uri).database
        with ExitStack() as stack:
            if database and database != ":memory:":
                Path(database).absolute().parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(f"{database}.lock"))
            MlflowClient().search_experiments(max_results=1)


def open_run(experiment: str | None, name: str, kind: str, tags: Mapping[str, str]) -> str:
    """Id of the run to write to: the one that ``mlflow run`` started, or a new one."""
    run_id = os.environ.get("MLFLOW_RUN_ID")
    # Before anything else touches the store: a client opens it as soon as it is made.
    prepare_store()
    client = MlflowClient()
    tags = {schema.TAG_KIND: kind, schema.TAG_ALIVE: str(Sign.of_this_process(beats=False)), **tags}
    if run_id is None:
        experiment_id = _experiment_id(client, experiment)
        run_id = create_run(client, experiment_id, name, tags)
    else:
        experiment_id = _own(client, run_id, name, tags)
    if not STARTED_BY_US:
        # A sweep has done both before it started the programs of its runs.
        _close_orphans(client, experiment_id)
        with suppress(ServerError):
            # Whoever may write runs may not be allowed to write to their experiment.
            prepare_experiment(client, experiment_id)
    return run_id


def _experiment_id(client: MlflowClient, experiment: str | None) -> str:
    """Id of the experiment of that name, which is made where there is none; by default that of the environment."""
    known, name = os.environ.get("MLFLOW_EXPERIMENT_ID"), os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if known and not experiment and not STARTED_BY_US:
        # Before a run is begun there; both may be set, and differ.
        return str(find_experiment(client, None, None).experiment_id)
    if experiment or (name and not known):
        return str(mlflow.set_experiment(experiment or name).experiment_id)
    return str(known or get_experiment_id())


def create_run(client: MlflowClient, experiment_id: str, name: str, tags: Mapping[str, str]) -> str:
    """A new run with these tags and those of MLflow's context providers, in one request; returns its id."""
    run = client.create_run(experiment_id, run_name=name, tags=resolve_tags({**tags}))
    return str(run.info.run_id)


def _own(client: MlflowClient, run_id: str, name: str, tags: Mapping[str, str]) -> str:
    """Name and tag the run of ``mlflow run``, which calls no context providers; returns its experiment."""
    with suppress(MlflowException):
        name_run(client, run_id, name)
    try:
        all_tags = {**run_tags(), **tags}
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in all_tags.items()])
    except BaseException:
        # Nobody else knows of the run yet.
        end_run(run_id, "FAILED")
        raise
    return str(client.get_run(run_id).info.experiment_id)


def _close_orphans(client: MlflowClient, experiment_id: str) -> None:
    """End the runs beside this one that a killed program has left RUNNING; they would stay so for ever."""
    for orphan in orphans(client, experiment_id):
        with suppress(ServerError):
            close_orphan(client, orphan)
        logger.warning("run %s (%s) said RUNNING, but %s: closed as KILLED", orphan.run_id, orphan.name, orphan.why)


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
    """Set the final status of a run, after all that it has recorded.

    A server that cannot be reached is an error for FINISHED only: a run that ends in another way ends with an error of
    its own, which this one must not hide.
    """
    outbox = waiting_outbox(run_id)
    if outbox is not None:
        outbox.end(status)
        return
    try:
        MlflowClient().set_terminated(run_id, status)
    except Exception as error:
        if status == "FINISHED":
            raise
        logger.warning("run %s could not be marked %s: %s", run_id, status, first_line(error))


def await_delivery(recorders: Iterable[SnapshotRecorder]) -> None:
    """Wait until the server has all that was recorded; the first error is raised, others are logged."""
    since, failures = time.monotonic(), Failures()
    for recorder in recorders:
        failures.attempt(recorder.await_delivery, since)
    failures.raise_first()


def log_new_params(run_id: str, params: Mapping[str, Any], tags: Mapping[str, str] | None = None) -> None:
    """Log the params that the run does not have yet, and tags.

    ``mlflow run`` logs what the user typed as it was typed; logging ``lr`` as 0.1 after ``-P lr=1e-1`` would
    fail the run, since a param never changes.
    """
    client = MlflowClient()
    known = client.get_run(run_id).data.params
    fresh = [Param(key, str(value)) for key, value in params.items() if key not in known]
    client.log_batch(run_id, params=fresh[:100], tags=[RunTag(key, value) for key, value in (tags or {}).items()])
