"""How far a program is, as a bar or as lines on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from shutil import get_terminal_size
from typing import Any

import click

#: Seconds between two lines where there is no terminal.
LINE_EVERY = 10.0
#: Seconds before a bar for what may be over at once.
PATIENCE = 2.0
#: Share of the work from which on the time for the rest is told.
_ENOUGH = 0.1


@dataclass(frozen=True)
class Report:
    """Where a program stands.

    Attributes
    ----------
    fraction : share of its work that is done, by what is planned now.
    spent : seconds since it began.
    left : seconds that it will still take; None while nobody can tell within a factor of two.
    doing : what it is at, in a few words.
    """

    fraction: float
    spent: float
    left: float | None
    doing: str = ""


def in_words(seconds: float) -> str:
    """A time in the units in which one thinks of it."""
    if seconds < 600:
        return f"{round(seconds, 0 if seconds < 99.5 else -1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class Display:
    """A bar on stderr where that is a terminal, else a line every ten seconds.

    Parameters
    ----------
    patience : seconds before the first word; by default a bar is there at once.
    """

    def __init__(self, patience: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._draws = clock, sys.stderr.isatty()
        default = 0.0 if self._draws else LINE_EVERY
        self._next = clock() + (default if patience is None else patience)
        self._share = 0.0
        self._bar: Any = None

    def show(self, report: Report) -> None:
        """Show how far the program is and how long it will still take, if that is known."""
        if (now := self._clock()) < self._next:
            return
        if report.left is None:
            share, words = report.fraction, "too early to tell how long"
        else:
            # The share of the time, which an estimate that grows must not move back.
            self._share = max(self._share, report.spent / max(report.spent + report.left, 1e-9))
            share, words = self._share, f"about {in_words(report.left)} left"
        if report.doing:
            words = f"{report.doing}, {words}"
        if self._draws and self._bar is None:
            self._bar = _new_bar()
            self._draws = self._bar is not None
        if self._bar is None:
            self._next = now + LINE_EVERY
            click.echo(f"{share:.0%} done, {words}", err=True)
        else:
            self._bar.n = share
            self._bar.set_description_str(words)

    def write(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            click.echo(line, err=True)
        else:
            self._bar.write(line, file=sys.stderr)

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _new_bar() -> Any:
    try:
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ImportError:
        # For want of a bar no training fails: it has lines instead.
        return None
    form = "{percentage:3.0f}%|{bar}| {desc}"
    # By itself it shows nothing on a terminal that does not know its size, as in a container.
    columns, rows = get_terminal_size()
    return tqdm(total=1.0, file=sys.stderr, bar_format=form, leave=False, ncols=columns, nrows=rows)


@contextmanager
def steady_progress() -> Iterator[Callable[[float, str], None]]:
    """A display of work whose shares take about as long as each other: it is told the share that is done, and of what.

    Examples
    --------
    >>> with steady_progress() as tell:
    ...     tell(0.5, "reading runs")
    """
    begin = time.monotonic()
    with Display(PATIENCE if sys.stderr.isatty() else None) as display:

        def tell(fraction: float, doing: str) -> None:
            spent = time.monotonic() - begin
            left = spent * (1 - fraction) / fraction if fraction >= _ENOUGH else None
            display.show(Report(fraction, spent, left, doing))

        yield tell
