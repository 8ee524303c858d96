"""What installing the plugin adds to `import mlflow`, and how soon the command answers."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np

from benchmarks.table import Table

PLUGIN = """
import sys, time
start = time.perf_counter()
import mlflow_thermo.plugin
print(time.perf_counter() - start)
"""


def main(quick: bool) -> None:
    """Write startup.md and startup.json."""
    rounds = 3 if quick else 15
    table = Table(
        "startup",
        "Time to start",
        f"Medians of {rounds} fresh processes. The first row is what MLflow does with the plugin's entry point: import "
        "its module.",
        ("what", "ms"),
        ("mlflow",),
    )
    imports = [float(output(sys.executable, "-c", PLUGIN)) for _ in range(rounds)]
    table.add("import of the plugin inside `import mlflow`", 1e3 * float(np.median(imports)))
    for name, command in {
        "import mlflow": (sys.executable, "-c", "import mlflow"),
        "mlflow-thermo --help": (sys.executable, "-m", "analysis.cli", "--help"),
        "mlflow-thermo analyze --help": (sys.executable, "-m", "analysis.cli", "analyze", "--help"),
    }.items():
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            output(*command)
            seconds.append(time.perf_counter() - start)
        table.add(name, 1e3 * float(np.median(seconds)))
    if not quick:
        table.write()


def output(*command: str) -> str:
    """What a process prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
