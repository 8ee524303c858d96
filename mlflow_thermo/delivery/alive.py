"""The sign of life on a run, by which one whose program was killed is told from one that goes on."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Seconds between two signs of life on the server, and without one until a program elsewhere counts as gone.
BEAT, SILENCE = 60.0, 1800.0


@dataclass(frozen=True)
class Sign:
    """Which process writes to a run, and when it last said so.

    Attributes
    ----------
    host : machine and process namespace, in which `pid` means something.
    pid, started : the process, and when it began in ticks of its machine; 0 where that is not known.
    at : seconds since 1970; 0 of a program that sends no signs.
    """

    host: str
    pid: int
    started: int
    at: int

    @classmethod
    def of_this_process(cls, *, beats: bool) -> Sign:
        """The sign of now; `beats` says whether others will follow."""
        pid = os.getpid()
        return cls(_here(), pid, _started(pid), int(time.time()) if beats else 0)

    @classmethod
    def read(cls, text: str) -> Sign | None:
        """A sign from the tag of a run; None for a text that is none."""
        with suppress(ValueError):
            host, *numbers = text.split(" ")
            return cls(host, *map(int, numbers)) if len(numbers) == 3 else None
        return None

    def __str__(self) -> str:
        return f"{self.host} {self.pid} {self.started} {self.at}"

    def gone(self, now: float) -> str:
        """Why the program must have ended, in words; empty where it may go on."""
        if self.host == _here():
            return "" if _runs(self.pid, self.started) else "its program on this machine has ended"
        if self.at and now - self.at > SILENCE:
            return f"its program on {self.host.split('/')[0]} has given no sign for {(now - self.at) / 60:.0f} minutes"
        return ""


def _here() -> str:
    name = socket.gethostname().replace(" ", "-")
    # Two containers may share the name of their machine, and count their processes each on its own.
    with suppress(OSError):
        return f"{name}/{os.readlink('/proc/self/ns/pid')}"
    return name


def _started(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        # The name of the program, in parentheses, may hold spaces.
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    return 0


def _runs(pid: int, started: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    # A number that another process has by now.
    return not started or _started(pid) == started
