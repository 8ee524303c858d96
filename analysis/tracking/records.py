"""The runs of a study as the analysis knows them, and the reading of their snapshots."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import numpy as np

from analysis.results import CORRUPT, DIVERGED, INCOMPLETE, NO_SNAPSHOTS, AnyArray, FloatArray, IntArray, Origin
from analysis.trajectory import History, RunError, Trajectory
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import SeriesIndex
from mlflow_thermo.store import Snapshots, StoreError, read_index, read_snapshots

#: Larger numbers are those of a run that diverged: their squares, or sums of these, would be infinite.
_LARGEST = 1e100


def _nothing() -> None:
    """The fingerprint of a run that has none. Not a lambda: a record goes to other processes."""


def _no_history(names: Sequence[str]) -> dict[str, tuple[IntArray, FloatArray]]:
    return {}


@dataclass(frozen=True)
class RunRecord:
    """One run as the analysis knows it before its snapshots are read.

    It can be pickled, and read by another process or machine that has its store in reach.

    Attributes
    ----------
    run_id, lr, seed : of the run; lr is NaN where the run does not say. Of a Gibbs state lr is its set temperature,
        which takes the place of the learning rate on every axis.
    set_temperature : of a Gibbs state; None for a training.
    ended : MLflow's status, e.g. ``FINISHED``.
    regime : as the training recorded it; empty where it did not.
    uniform_loss, uniform_loss_std : loss of uniformly random weights; None where it was not measured.
    folder : returns a context manager of a local folder with one folder per series.
    params, tags, metrics : of the run in MLflow, the metrics with their last values; empty for a run of a folder.
    fingerprint : returns what identifies the content that the analysis reads of the run, without reading snapshots;
        None where nothing does.
    partial : whether a run that still goes on is read as far as it is there.
    history : from names of metrics to the steps (n,) and values (n,) of each that was logged, one request for each.
    """

    run_id: str
    lr: float
    seed: int
    ended: str
    regime: str
    uniform_loss: float | None
    uniform_loss_std: float | None
    folder: Callable[[], AbstractContextManager[Path]]
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    fingerprint: Callable[[], object] = _nothing
    history: History = _no_history
    set_temperature: float | None = None
    partial: bool = False

    @property
    def identity(self) -> str | None:
        """`fingerprint` and all else that the analysis knows of the run, as text; None without a fingerprint."""
        found = self.fingerprint()
        if found is None:
            return None
        along = (schema.PREFIX_WINDOW, schema.PREFIX_GRADIENT)
        windows = {k: v for k, v in self.metrics.items() if k.startswith(along)}
        known = (
            self.lr, self.seed, self.ended, self.regime, self.uniform_loss, self.uniform_loss_std,
            self.tags.get(schema.TAG_DIGEST),
        )  # fmt: skip
        return json.dumps([self.run_id, *known, windows, dict(self.params), found], sort_keys=True)

    def load(self, series: str = schema.SPACED) -> Trajectory:
        """Read one series of the run.

        Raises
        ------
        RunError
            Naming the run: no snapshots, an unfinished run, or a damaged chunk.
        """
        try:
            return self._load(series)
        except DroppedFromCache:
            # The copy on the server may be intact.
            return self._load(series)

    def _load(self, series: str) -> Trajectory:
        if self.regime == schema.DIVERGED:
            raise RunError(f"run {self.run_id} diverged: lower its lr={self.lr:g}", DIVERGED)
        with self.folder() as folder:
            path = Path(folder) / series
            if not path.is_dir():
                unfinished = self.ended not in ("FINISHED", "")
                if self.ended == "RUNNING":
                    raise RunError(
                        f"run {self.run_id} is RUNNING and holds no series {series!r} of snapshots yet: wait for it to "
                        "finish, or close it with mlflow-thermo doctor",
                        INCOMPLETE,
                    )
                why = f"is {self.ended} and holds" if unfinished else "holds"
                raise RunError(
                    f"run {self.run_id} {why} no series {series!r} of snapshots: train it with a SnapshotRecorder",
                    INCOMPLETE if unfinished else NO_SNAPSHOTS,
                )
            try:
                if not path.resolve().is_relative_to(Path(folder).resolve()):
                    raise StoreError(f"series {series!r}: its folder is a link that leads out of the run's: remove it")
                index = read_index(path, series, self._digest(series))
                if not index.complete and not self.partial:
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

    def _digest(self, series: str) -> str | None:
        """The sha256 that the index of a series must have; None where the run does not say.

        While a run is recorded, a digest there is that of an earlier part of it.
        """
        digests = schema.digests_of(self.tags.get(schema.TAG_DIGEST))
        if not digests or self.tags.get(schema.TAG_SNAPSHOTS) == schema.SNAPSHOTS_RECORDING:
            return None
        if series not in digests:
            raise StoreError(
                f"series {series!r}: the run's tag {schema.TAG_DIGEST} does not name it: remove its folder"
            )
        return digests[series]


def _trajectory(record: RunRecord, series: str, index: SeriesIndex, snapshots: Snapshots) -> Trajectory:
    losses = index.loss_mean if any(value is not None for value in index.loss_mean) else index.loss
    chains = index.chains

    def by_chain(rows: AnyArray) -> AnyArray:
        """(draw · chain, …) as on disk, as (chain, draw, …)."""
        return np.moveaxis(rows.reshape(-1, chains, *rows.shape[1:]), 1, 0)

    return Trajectory(
        steps=np.asarray(index.steps[::chains], dtype=np.int64),
        weights=by_chain(_in_range(snapshots.weights)),
        shared=None if snapshots.shared is None else by_chain(snapshots.shared),
        loss=by_chain(_in_range(np.asarray(losses, dtype=float))),
        snapshot_loss=by_chain(_in_range(np.asarray(index.loss, dtype=float))),
        lr=record.lr,
        seed=record.seed,
        protocol=index.protocol,
        run_id=record.run_id,
        series=series,
        n_weights=index.d,
        layout=index.layout,
        units=schema.spheres_of(index.protocol, index.layout, index.d) if index.protocol == schema.SPHERES else (),
        params=record.params,
        metrics=record.metrics,
        attributes=index.attributes,
        sketch_error=index.sketch_error,
        digest="".join(chunk.sha256 for chunk in index.chunks),
    )


def _in_range(values: AnyArray) -> AnyArray:
    """The values, and infinity in the place of those whose squares no double holds."""
    if values.dtype == np.float64 and values.size and not -_LARGEST < values.min() <= values.max() < _LARGEST:
        return np.where(np.abs(values) < _LARGEST, values, np.where(np.isnan(values), np.nan, np.inf))
    return values


class DroppedFromCache(RunError):
    """The copy in the cache was damaged and has been removed."""


@dataclass(frozen=True)
class Other:
    """A run beside those of a study which has nothing of ours: another tool's."""

    run_id: str
    name: str


@dataclass(frozen=True, repr=False)
class StudyRuns(Sequence[RunRecord]):
    """The runs of a study and where they came from.

    A slice is a plain tuple: results of a part of the selection must not replace those of the whole.

    Attributes
    ----------
    records : the runs.
    origin : where they came from; `analysis.analyze` hands it on to the result.
    others : runs of other tools that the same selection holds.
    """

    records: tuple[RunRecord, ...]
    origin: Origin
    others: tuple[Other, ...] = ()

    @property
    def title(self) -> str:
        """Of a report on these runs."""
        return self.origin.title

    @property
    def scope(self) -> str:
        """What was selected, in one line; empty for a folder."""
        return self.origin.scope

    @property
    def experiment(self) -> str:
        """Name of their MLflow experiment; empty for a folder."""
        return self.origin.experiment

    @overload
    def __getitem__(self, index: int) -> RunRecord: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[RunRecord, ...]: ...
    def __getitem__(self, index: int | slice) -> RunRecord | tuple[RunRecord, ...]:
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"<{len(self)} {'run' if len(self) == 1 else 'runs'}, {self.title}>"
