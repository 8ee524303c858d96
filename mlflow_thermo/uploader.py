"""Snapshot series as artifacts of an MLflow run: every request that a recorder sends."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import numpy as np

from mlflow_thermo import schema
from mlflow_thermo.delivery import Outbox, Sign, waiting_outbox
from mlflow_thermo.errors import ThermoError, without_password
from mlflow_thermo.failures import Failures
from mlflow_thermo.store import SeriesWriter, sha256_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

#: Seconds that a recording waits at its end for a server that takes nothing, and that nobody minds.
WAIT, _LONG = 60.0, 3.0


class Undelivered(ThermoError):
    """All is recorded, and some of it waits on this machine for a server that did not take it in time."""


class Uploader:
    """Brings the series of one recorder to its run.

    Parameters
    ----------
    client : MlflowClient
        Client of the tracking server.
    run_id : str
        Run that the snapshots belong to.
    folder : Path
        Folder of the series.
    keep_files : bool
        Whether the file of a chunk stays on this machine after its upload.
    resume : bool
        Whether the recording goes on from an earlier one.
    """

    def __init__(self, client: MlflowClient, run_id: str, folder: Path, *, keep_files: bool, resume: bool) -> None:
        self._client = client
        self.run_id = run_id
        self._folder, self._keep_files, self._resume = folder, keep_files, resume
        #: Numbers of chunks and of parts in the outbox, or delivered. By writer: a series that was cut has a new one.
        self._handed_over: dict[SeriesWriter, tuple[int, int]] = {}
        self.outbox = Outbox(client, run_id, folder, resume=resume)

    def announce(self, lr: float | None) -> None:
        """Tag the run as being recorded, and log its learning rate."""
        from mlflow.entities import Metric, RunTag

        now = time.time_ns() // 1_000_000
        values = {} if lr is None else {schema.METRIC_LR: lr, schema.METRIC_LOG10_LR: float(np.log10(lr))}
        # A run that is resumed has them: a metric that is logged again is there twice.
        known = self._client.get_run(self.run_id).data.metrics if self._resume else {}
        values = {key: value for key, value in values.items() if key not in known}
        self._client.log_batch(
            self.run_id,
            metrics=[Metric(key, value, now, 0) for key, value in values.items()],
            tags=[
                RunTag(schema.TAG_SNAPSHOTS, schema.SNAPSHOTS_RECORDING),
                RunTag(schema.TAG_ALIVE, str(Sign.of_this_process(beats=True))),
            ],
        )

    def upload(self, writer: SeriesWriter) -> None:
        """Hand over chunks and parts that were not yet, then the index that lists them: they are sent in this order."""
        target = f"{schema.ARTIFACT_ROOT}/{writer.facts.series}"
        n_chunks, n_parts = self._handed_over.get(writer, (0, 0))
        for chunk in writer.chunks(n_chunks):
            self.outbox.file(writer.folder / chunk.file, target, chunk.sha256, delete=not self._keep_files)
            n_chunks += 1
        for part in writer.facts.parts[n_parts:]:
            # They stay, as without them nobody could read the index that is there.
            self.outbox.file(writer.folder / part.file, target, part.sha256, delete=False)
            n_parts += 1
        self._handed_over[writer] = n_chunks, n_parts
        # Last: a reader sees only the chunks that the index lists.
        self.outbox.version(writer.index_path, target)

    def finish(self, writers: Iterable[SeriesWriter]) -> None:
        """Hand over what is left of the series, and after it the run's final tags."""
        failures, complete = Failures(), True
        digests: dict[str, str] = {}
        for writer in writers:
            failures.attempt(self.upload, writer)
            complete = complete and writer.facts.complete
            # An index that could not be written is the error that was just kept.
            with suppress(OSError):
                digests[writer.facts.series] = sha256_of(writer.index_path)
        tag = schema.SNAPSHOTS_COMPLETE if complete else schema.SNAPSHOTS_PARTIAL
        self.outbox.tags({schema.TAG_DIGEST: json.dumps(digests)})
        # On its own, and last: it marks the snapshots as complete, whatever the server thinks of the digests.
        self.outbox.tags({schema.TAG_SNAPSHOTS: tag})
        failures.raise_first()

    def await_delivery(self, seconds: float, since: float | None = None) -> None:
        """Wait until the server has everything, and close the outbox.

        Parameters
        ----------
        seconds, since : float
            As of `Outbox.wait`.

        Raises
        ------
        Undelivered
            It took nothing for so many seconds, or not all for longer; the message says where the rest is and how to
            deliver it.
        ThermoError
            The server will never take it: the run was deleted.
        """
        outbox = self.outbox
        if outbox.trouble and seconds >= _LONG:
            # Nobody knows otherwise what the program is waiting for.
            logger.warning(
                "run %s: waiting for the tracking server, until it has taken nothing for %.0f s", self.run_id, seconds
            )
        if outbox.wait(seconds, since):
            outbox.close()
            return
        if outbox.refused:
            outbox.close()
            raise ThermoError(f"{outbox.refused}; what was recorded is safe in {self._folder}")
        server = without_password(self._client.tracking_uri)
        why = f" ({outbox.trouble})" if outbox.trouble else ""
        lost = min(outbox.journal.in_memory, len(outbox.journal))
        safe = f"what is missing is safe in {self._folder}"
        if lost:
            safe = f"{lost} of its last entries fitted on no disk, what else is missing is safe in {self._folder}"
        raise Undelivered(
            f"run {self.run_id}: the tracking server has not taken everything{why}; {safe}, deliver it with "
            f"'mlflow-thermo deliver {quote(str(self._folder))} --tracking-uri {quote(server)}'"
        )


def open_uploader(run_id: str | None, folder: Path, *, keep_files: bool, fresh: bool) -> Uploader | None:
    """The uploader of the run to record into; None without a run.

    Raises
    ------
    ThermoError
        The recording is a `fresh` one, and the run has snapshots: two recorders in one run would overwrite each other's
        files.
    """
    if run_id is None:
        return None
    from mlflow import MlflowClient

    client = MlflowClient()
    state = client.get_run(run_id).data.tags.get(schema.TAG_SNAPSHOTS) if fresh else None
    if state is not None:
        raise ThermoError(
            f"run {run_id} holds snapshots already ({schema.TAG_SNAPSHOTS}={state}): record into a run of its own, or "
            "give resume=True and the directory of the first recording"
        )
    # One that was left open here, as after an error, gives up its place.
    if (left := waiting_outbox(run_id)) is not None:
        left.close()
    return Uploader(client, run_id, folder, keep_files=keep_files, resume=not fresh)


def find_run(run_id: str | None, *, required: bool) -> str | None:
    """The run to record into: `run_id`, or the active run; None if there is none and none is `required`.

    Raises
    ------
    ThermoError
        A run is `required` and there is none.
    """
    if run_id is not None:
        return run_id
    if not required and "mlflow" not in sys.modules:
        # No run can be active, and recording into a folder must work without MLflow installed.
        return None
    import mlflow

    active = mlflow.active_run()
    if active is None and required:
        raise ThermoError(
            "SnapshotRecorder found no MLflow run: start one with mlflow.start_run(), or give a directory"
        )
    return active.info.run_id if active else None
