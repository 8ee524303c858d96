"""From a tracking server, or a plain folder, to trajectories. The only reader of MLflow.

A run costs one line of a search and at most one download: the runs' metadata come from ``search_runs`` alone,
and their snapshots are cached under the digest of their content, which is a tag of the run.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import numpy as np

from analysis._typing import FloatArray, IntArray
from analysis.results import CORRUPT, DIVERGED, INCOMPLETE, NO_SNAPSHOTS
from analysis.trajectory import History, RunError, Trajectory
from mlflow_thermo import schema
from mlflow_thermo.schema import SeriesIndex, ThermoError
from mlflow_thermo.store import Snapshots, read_index, read_snapshots

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


#: MLflow's statuses of a run that nothing adds to any more.
_ENDED = ("FINISHED", "FAILED", "KILLED")


class SourceError(ThermoError):
    """The experiment, its runs or a run's snapshots cannot be read."""


@dataclass(frozen=True)
class RunRecord:
    """One run as the analysis knows it before its snapshots are read.

    Attributes
    ----------
    run_id, lr, seed : of the run; lr is NaN where the run does not say.
    ended : MLflow's status, e.g. ``FINISHED``.
    regime : as the training saw it; empty where it did not say.
    uniform_loss, uniform_loss_std : loss of uniformly random weights; None where it was not measured.
    folder : a context manager that hands out a local folder with one folder per series.
    meta : params and tags.
    fingerprint : names the content of all that the analysis reads of the run, without reading snapshots; None where
        nothing names it.
    history : given names of metrics, steps (n,) and values (n,) of each that was logged, one request for each.
    """

    run_id: str
    lr: float
    seed: int
    ended: str
    regime: str
    uniform_loss: float | None
    uniform_loss_std: float | None
    folder: Callable[[], Any]
    meta: dict[str, Any] = field(default_factory=dict)
    fingerprint: Callable[[], Any] = lambda: None
    history: History = lambda names: {}

    @property
    def identity(self) -> str | None:
        """`fingerprint` with what the analysis knows of the run besides, as text."""
        found = self.fingerprint()
        if found is None:
            return None
        along = (schema.PREFIX_WINDOW, schema.PREFIX_GRADIENT)
        windows = {k: v for k, v in self.meta.get("metrics", {}).items() if k.startswith(along)}
        known = (self.lr, self.seed, self.ended, self.regime, self.uniform_loss, self.uniform_loss_std)
        return json.dumps([self.run_id, *known, windows, self.meta.get("params", {}), found], sort_keys=True)

    def load(self, series: str = schema.SPACED) -> Trajectory:
        """Read one series of the run.

        Raises
        ------
        RunError
            Naming the run: no snapshots, an unfinished run, or a damaged chunk.
        """
        try:
            return self._load(series)
        except _DroppedFromCache:
            # What the server has may be whole.
            return self._load(series)

    def _load(self, series: str) -> Trajectory:
        if self.regime == schema.DIVERGED:
            raise RunError(f"run {self.run_id} diverged: lower its lr={self.lr:g}", DIVERGED)
        with self.folder() as folder:
            path = Path(folder) / series
            if not path.is_dir():
                unfinished = self.ended not in ("FINISHED", "")
                why = f"is {self.ended} and holds" if unfinished else "holds"
                raise RunError(
                    f"run {self.run_id} {why} no series {series!r} of snapshots: train it with a SnapshotRecorder",
                    INCOMPLETE if unfinished else NO_SNAPSHOTS,
                )
            try:
                index = read_index(path)
                if not index.complete:
                    raise RunError(
                        f"run {self.run_id} is incomplete ({len(index.steps)} snapshots of series {series!r}): wait "
                        "for it to finish or train it again",
                        INCOMPLETE,
                    )
                snapshots = read_snapshots(path, index)
            except RunError:
                raise
            except ThermoError as error:
                raise RunError(f"run {self.run_id}: {error}", CORRUPT) from error
        return _trajectory(self, series, index, snapshots)


def _trajectory(record: RunRecord, series: str, index: SeriesIndex, snapshots: Snapshots) -> Trajectory:
    losses = index.loss_mean if any(value is not None for value in index.loss_mean) else index.loss
    return Trajectory(
        steps=np.asarray(index.steps, dtype=np.int64),
        weights=snapshots.weights,
        shared=snapshots.shared,
        loss=np.asarray(losses, dtype=float),
        snapshot_loss=np.asarray(index.loss, dtype=float),
        lr=record.lr,
        seed=record.seed,
        protocol=index.protocol,
        run_id=record.run_id,
        series=series,
        n_weights=index.d,
        meta={**index.attributes, "storage": index.storage, "sketch_error": index.sketch_error, **record.meta},
    )


def from_folder(path: str | Path) -> list[RunRecord]:
    """Runs of a plain folder: one folder per run with one folder per series, as SnapshotRecorder writes them.

    Raises
    ------
    SourceError
        When the folder is missing or holds no series.
    """
    root = Path(path)
    if not root.is_dir():
        raise SourceError(f"folder {root} does not exist: give one that holds recorded runs")
    records = []
    for index_path in sorted(root.glob(f"*/{schema.SPACED}/{schema.INDEX_NAME}")):
        run = index_path.parent.parent
        try:
            index = read_index(index_path.parent)
        except ThermoError:
            # Said of this run when its snapshots are loaded; the others are as good as they were.
            index = SeriesIndex(schema.SPACED, 0, "float32", "")
        records.append(
            RunRecord(
                run_id=run.name,
                lr=float("nan") if index.lr is None else index.lr,
                seed=index.seed or 0,
                ended="",
                regime="",
                uniform_loss=index.attributes.get("uniform_loss"),
                uniform_loss_std=index.attributes.get("uniform_loss_std"),
                folder=lambda run=run: _in_place(run),  # type: ignore[misc]
                fingerprint=lambda run=run: _files_on_disk(run),  # type: ignore[misc]
            )
        )
    if not records:
        raise SourceError(f"folder {root} holds no runs: expected RUN/{schema.SPACED}/{schema.INDEX_NAME} in it")
    return records


def _files_on_disk(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of every file of a run on this machine."""
    if not folder.is_dir():
        return []
    found = [(str(path.relative_to(folder)), path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]


@contextmanager
def _in_place(folder: Path) -> Iterator[Path]:
    yield folder


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
        folder=lambda: _artifacts(client, run, cache),
        fingerprint=lambda: _fingerprint(client, run),
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


def _fingerprint(client: MlflowClient, run: Run) -> Any:
    """What names the run's snapshots: their files, where they are on this machine, or the digest that it carries.

    A run without one was cut off: its listing names what it left behind.
    """
    local = _local_folder(run)
    if local is not None:
        return _files_on_disk(local)
    if run.info.status not in _ENDED:
        return None
    digest = run.data.tags.get(schema.TAG_DIGEST)
    if digest:
        return digest
    series = client.list_artifacts(run.info.run_id, schema.ARTIFACT_ROOT)
    files = [file for one in series if one.is_dir for file in client.list_artifacts(run.info.run_id, one.path)]
    return sorted((file.path, file.file_size) for file in files)


def _local_folder(run: Run) -> Path | None:
    """The run's snapshot folder where its artifacts are files of this machine."""
    local = urlparse(run.info.artifact_uri)
    return Path(local.path) / schema.ARTIFACT_ROOT if local.scheme in ("", "file") else None


@contextmanager
def _artifacts(client: MlflowClient, run: Run, cache: Path) -> Iterator[Path]:
    """The run's snapshot folder on this machine: in place, from the cache, or downloaded once."""
    local = _local_folder(run)
    if local is not None:
        yield local
        return
    digest = run.data.tags.get(schema.TAG_DIGEST)
    kept = cache / digest if digest else None
    if kept is not None and kept.is_dir():
        with _dropped_if_damaged(kept, _DroppedFromCache):
            yield kept / schema.ARTIFACT_ROOT
        return
    cache.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix="download-", dir=cache))
    try:
        _download(client, run, temporary)
        if kept is None or not _intact(temporary):
            yield temporary / schema.ARTIFACT_ROOT
            return
        # The rename makes the cache entry whole at once; where another analysis was faster, its entry stays.
        with suppress(OSError):
            os.replace(temporary, kept)
        with _dropped_if_damaged(kept, RunError):
            yield kept / schema.ARTIFACT_ROOT
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _DroppedFromCache(RunError):
    """A copy that was made earlier is damaged, and gone now."""


@contextmanager
def _dropped_if_damaged(kept: Path, kind: type[RunError]) -> Iterator[None]:
    """Takes a copy out of the cache in which a reader has found a damaged chunk, and raises that as `kind`."""
    try:
        yield
    except RunError as error:
        if error.status != CORRUPT:
            raise
        shutil.rmtree(kept, ignore_errors=True)
        raise kind(str(error), error.status) from error


def _intact(folder: Path) -> bool:
    """Whether every chunk has the size that its index says: a cut-off download must not enter the cache."""
    try:
        for path in (folder / schema.ARTIFACT_ROOT).iterdir():
            for chunk in read_index(path).chunks:
                if (path / chunk.file).stat().st_size != chunk.bytes:
                    return False
    except (OSError, ThermoError):
        return False
    return True


def _download(client: MlflowClient, run: Run, target: Path) -> None:
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    run_id = run.info.run_id
    try:
        # By the URI that the search has told: by the run's id it would be asked for again, twice.
        uri = f"{run.info.artifact_uri}/{schema.ARTIFACT_ROOT}"
        download_artifacts(artifact_uri=uri, dst_path=str(target), tracking_uri=client.tracking_uri)
    except (MlflowException, OSError) as error:
        if not client.list_artifacts(run_id, schema.ARTIFACT_ROOT):
            return
        reason = str(error).splitlines()[0]
        raise RunError(f"run {run_id}: its snapshots could not be downloaded: {reason}", CORRUPT) from error


def cache_folder(cache: str | Path | None) -> Path:
    """Where downloads and reports are kept: as given, MLFLOW_THERMO_CACHE, or the user's cache folder."""
    if cache is not None:
        return Path(cache)
    named = os.environ.get("MLFLOW_THERMO_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlflow-thermo"
