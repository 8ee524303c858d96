"""Tables of measurements: markdown to read, JSON to compare, both with the machine that made them."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def machine() -> str:
    """Processor, cores and memory, in words."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model n")]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {cores} cores, {memory:.0f} GiB"


def libraries(*names: str) -> str:
    """Python and the given distributions with their versions."""
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)])


@dataclass
class Table:
    """A table that is filled row by row.

    Attributes
    ----------
    name : of the study and of its files.
    title, intro : what is measured and how.
    columns : column headings.
    rows : lists of cells; numbers stay numbers in the JSON.
    packages : distributions whose versions matter.
    facts : further entries of the JSON.
    """

    name: str
    title: str
    intro: str
    columns: Sequence[str]
    packages: Sequence[str] = ("numpy", "scipy")
    rows: list[list[Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    _start: float = field(default_factory=time.perf_counter)

    def add(self, *cells: Any) -> None:
        """A row, which is shown at once."""
        self.rows.append(list(cells))
        print(" | ".join(shown(cell) for cell in cells), flush=True)

    def write(self, folder: Path = FOLDER) -> None:
        """Both files."""
        seconds = time.perf_counter() - self._start
        made = {"machine": machine(), "libraries": libraries(*self.packages), "seconds": round(seconds, 1)}
        head = f"# {self.title}\n\n{self.intro}\n\nWritten by `python -m benchmarks {self.name}` in {seconds:.0f} s: "
        head += f"{made['machine']}; {made['libraries']}.\n\n"
        lines = [self.columns, ["---"] * len(self.columns), *([shown(cell) for cell in row] for row in self.rows)]
        body = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        tail = "".join(f"\n{note}\n" for note in self.notes)
        (folder / f"{self.name}.md").write_text(head + body + tail, encoding="utf-8")
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        text = json.dumps({**made, **self.facts, "rows": rows, "notes": self.notes}, indent=1, ensure_ascii=False)
        (folder / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")


def shown(cell: Any) -> str:
    """A cell as text: three digits for a number."""
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)
