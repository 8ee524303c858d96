"""How far a ladder is, on stderr: a bar in a terminal, else a line every few seconds."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack

import click

#: Seconds between two lines, and between two movements of the bar.
LINE_EVERY, BAR_EVERY = 10.0, 0.2


class Progress:
    """Shows the share of the gradients that are done, and the time left.

    Parameters
    ----------
    total : gradients of the whole ladder.
    label : first words of the bar and of each line.
    """

    def __init__(self, total: int, label: str) -> None:
        self._total, self._label = total, label
        self._done = self._shown = 0
        self._begin = self._last = time.monotonic()
        self._stack = ExitStack()
        self._bar = None
        if sys.stderr.isatty():
            bar = click.progressbar(length=total, label=label, file=sys.stderr, show_eta=True, show_percent=True)
            self._bar = self._stack.enter_context(bar)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, count: int) -> None:
        """Note that `count` more gradients are done."""
        self._done = min(self._total, self._done + count)
        now = time.monotonic()
        if now - self._last <= (LINE_EVERY if self._bar is None else BAR_EVERY) and self._done < self._total:
            return
        self._last = now
        if self._bar is not None:
            self._bar.update(self._done - self._shown)
        elif self._done > self._shown and self._done < self._total:
            left = (now - self._begin) / self._done * (self._total - self._done)
            click.echo(f"{self._label}: {self._done / self._total:.0%}, about {left:.0f} s left", err=True)
        self._shown = self._done
