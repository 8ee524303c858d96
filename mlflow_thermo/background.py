"""A thread that writes and uploads snapshots while the training continues."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Background:
    """One thread that does its work in order; what fails there is raised when the caller checks."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="thermo-writer")
        self._pending: list[Future[object]] = []

    def submit(self, *work: Callable[[], object]) -> None:
        """Queue `work`, to be done in this order after everything submitted before.

        Never raises: reporting an earlier failure here would lose the block that is being handed over now.
        """
        self._pending += [self._pool.submit(one) for one in work]

    def wait(self) -> None:
        """Wait until everything submitted is done, then raise the first failure and drop any others."""
        for future in self._pending:
            future.exception()
        self.check()

    def stop(self) -> None:
        """Finish what was submitted, without raising."""
        self._pool.shutdown(wait=True)

    def check(self) -> None:
        """Raise the first failure among the finished work, without waiting."""
        done = [future for future in self._pending if future.done()]
        self._pending = [future for future in self._pending if not future.done()]
        for future in done:
            future.result()
