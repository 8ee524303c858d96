"""The snapshots of a tracked run on this machine: in place, from the cache of downloads, or downloaded once."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from analysis.results import CORRUPT, OUT_OF_REACH
from analysis.tracking.errors import server_errors
from analysis.tracking.folder import files_on_disk, in_place
from analysis.tracking.records import DroppedFromCache
from analysis.trajectory import RunError
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError, first_line, without_password
from mlflow_thermo.store import read_index

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_AGAIN = "bring them back from a copy, or train it again"
#: Runs of more series are downloaded every time: they have too many orders to check a copy.
_MOST_SERIES = 6


def cache_folder(cache: str | Path | None) -> Path:
    """Where downloads and reports are kept: as given, MLFLOW_THERMO_CACHE, or the user's cache folder."""
    if cache is not None:
        return Path(cache)
    named = os.environ.get("MLFLOW_THERMO_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlflow-thermo"


@server_errors()
def fingerprint(client: MlflowClient, run: Run) -> object:
    """Identifies the content of the run's snapshots: by their files if on this machine, else by the run's digest.

    None for a run that has not ended. One that ended without a digest was cut off: the list of its files stands in.
    """
    local = _local_folder(run)
    if local is not None:
        return files_on_disk(local)
    if run.info.status not in schema.ENDED:
        return None
    digest = run.data.tags.get(schema.TAG_DIGEST)
    if digest:
        return digest
    series = client.list_artifacts(run.info.run_id, schema.ARTIFACT_ROOT)
    files = [file for one in series if one.is_dir for file in client.list_artifacts(run.info.run_id, one.path)]
    return sorted((file.path, file.file_size) for file in files)


def _local_folder(run: Run) -> Path | None:
    """The run's snapshot folder where its artifacts are files, as MLflow's own client finds it.

    In a path `%20` may be a space, and `#` and `?` are letters like others.
    """
    uri = run.info.artifact_uri
    scheme = urlparse(uri).scheme
    # One letter is the drive of a machine with Windows.
    if scheme not in ("", "file") and len(scheme) > 1:
        return None
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    return Path(LocalArtifactRepository(uri).artifact_dir) / schema.ARTIFACT_ROOT


def _holds_snapshots(run: Run) -> bool:
    """Whether the run says that all of its snapshots are among its artifacts."""
    tags = run.data.tags
    return bool(tags.get(schema.TAG_DIGEST)) or tags.get(schema.TAG_SNAPSHOTS) == schema.SNAPSHOTS_COMPLETE


def _require_here(run: Run, folder: Path) -> None:
    """RunError where the snapshots of the run are not on the disk of this machine on which they should be."""
    if not _holds_snapshots(run):
        return
    try:
        folder.lstat()
        return
    except PermissionError:
        # What may not be looked at may be there: its reader says so.
        return
    except OSError:
        pass
    if folder.parent.exists():
        raise RunError(f"run {run.info.run_id}: its snapshots were removed from {folder}: {_AGAIN}", OUT_OF_REACH)
    raise RunError(
        f"run {run.info.run_id}: its snapshots are in {folder}, which this machine does not have: they lie on the disk "
        "of the machine that trained it, or were moved. Analyse them there, move them back, or let the server keep "
        "artifacts (mlflow server --artifacts-destination)",
        OUT_OF_REACH,
    )


@contextmanager
def artifacts(client: MlflowClient, run: Run, cache: Path) -> Iterator[Path]:
    """The run's snapshot folder on this machine: in place, from the cache, or downloaded once."""
    local = _local_folder(run)
    if local is not None:
        _require_here(run, local)
        with in_place(local):
            yield local
        return
    digest = run.data.tags.get(schema.TAG_DIGEST, "")
    kept = _place(digest, cache)
    if kept is not None and _is_of(kept, digest):
        with _dropped_if_damaged(kept, DroppedFromCache):
            yield kept / schema.ARTIFACT_ROOT
        return
    temporary = _new_folder(cache)
    try:
        _download(client, run, temporary)
        if kept is not None and _is_of(temporary, digest) and _intact(temporary) and _moved(temporary, kept, digest):
            with _dropped_if_damaged(kept, RunError):
                yield kept / schema.ARTIFACT_ROOT
        else:
            yield temporary / schema.ARTIFACT_ROOT
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _place(digest: str | None, cache: Path) -> Path | None:
    """Where the cache keeps the snapshots of this digest; None where it is of no known form.

    The digest is a text from a server: as a path it could lead out of the cache, where damaged copies are removed.
    """
    if schema.digests_of(digest):
        return cache / hashlib.sha256(str(digest).encode("utf-8", "surrogatepass")).hexdigest()
    return cache / str(digest) if re.fullmatch("[0-9a-f]{64}", digest or "") else None


def _new_folder(cache: Path) -> Path:
    """A new folder for a download, in the cache, or where that cannot be written among the temporary files."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="download-", dir=cache))
    except OSError:
        return Path(tempfile.mkdtemp(prefix="thermo-download-"))


def _moved(folder: Path, kept: Path, digest: str) -> bool:
    """Whether a checked download is now the entry `kept` of the cache, in place of one that fails its check."""
    if not _is_of(kept, digest):
        _remove(kept)
    # Where another analysis was faster, its entry stays.
    with suppress(OSError):
        os.replace(folder, kept)
        return True
    return False


def _remove(kept: Path) -> None:
    if kept.is_dir():
        shutil.rmtree(kept, ignore_errors=True)
    else:
        with suppress(OSError):
            kept.unlink()


def _is_of(folder: Path, digest: str) -> bool:
    """Whether the indexes in `folder` are those that the run's digest was made of, none changed, missing or added.

    That of an earlier release is over the indexes in the order in which they were recorded, which files do not tell:
    all orders are tried, beginning with that of the default series.
    """
    try:
        names = [path.name for path in (folder / schema.ARTIFACT_ROOT).iterdir() if path.is_dir()]
        contents = [(folder / schema.ARTIFACT_ROOT / name / schema.INDEX_NAME).read_bytes() for name in _usual(names)]
    except OSError:
        return False
    if each := schema.digests_of(digest):
        found = {name: hashlib.sha256(text).hexdigest() for name, text in zip(_usual(names), contents, strict=True)}
        return found == each
    return 0 < len(contents) <= _MOST_SERIES and _some_order(contents, hashlib.sha256(), digest)


def _usual(names: list[str]) -> list[str]:
    first = (schema.SPACED, schema.CONSECUTIVE, schema.BURSTS)
    return [*(name for name in first if name in names), *sorted(set(names) - set(first))]


def _some_order(contents: list[bytes], before: hashlib._Hash, digest: str) -> bool:
    if not contents:
        return before.hexdigest() == digest
    for i, content in enumerate(contents):
        after = before.copy()
        after.update(content)
        if _some_order([*contents[:i], *contents[i + 1 :]], after, digest):
            return True
    return False


@contextmanager
def _dropped_if_damaged(kept: Path, kind: type[RunError]) -> Iterator[None]:
    """Remove a copy in which a reader finds a damaged chunk from the cache, and raise that error as `kind`."""
    try:
        yield
    except RunError as error:
        if error.status != CORRUPT:
            raise
        _remove(kept)
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


@server_errors()
def _download(client: MlflowClient, run: Run, target: Path) -> None:
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException
    from mlflow.utils.uri import append_to_uri_path

    run_id = run.info.run_id
    try:
        # By the URI, which is known from the search: given the run's id, MLflow would ask for it again, twice.
        uri = str(append_to_uri_path(run.info.artifact_uri, schema.ARTIFACT_ROOT))  # type: ignore[no-untyped-call]
        download_artifacts(artifact_uri=uri, dst_path=str(target), tracking_uri=client.tracking_uri)
    except (MlflowException, OSError) as error:
        if client.list_artifacts(run_id, schema.ARTIFACT_ROOT):
            raise RunError(
                f"run {run_id}: its snapshots could not be downloaded: {first_line(error)}", OUT_OF_REACH
            ) from error
    if _holds_snapshots(run) and not any((target / schema.ARTIFACT_ROOT).glob("*")):
        where = without_password(run.info.artifact_uri)
        raise RunError(f"run {run_id}: its snapshots were removed from {where}: {_AGAIN}", OUT_OF_REACH)
