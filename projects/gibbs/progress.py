"""How far a ladder is, by the gradients that it has computed."""

from __future__ import annotations

import time

from analysis.cli import Display, Report

#: Seconds between two words to the display.
EVERY = 0.2


class Progress:
    """Shows the share of the gradients that are done, and the time left.

    Parameters
    ----------
    total : gradients of the whole ladder.
    """

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._begin = self._last = time.monotonic()
        self._display = Display()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._display.__exit__()

    def add(self, count: int) -> None:
        """Note that `count` more gradients are done."""
        self._done = min(self._total, self._done + count)
        now = time.monotonic()
        if now - self._last > EVERY and self._done:
            self._last, spent = now, now - self._begin
            left = spent / self._done * (self._total - self._done)
            self._display.show(Report(self._done / self._total, spent, left))
