"""The requests to the tracking server that deliver the entries of a journal."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_thermo.delivery.journal import DELETE, END, FILE, INPUTS, JOURNAL, METRICS, REPLACED, TAGS, Entry, Journal
from mlflow_thermo.errors import ThermoError, first_line
from mlflow_thermo.store import StoreError, real_file, sha256_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

logger = logging.getLogger(__name__)

#: Requests carry at most so many metrics and tags together, and so many tags (MLflow's limits for log_batch).
MAX_METRICS, MAX_TAGS = 1000, 100
#: Answers of a server that may be other ones a minute later, although their numbers blame the request.
_PASSING = {401, 403, 407, 408, 425, 429}


class Refused(ThermoError):
    """The server will never take what it was sent."""


def send(client: MlflowClient, run_id: str, folder: Path, journal: Journal) -> None:
    """Send the oldest entries of the journal that fit into one request, and note that they are delivered.

    Raises
    ------
    Refused
        The run does not exist any more, or a file is gone.
    Exception
        Whatever MLflow raises where the server did not take them this time.
    """
    from mlflow.exceptions import MlflowException

    entries = _together(journal.peek(MAX_METRICS))
    if not entries:
        return
    for again in (True, False):
        try:
            _request(client, run_id, folder, entries)
            break
        except MlflowException as error:
            if not _blames_the_request(error):
                raise
            _require_run(client, run_id, error)
            if again:
                # Runs that begin together log the same data set, which MLflow looks for and then adds: it blames the
                # requests of all but one. And if one entry is at fault, those that went with it must not be lost.
                entries = entries[:1]
                continue
            # One name that the server does not like must not hold up all that comes after it.
            logger.warning("run %s: the server refuses %s: %s", run_id, _named(entries[0]), first_line(error))
    journal.delivered(entries)


def _together(entries: list[Entry]) -> list[Entry]:
    """The first entry; of metrics and tags also those that follow at once and go into the same request.

    MLflow writes the metrics of a request before its tags: no tag is there before what came before it.
    """
    taken: list[Entry] = []
    size = tags = 0
    for entry in entries:
        size += len(entry.body)
        tags += len(entry.body) if entry.kind == TAGS else 0
        if entry.kind not in (METRICS, TAGS) or (taken and (size > MAX_METRICS or tags > MAX_TAGS)):
            break
        taken.append(entry)
    return taken or entries[:1]


def _request(client: MlflowClient, run_id: str, folder: Path, entries: list[Entry]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, RunTag

    kind, body = entries[0].kind, entries[0].body
    if kind in (METRICS, TAGS):
        rows = [Metric(*row) for entry in entries if entry.kind == METRICS for row in entry.body]
        tags = [RunTag(*tag) for entry in entries if entry.kind == TAGS for tag in entry.body.items()]
        while len(rows) > MAX_METRICS:
            client.log_batch(run_id, metrics=rows[:MAX_METRICS])
            rows = rows[MAX_METRICS:]
        client.log_batch(run_id, metrics=rows, tags=tags)
    elif kind == INPUTS:
        inputs = [DatasetInput(Dataset(**fields), [InputTag(*tag) for tag in tags.items()]) for fields, tags in body]
        client.log_inputs(run_id, datasets=inputs)
    elif kind == END:
        client.set_terminated(run_id, *body)
    else:
        assert kind == FILE
        _send_file(client, run_id, folder, body)


def _send_file(client: MlflowClient, run_id: str, folder: Path, body: Any) -> None:
    name, target, digest, then = body
    path = folder / name
    try:
        real_file(path, str(path))
    except FileNotFoundError:
        raise Refused(f"run {run_id}: {path} is gone: what comes after it cannot be delivered") from None
    except StoreError as error:
        raise Refused(f"run {run_id}: {error}") from error
    if then != REPLACED:
        client.log_artifact(run_id, str(path), target)
        if then == DELETE:
            # It stays where its disk has become read-only.
            with suppress(OSError):
                path.unlink()
        return
    # A copy, because the file may be replaced while it is sent. Where it has been already, another version waits.
    with _copied(path, folder / JOURNAL) as copy:
        if sha256_of(copy) == digest:
            client.log_artifact(run_id, str(copy), target)


@contextmanager
def _copied(path: Path, folder: Path) -> Iterator[Path]:
    """A copy of a file in the folder of the journal, or among the temporary files where that disk takes no more."""
    copy, place = path, None
    for parent in (folder, None):
        try:
            place = tempfile.mkdtemp(prefix="version-", dir=parent)
            copy = Path(shutil.copyfile(path, Path(place) / path.name))
            break
        except OSError:
            if place is not None:
                shutil.rmtree(place, ignore_errors=True)
            if parent is None:
                raise
    try:
        yield copy
    finally:
        shutil.rmtree(copy.parent, ignore_errors=True)


def _blames_the_request(error: MlflowException) -> bool:
    code = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
    return 400 <= code < 500 and code not in _PASSING


def _require_run(client: MlflowClient, run_id: str, error: MlflowException) -> None:
    from mlflow.exceptions import MlflowException

    try:
        stage = client.get_run(run_id).info.lifecycle_stage
    except MlflowException as second:
        if second.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise Refused(f"run {run_id} does not exist on this server: {first_line(second)}") from error
    if stage == "deleted":
        raise Refused(f"run {run_id} is deleted: restore it with `mlflow runs restore --run-id {run_id}`") from error


def _named(entry: Entry) -> str:
    if entry.kind == METRICS:
        return "metrics " + ", ".join(sorted({row[0] for row in entry.body}))
    if entry.kind == INPUTS:
        return "data sets " + ", ".join(sorted({fields["name"] for fields, _ in entry.body}))
    return f"{entry.kind} {', '.join(entry.body) if entry.kind == TAGS else entry.body[0]}"
