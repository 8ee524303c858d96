"""Runs of an experiment on a tracking server.

A run costs one line of a search and at most one download: the runs' metadata come from ``search_runs`` alone, and their
snapshots are cached under the digest of their content, which is a tag of the run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import numpy as np

from analysis.results import FloatArray, IntArray, Origin
from analysis.tracking.download import artifacts, cache_folder, fingerprint
from analysis.tracking.errors import SourceError, require_store, server_errors
from analysis.tracking.records import RunRecord, StudyRuns
from mlflow_thermo import schema
from mlflow_thermo.errors import first_line

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run


#: Kinds of our own runs that are not trainings.
_NO_TRAINING = (
    schema.KIND_SWEEP, schema.KIND_ANALYSIS, schema.KIND_CALIBRATION, schema.KIND_PAPER, schema.KIND_TOY,
    schema.KIND_RESUME,
)  # fmt: skip
#: Experiments that an error message lists.
_LISTED = 10
#: Seeds have 64 bits; anything larger is not a seed.
_LARGEST_SEED = 2**64


@server_errors()
def from_tracking(
    experiment: str | None = None,
    tracking_uri: str | None = None,
    filter: str = "",
    sweep: str | None = None,
    *,
    experiment_id: str | None = None,
    cache: str | Path | None = None,
) -> StudyRuns:
    """The training runs of an MLflow experiment, with no snapshots downloaded yet.

    Without `filter` and `sweep` the newest sweep is taken, or every run where there is no sweep.

    Parameters
    ----------
    experiment : name; by default MLFLOW_EXPERIMENT_NAME, or ``Default``.
    tracking_uri : of the tracking server; by default MLflow's own choice, MLFLOW_TRACKING_URI.
    filter : MLflow's search syntax, e.g. ``metrics.`thermo/lr` > 0.001``; it replaces the choice of a sweep.
    sweep : id of a sweep, the runs' tag ``thermo.sweep``.
    experiment_id : instead of a name.
    cache : folder for downloaded snapshots; by default MLFLOW_THERMO_CACHE, or the user's cache folder.

    Returns
    -------
    StudyRuns
        A sequence of runs, by learning rate and seed. Results made from it can be published.

    Raises
    ------
    ThermoError
        No such experiment, a deleted one, no training run that matches, a filter that MLflow cannot read, or a server
        that does not answer.

    Examples
    --------
    Nine runs of one sweep in the experiment ``study``:

    >>> from analysis import from_tracking
    >>> from_tracking("study")
    <9 runs, study: sweep first>
    >>> [run.lr for run in from_tracking("study", filter="metrics.`thermo/lr` > 0.5")]
    [0.5623413251903491, 1.0]
    """
    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    # A file that is there may be read-only.
    require_store(tracking_uri or mlflow.get_tracking_uri(), writes=False)
    client = MlflowClient(tracking_uri)
    found = find_experiment(client, experiment, experiment_id)
    query, scope = filter, f"filter {filter}"
    if not filter:
        sweep = sweep or _newest_sweep(client, found.experiment_id)
        # A tag may hold quotes, which MLflow's filter cannot: then all sweeps are asked for, and compared below.
        asked = "LIKE '%'" if set("'\"\\") & set(sweep or "") else f"= '{sweep}'"
        query = f"tags.`{schema.TAG_SWEEP}` {asked}" if sweep else ""
        scope = f"sweep {sweep}" if sweep else "all runs"
    try:
        runs = list(search_runs(client, found.experiment_id, query))
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        raise SourceError(f"filter {filter!r} cannot be used: {first_line(error)}") from error
    folder = cache_folder(cache)
    chosen = [run for run in runs if filter or not sweep or run.data.tags.get(schema.TAG_SWEEP) == sweep]
    records = [_record(client, run, folder) for run in chosen if run.data.tags.get(schema.TAG_KIND) not in _NO_TRAINING]
    if not records:
        raise SourceError(f"experiment {found.name!r} holds no training runs for {scope}: train some, or change it")
    records.sort(key=lambda record: (record.lr, record.seed))
    origin = Origin(
        title=f"{found.name}: {scope}",
        experiment_id=found.experiment_id,
        experiment=found.name,
        scope=scope,
        tracking_uri=tracking_uri,
        known={record.run_id: (record.metrics, record.tags) for record in records},
    )
    return StudyRuns(tuple(records), origin)


def default_uri() -> str:
    """MLflow's own choice of a tracking server: MLFLOW_TRACKING_URI, or a file in the current folder."""
    from mlflow import get_tracking_uri

    return str(get_tracking_uri())


@server_errors()
def experiment_of(run_id: str, tracking_uri: str | None = None) -> str | None:
    """Id of the experiment that a run is in; None where no run has that id."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return str(MlflowClient(tracking_uri).get_run(run_id).info.experiment_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def find_experiment(client: MlflowClient, name: str | None, experiment_id: str | None) -> Experiment:
    """The experiment by its id or its name; SourceError where it cannot be used."""
    from mlflow.exceptions import MlflowException

    name = name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Default"
    asked = f"experiment with id {experiment_id!r}" if experiment_id else f"experiment {name!r}"
    try:
        found = client.get_experiment(experiment_id) if experiment_id else client.get_experiment_by_name(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        found = None
    if found is None:
        names = [one.name for one in client.search_experiments(max_results=1000)]
        near = [] if experiment_id else get_close_matches(name, names)
        listed = ", ".join(map(repr, [*near, *(one for one in names if one not in near)][:_LISTED])) or "none"
        meant = f"did you mean {' or '.join(map(repr, near))}? This server has" if near else "this server has"
        raise SourceError(f"{asked} does not exist: {meant} {listed}")
    if found.lifecycle_stage == "deleted":
        raise SourceError(
            f"experiment {found.name!r} is deleted: restore it with `mlflow experiments restore "
            f"--experiment-id {quote(found.experiment_id)}`"
        )
    return found


def search_runs(client: MlflowClient, experiment_id: str, query: str) -> Iterator[Run]:
    """All runs of an experiment that match, page after page."""
    token = None
    while True:
        page = client.search_runs([experiment_id], query, max_results=5000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _newest_sweep(client: MlflowClient, experiment_id: str) -> str | None:
    page = client.search_runs(
        [experiment_id], f"tags.`{schema.TAG_SWEEP}` LIKE '%'", order_by=["attributes.start_time DESC"], max_results=1
    )
    return page[0].data.tags[schema.TAG_SWEEP] if page else None


def _record(client: MlflowClient, run: Run, cache: Path) -> RunRecord:
    data = run.data
    # Each on its own: a seed of "None" must not cost the run its learning rate.
    lr, seed = _number(data.params.get("lr")), _number(data.params.get("seed"))
    return RunRecord(
        run_id=run.info.run_id,
        lr=data.metrics.get(
            schema.METRIC_SET_TEMPERATURE, data.metrics.get(schema.METRIC_LR, math.nan if lr is None else float(lr))
        ),
        set_temperature=data.metrics.get(schema.METRIC_SET_TEMPERATURE),
        seed=int(seed) if seed is not None and -_LARGEST_SEED < seed < _LARGEST_SEED else 0,
        ended=run.info.status,
        regime=data.tags.get(schema.TAG_REGIME, "") if data.tags.get(schema.TAG_REGIME) == schema.DIVERGED else "",
        uniform_loss=data.metrics.get(schema.METRIC_UNIFORM_LOSS),
        uniform_loss_std=data.metrics.get(schema.METRIC_UNIFORM_LOSS_STD),
        folder=partial(artifacts, client, run, cache),
        fingerprint=partial(fingerprint, client, run),
        history=partial(_history, client, run),
        params=dict(data.params),
        tags=dict(data.tags),
        metrics=dict(data.metrics),
    )


def _number(text: str | None) -> Decimal | None:
    """A parameter, which MLflow keeps as text, as a number with all its digits; None where it is not a finite one."""
    try:
        found = Decimal(text or "")
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


@server_errors()
def _history(client: MlflowClient, run: Run, names: Sequence[str]) -> dict[str, tuple[IntArray, FloatArray]]:
    """The metrics of `names` that the run has, by step; of a step that was logged twice the later value."""
    found = {}
    # The search has returned which metrics there are: no request is wasted.
    for name in filter(run.data.metrics.__contains__, names):
        values = {}
        for metric in sorted(client.get_metric_history(run.info.run_id, name), key=lambda m: (m.step, m.timestamp)):
            values[metric.step] = metric.value
        found[name] = np.array([*values], dtype=np.int64), np.array([*values.values()], dtype=float)
    return found
