"""Runs of an experiment on a tracking server.

A run costs one line of a search and at most one download: the runs' metadata come from ``search_runs`` alone, and their
snapshots are cached under the digest of their content, which is a tag of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.results import FloatArray, IntArray
from analysis.tracking.download import artifacts, cache_folder, fingerprint
from analysis.tracking.records import RunRecord, SourceError
from mlflow_thermo import schema

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True)
class Selection:
    """The runs that one analysis is about.

    Attributes
    ----------
    experiment_id, experiment : id and name.
    scope : what was selected, in one line; two analyses of one scope replace each other.
    records : the runs, by learning rate and seed.
    """

    experiment_id: str
    experiment: str
    scope: str
    records: list[RunRecord]


def from_tracking(
    experiment: str | None = None,
    *,
    experiment_id: str | None = None,
    filter_string: str = "",
    sweep: str | None = None,
    tracking_uri: str | None = None,
    cache: str | Path | None = None,
) -> Selection:
    """Training runs of an experiment, with nothing downloaded yet.

    Without `filter_string` and `sweep` the newest sweep is taken, or every run where there is no sweep.

    Parameters
    ----------
    filter_string : MLflow's search syntax, e.g. ``metrics.`thermo/lr` > 0.001``.
    cache : folder for downloaded snapshots; by default MLFLOW_THERMO_CACHE or the user's cache folder.

    Raises
    ------
    SourceError
        No such experiment, no run that matches, or a filter that MLflow cannot read.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri)
    found = client.get_experiment(experiment_id) if experiment_id else client.get_experiment_by_name(experiment or "")
    if found is None:
        names = ", ".join(repr(e.name) for e in client.search_experiments(max_results=10)) or "none"
        raise SourceError(f"experiment {experiment!r} does not exist: this server has {names}")
    query, scope = filter_string, f"filter {filter_string}"
    if not filter_string:
        sweep = sweep or _newest_sweep(client, found.experiment_id)
        query = f"tags.`{schema.TAG_SWEEP}` = '{sweep}'" if sweep else ""
        scope = f"sweep {sweep}" if sweep else "all runs"
    try:
        runs = list(search_runs(client, found.experiment_id, query))
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise SourceError(f"filter {filter_string!r} cannot be used: {reason}") from error
    folder = cache_folder(cache)
    own = (schema.KIND_SWEEP, schema.KIND_ANALYSIS, schema.KIND_CALIBRATION, schema.KIND_PAPER, schema.KIND_TOY)
    records = [_record(client, run, folder) for run in runs if run.data.tags.get(schema.TAG_KIND) not in own]
    if not records:
        raise SourceError(f"experiment {found.name!r} holds no training runs for {scope}: train some, or change it")
    records.sort(key=lambda record: (record.lr, record.seed))
    return Selection(found.experiment_id, found.name, scope, records)


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
    try:
        lr = float(data.metrics.get(schema.METRIC_LR, data.params.get("lr", "nan")))
        seed = int(data.params.get("seed", 0))
    except ValueError:
        lr, seed = float("nan"), 0
    return RunRecord(
        run_id=run.info.run_id,
        lr=lr,
        seed=seed,
        ended=run.info.status,
        regime=data.tags.get(schema.TAG_REGIME, "") if data.tags.get(schema.TAG_REGIME) == schema.DIVERGED else "",
        uniform_loss=data.metrics.get(schema.METRIC_UNIFORM_LOSS),
        uniform_loss_std=data.metrics.get(schema.METRIC_UNIFORM_LOSS_STD),
        folder=lambda: artifacts(client, run, cache),
        fingerprint=lambda: fingerprint(client, run),
        history=lambda names: _history(client, run, names),
        meta={"params": dict(data.params), "tags": dict(data.tags), "metrics": dict(data.metrics)},
    )


def _history(client: MlflowClient, run: Run, names: Sequence[str]) -> dict[str, tuple[IntArray, FloatArray]]:
    """The metrics of `names` that the run has, by step; of a step that was logged twice the later value."""
    found = {}
    # The search has told which metrics there are: nothing is asked for in vain.
    for name in filter(run.data.metrics.__contains__, names):
        values = {}
        for metric in sorted(client.get_metric_history(run.info.run_id, name), key=lambda m: (m.step, m.timestamp)):
            values[metric.step] = metric.value
        found[name] = np.array([*values], dtype=np.int64), np.array([*values.values()], dtype=float)
    return found
