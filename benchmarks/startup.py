"""What the installed package adds to `import mlflow`, and how long its command takes to answer."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import numpy as np

from benchmarks.table import Table


def plugin_seconds() -> tuple[float, float]:
    """Seconds of `import mlflow` in a fresh interpreter, and of those the ones inside the plugin's modules."""
    command = [sys.executable, "-X", "importtime", "-c", "import mlflow"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    own, whole = 0.0, 0.0
    for line in lines:
        found = re.match(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)", line)
        if found is None:
            continue
        if found[4].startswith("mlflow_thermo"):
            own += int(found[1]) * 1e-6
        if found[4] == "mlflow":
            whole = int(found[2]) * 1e-6
    return whole, own


def help_seconds() -> float:
    """Seconds of `mlflow-thermo --help` in a fresh interpreter."""
    start = time.perf_counter()
    program = "from analysis.cli import cli; cli(['--help'])"
    subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return time.perf_counter() - start


def main(quick: bool) -> None:
    """Write startup.md and startup.json."""
    rounds = 3 if quick else 15
    table = Table(
        "startup",
        "Time to start",
        f"Fresh interpreters, medians of {rounds}. The plugin's share is the time inside its own modules, which MLflow "
        "imports by their entry points.",
        ("what", "ms"),
        ("mlflow",),
    )
    plugin_seconds()
    pairs = np.array([plugin_seconds() for _ in range(rounds)])
    table.add("import mlflow", 1e3 * float(np.median(pairs[:, 0])))
    table.add("of that the plugin", 1e3 * float(np.median(pairs[:, 1])))
    table.add("mlflow-thermo --help", 1e3 * float(np.median([help_seconds() for _ in range(rounds)])))
    if not quick:
        table.write()
