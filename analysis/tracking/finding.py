"""Which experiment is meant, and what to say where it, or a run of it, is not to be had."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from shlex import quote
from typing import TYPE_CHECKING

from analysis.tracking.errors import SourceError, server_errors
from analysis.tracking.reaching import require_store
from mlflow_thermo import schema

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

#: Names that an error message lists.
_LISTED = 10
#: Kinds of our own runs that are not trainings.
_NO_TRAINING = (
    schema.KIND_SWEEP, schema.KIND_ANALYSIS, schema.KIND_CALIBRATION, schema.KIND_PAPER, schema.KIND_TOY,
    schema.KIND_RESUME,
)  # fmt: skip
#: What only a recorder or a project of ours writes to a run.
_OURS = {schema.TAG_KIND, schema.TAG_SNAPSHOTS, schema.TAG_DIGEST, schema.TAG_ALIVE, schema.TAG_SWEEP}


def connect(tracking_uri: str | None) -> MlflowClient:
    """A client of a store that is there; by default of MLflow's own choice."""
    from mlflow import MlflowClient

    require_store(tracking_uri or default_uri(), writes=False)
    return MlflowClient(tracking_uri)


def default_uri() -> str:
    """MLflow's own choice of a tracking server: MLFLOW_TRACKING_URI, or a file in the current folder."""
    from mlflow import get_tracking_uri

    return str(get_tracking_uri())


def find_experiment(client: MlflowClient, name: str | None, experiment_id: str | None) -> Experiment:
    """The experiment by its id or its name, or that of the environment; SourceError where it cannot be used."""
    from mlflow.exceptions import MlflowException

    of_environment = not name and not experiment_id
    if of_environment:
        name, experiment_id = _of_the_environment()
    asked = f"experiment with id {experiment_id!r}" if experiment_id else f"experiment {name!r}"
    try:
        found = client.get_experiment(experiment_id) if experiment_id else client.get_experiment_by_name(str(name))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        found = None
    if found is None:
        raise SourceError(f"{asked} does not exist: {_others(client, '' if experiment_id else str(name))}")
    if found.lifecycle_stage == "deleted":
        raise SourceError(
            f"experiment {found.name!r} is deleted: restore it with `mlflow experiments restore "
            f"--experiment-id {quote(found.experiment_id)}`"
        )
    if of_environment and experiment_id and name and found.name != name:
        raise SourceError(
            f"MLFLOW_EXPERIMENT_ID={experiment_id} is the experiment {found.name!r} and MLFLOW_EXPERIMENT_NAME is "
            f"{name!r}: unset one of them, or name the experiment"
        )
    return found


def _of_the_environment() -> tuple[str | None, str | None]:
    """Name and id of the experiment that is meant where none is given; both where both are set."""
    name, experiment_id = os.environ.get("MLFLOW_EXPERIMENT_NAME"), os.environ.get("MLFLOW_EXPERIMENT_ID")
    if experiment_id and os.environ.get("MLFLOW_RUN_ID"):
        # `mlflow run --experiment-name` leaves the name that its user has exported.
        return None, experiment_id
    return (name, experiment_id) if name or experiment_id else ("Default", None)


def _others(client: MlflowClient, name: str) -> str:
    return did_you_mean(name, [one.name for one in client.search_experiments(max_results=1000)], "this server")


def did_you_mean(name: str, names: Sequence[str], owner: str) -> str:
    """What there is instead of a name, the near ones first."""
    # In another case nothing is near for difflib.
    lower = {one.lower(): one for one in reversed(names)}
    near = [lower[one] for one in get_close_matches(name.lower(), [*lower])] if name else []
    listed = ", ".join(map(repr, [*near, *(one for one in names if one not in near)][:_LISTED])) or "none"
    if near:
        return f"did you mean {' or '.join(map(repr, near))}? {owner[0].upper()}{owner[1:]} has {listed}"
    return f"{owner} has {listed}"


@server_errors()
def experiment_of(run_id: str | None, tracking_uri: str | None = None) -> str | None:
    """Id of the experiment that a run is in; None where no run has that id, SourceError where it is deleted."""
    from mlflow.exceptions import MlflowException

    if not run_id or not re.fullmatch("[0-9a-f]{32}", run_id):
        return None
    try:
        info = connect(tracking_uri).get_run(run_id).info
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    if info.lifecycle_stage == "deleted":
        raise SourceError(f"run {run_id} is deleted: restore it with `mlflow runs restore --run-id {run_id}`")
    return str(info.experiment_id)


def search_runs(client: MlflowClient, experiment_id: str, query: str, deleted: bool = False) -> Iterator[Run]:
    """All runs of an experiment that match, page after page."""
    from mlflow.entities import ViewType

    view, token = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY, None
    while True:
        page = client.search_runs([experiment_id], query, view, max_results=5000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def is_ours(run: Run) -> bool:
    """Whether a recorder or a project of ours has written to the run; other tools share experiments with us.

    The plugin's version and the state of the git tree are on every run that starts where the plugin is installed.
    """
    # An analysis of an earlier release has put NaN on runs of others.
    known = (run.data.metrics.get(name, 0.0) > 0 for name in (schema.METRIC_LR, schema.METRIC_SET_TEMPERATURE))
    return bool(_OURS.intersection(run.data.tags)) or any(known)


def is_training(run: Run) -> bool:
    """Whether a run of ours is a training."""
    return run.data.tags.get(schema.TAG_KIND) not in _NO_TRAINING


def newest_sweep(client: MlflowClient, experiment_id: str) -> str | None:
    """Id of the sweep whose run was started last; None where there is none."""
    page = client.search_runs(
        [experiment_id], f"tags.`{schema.TAG_SWEEP}` LIKE '%'", order_by=["attributes.start_time DESC"], max_results=1
    )
    return page[0].data.tags[schema.TAG_SWEEP] if page else None


def why_none(client: MlflowClient, found: Experiment, sweep: str | None, filter: str, others: int) -> str:
    """Why a selection holds no training runs, and what would."""
    start = f"experiment {found.name!r} holds no training runs"
    if filter:
        return f"{start} for filter {filter}: change the filter, or train some"
    every = [run for run in search_runs(client, found.experiment_id, "") if is_ours(run) and is_training(run)]
    known = sorted({run.data.tags[schema.TAG_SWEEP] for run in every if schema.TAG_SWEEP in run.data.tags})
    if sweep and known and sweep not in known:
        return f"{start} of a sweep {sweep!r}: {did_you_mean(sweep, known, 'it')}"
    gone = [run for run in search_runs(client, found.experiment_id, "", deleted=True) if is_ours(run)]
    if gone := [run for run in gone if is_training(run)]:
        first = f"`mlflow runs restore --run-id {gone[0].info.run_id}`"
        return f"{start}, {len(gone)} are deleted: restore them, as with {first}"
    if others:
        return f"{start}, its {others} runs are those of other tools: record weights with a SnapshotRecorder"
    named = [one.name for one in client.search_experiments(max_results=1000) if one.name != found.name]
    beside = f" ({did_you_mean('', named, 'this server')})" if named else ""
    return f"{start}: train some, or name another experiment{beside}"
