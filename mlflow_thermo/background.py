"""The thread that writes and uploads while the training goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Background:
    """A thread that does one thing after the other; what goes wrong there is raised where the caller asks for it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="thermo-writer")
        self._pending: list[Future[object]] = []

    def submit(self, *work: Callable[[], object]) -> None:
        """Do `work` in its order, after all that was submitted before.

        Never raises: what was handed over would be lost in place of what failed before it.
        """
        self._pending += [self._pool.submit(one) for one in work]

    def wait(self) -> None:
        """Until everything submitted is done; raises what the first failure raised, and forgets the others."""
        for future in self._pending:
            future.exception()
        self.check()

    def stop(self) -> None:
        """Finish, without raising."""
        self._pool.shutdown(wait=True)

    def check(self) -> None:
        """Raise the first failure among what is done, without waiting."""
        done = [future for future in self._pending if future.done()]
        self._pending = [future for future in self._pending if not future.done()]
        for future in done:
            future.result()
