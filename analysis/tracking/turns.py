"""Several analyses at once: whose turn it is to publish."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from filelock import FileLock, Timeout

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
