"""Runs of an experiment on a tracking server.

A run costs one line of a search and at most one download: the runs' metadata come from ``search_runs`` alone, and their
snapshots are cached under the digest of their content, which is a tag of the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.results import FloatArray, IntArray, Origin
from analysis.tracking.download import artifacts, cache_folder, fingerprint
from analysis.tracking.errors import SourceError, server_errors
from analysis.tracking.finding import (
    connect,
    find_experiment,
    is_ours,
    is_training,
    newest_sweep,
    search_runs,
    why_none,
)
from analysis.tracking.records import Other, RunRecord, StudyRuns
from mlflow_thermo import schema
from mlflow_thermo.errors import first_line

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


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
    experiment : name; by default that of MLFLOW_EXPERIMENT_ID or MLFLOW_EXPERIMENT_NAME, or ``Default``.
    tracking_uri : of the tracking server; by default MLflow's own choice, MLFLOW_TRACKING_URI.
    filter : MLflow's search syntax, e.g. ``metrics.`thermo/lr` > 0.001``; it replaces the choice of a sweep.
    sweep : id of a sweep, the runs' tag ``thermo.sweep``.
    experiment_id : instead of a name.
    cache : folder for downloaded snapshots; by default MLFLOW_THERMO_CACHE, or the user's cache folder.

    Returns
    -------
    StudyRuns
        A sequence of runs, by learning rate and seed. Results made from it can be published. Runs of other tools,
        which have written nothing for us, are no part of it; `StudyRuns.others` names them.

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
    from mlflow.exceptions import MlflowException

    if filter and sweep:
        raise SourceError("a filter replaces the choice of a sweep: give the one or the other")
    client = connect(tracking_uri)
    found = find_experiment(client, experiment, experiment_id)
    query, scope = filter, f"filter {filter}"
    if not filter:
        sweep = sweep or newest_sweep(client, found.experiment_id)
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
    # Each of theirs would cost a download that finds nothing.
    others = tuple(Other(run.info.run_id, run.info.run_name or "") for run in chosen if not is_ours(run))
    records = [_record(client, run, folder) for run in chosen if is_ours(run) and is_training(run)]
    if not records:
        raise SourceError(why_none(client, found, sweep, filter, len(others)))
    records.sort(key=lambda record: (record.lr, record.seed))
    origin = Origin(
        title=f"{found.name}: {scope}",
        experiment_id=found.experiment_id,
        experiment=found.name,
        scope=scope,
        tracking_uri=tracking_uri,
        known={record.run_id: (record.metrics, record.tags) for record in records},
    )
    return StudyRuns(tuple(records), origin, others)


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
