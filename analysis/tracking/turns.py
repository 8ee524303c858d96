"""Several analyses at once: whose turn it is to publish, and whose report lies in a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from analysis.results import StudyResult
from analysis.tracking.download import cache_folder


@contextmanager
def in_turn(what: str) -> Iterator[bool]:
    """Let one analysis of this machine publish `what` at a time; whether this one had to wait.

    Two that go on at once would find the same run to put their reports on, or none and make one each.
    """
    with ExitStack() as held:
        waited = False
        # Where no lock can be had, as on a full disk, it goes without.
        with suppress(OSError):
            folder = cache_folder(None)
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / f"publish-{hashlib.sha256(what.encode('utf-8', 'replace')).hexdigest()[:16]}.lock")
            try:
                held.enter_context(lock.acquire(timeout=0))
            except Timeout:
                waited = True
                held.enter_context(lock.acquire())
        yield waited


def is_report_of(folder: Path, result: StudyResult) -> bool:
    """Whether the report in a folder is that of a result."""
    try:
        there: object = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(there == json.loads(json.dumps(result.to_dict())))
