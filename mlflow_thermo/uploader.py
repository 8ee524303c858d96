"""Snapshot series as artifacts of an MLflow run: every request that a recorder sends."""

from __future__ import annotations

import hashlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError, without_password
from mlflow_thermo.store import SeriesWriter

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)


class Uploader:
    """Sends the series of one recorder to its run.

    Parameters
    ----------
    client : MlflowClient
        Client of the tracking server.
    run_id : str
        Run that the snapshots belong to.
    keep_files : bool
        Whether the file of a chunk stays on this machine after its upload.
    """

    def __init__(self, client: MlflowClient, run_id: str, *, keep_files: bool) -> None:
        self._client = client
        self.run_id = run_id
        self._keep_files = keep_files
        #: Number of chunks on the server, by series.
        self._uploaded: Counter[str] = Counter()

    def require_no_snapshots(self) -> None:
        """Raise ThermoError if the run has snapshots: two recorders in one run would overwrite each other's files."""
        state = self._client.get_run(self.run_id).data.tags.get(schema.TAG_SNAPSHOTS)
        if state is not None:
            raise ThermoError(
                f"run {self.run_id} holds snapshots already ({schema.TAG_SNAPSHOTS}={state}): record into a run of "
                "its own, or give resume=True and the directory of the first recording"
            )

    def announce(self, lr: float | None) -> None:
        """Tag the run as being recorded, and log its learning rate."""
        from mlflow.entities import Metric, RunTag

        now = time.time_ns() // 1_000_000
        values = {} if lr is None else {schema.METRIC_LR: lr, schema.METRIC_LOG10_LR: float(np.log10(lr))}
        # A run that is resumed has them: a metric that is logged again is there twice.
        known = self._client.get_run(self.run_id).data.metrics
        values = {key: value for key, value in values.items() if key not in known}
        self._client.log_batch(
            self.run_id,
            metrics=[Metric(key, value, now, 0) for key, value in values.items()],
            tags=[RunTag(schema.TAG_SNAPSHOTS, schema.SNAPSHOTS_RECORDING)],
        )

    def upload(self, series: str, writer: SeriesWriter) -> bool:
        """Send the chunks that are not on the server yet, then the index that lists them.

        Returns
        -------
        bool
            Whether the server now has everything that is on disk. A failure is logged, not raised; the next call
            sends what is missing.
        """
        target = f"{schema.ARTIFACT_ROOT}/{series}"
        chunks = writer.index.chunks
        try:
            while self._uploaded[series] < len(chunks):
                path = writer.folder / chunks[self._uploaded[series]].file
                self._client.log_artifact(self.run_id, str(path), target)
                self._uploaded[series] += 1
                if not self._keep_files:
                    path.unlink()
            # Last: a reader sees only the chunks that the index lists.
            self._client.log_artifact(self.run_id, str(writer.index_path), target)
        except Exception as error:
            # A server that cannot be reached must not stop a training that runs for days: the chunk stays on disk and
            # is sent with the next one; the recorder's close() raises if it is still missing then.
            logger.warning(
                "run %s: upload of series %r failed, will retry: %s", self.run_id, target, without_password(error)
            )
            return False
        return True

    def incomplete(self, directory: Path) -> ThermoError:
        """The error for a server that does not have everything in `directory`."""
        return ThermoError(
            f"run {self.run_id}: the tracking server did not take all snapshots; they are safe in {directory}, upload "
            f"them with 'mlflow artifacts log-artifacts -r {self.run_id} -l {directory} -a {schema.ARTIFACT_ROOT}'"
        )

    def finish(self, writers: Iterable[SeriesWriter]) -> None:
        """Set the run's final tags, once the server has everything that is on disk."""
        complete = True
        digest = hashlib.sha256()
        for writer in writers:
            complete = complete and writer.index.complete
            digest.update(writer.index_path.read_bytes())
        # Two requests: the tag that marks the snapshots as complete has to be the last thing written.
        self._client.set_tag(self.run_id, schema.TAG_DIGEST, digest.hexdigest())
        tag = schema.SNAPSHOTS_COMPLETE if complete else schema.SNAPSHOTS_PARTIAL
        self._client.set_tag(self.run_id, schema.TAG_SNAPSHOTS, tag)


def find_uploader(run_id: str | None, *, required: bool, keep_files: bool) -> Uploader | None:
    """The uploader of the run to record into: that of `run_id`, or the active run.

    Returns
    -------
    Uploader or None
        None if there is no run and none is `required`.

    Raises
    ------
    ThermoError
        A run is `required` and there is none.
    """
    if run_id is None and not required and "mlflow" not in sys.modules:
        # No run can be active, and recording into a folder must work without MLflow installed.
        return None
    import mlflow

    if run_id is None:
        active = mlflow.active_run()
        run_id = active.info.run_id if active else None
    if run_id is None:
        if required:
            raise ThermoError(
                "SnapshotRecorder found no MLflow run: start one with mlflow.start_run(), or give a directory"
            )
        return None
    return Uploader(mlflow.MlflowClient(), run_id, keep_files=keep_files)
