"""Every estimator on every system with a known temperature, at 1000 independent snapshots."""

from __future__ import annotations

import numpy as np

from analysis.testsystems import COLUMNS, calibrate, table_row
from benchmarks.table import Table

#: (dims, studies behind each row): medians over studies, since the error of one is a matter of luck.
PLAN = (((2, 10), 9), ((100,), 21), ((1000,), 5))


def main(quick: bool) -> None:
    """Write accuracy.md and accuracy.json."""
    table = Table(
        "accuracy",
        "Accuracy of every estimator",
        "What `mlflow-thermo calibrate` prints: errors of T at nine temperatures with 1000 independent snapshots each, "
        "medians over studies. `median error` is over the temperatures, `worst error` the largest of the nine, "
        "`inner` the largest without the two ends. One thread; s is the time of one entropy.",
        COLUMNS,
        ("numpy", "scipy", "scikit-learn"),
    )
    rng = np.random.default_rng(0)
    for dims, studies in PLAN:
        for row in calibrate(dims, 200 if quick else 1000, rng, studies=1 if quick else studies):
            table.add(*table_row(row))
    if not quick:
        table.write()
