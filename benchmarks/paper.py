"""The paper's programme at laptop scale: how long it takes, and what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.table import Table

ROOT = Path(__file__).parent.parent
#: Short trainings, to see that it runs.
QUICK = ("--steps", "200", "--seeds", "0", "--lrs", "1e-3:1e-1:4", "--toy", "1e-2:1:6")


def table_of(content: dict[str, Any]) -> Table:
    """The table of a claims.json."""
    table = Table(
        "paper",
        "The paper's claims at laptop scale",
        "`mlflow run . -e paper`: the default network in an under- and an over-parameterised version (small-digits), "
        "a ConvNet in both versions with three seeds each and smaller training sets (digits), and the sphere toy. "
        "Brackets are 95 % intervals. The time is that of the whole program, with training, analysis and report.",
        ("claim", "setting", "the paper says", "measured here", "verdict"),
        ("torch", "mlflow", "numpy", "scikit-learn", "statsmodels"),
    )
    for claim in content["claims"]:
        # A bar would end the cell.
        says, measured = (text.replace("|", "&#124;") for text in (claim["says"], claim["measured"]))
        table.add(claim["number"], claim["setting"], says, measured, claim["verdict"])
    table.notes += [f"- {row['what']}: {row['measured']} (exact: {row['exact']})" for row in content["toy"]]
    table.notes += [f"- missing: {hole}" for hole in content["holes"]]
    return table


def main(quick: bool) -> None:
    """Write paper.md and paper.json."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report"
        environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "PYTHONPATH": str(ROOT)}
        empty = table_of({"claims": [], "toy": [], "holes": []})
        command = [sys.executable, "-m", "projects.paper.run", "--experiment", "paper", "--out", str(out)]
        subprocess.run([*command, *(QUICK if quick else ())], cwd=folder, env=environment, check=True)
        table = table_of(json.loads((out / "claims.json").read_text(encoding="utf-8")))
        table._start = empty._start
        if not quick:
            table.write()
