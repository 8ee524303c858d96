"""The analysis on Gibbs states of networks, whose temperature is known: what `calibrate_network` writes, as a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from analysis.results import FloatArray
from benchmarks.table import Table

ROOT = Path(__file__).parent.parent
#: Presets with their entropies and what the network is.
LADDERS = {
    "smooth": ("gaussian-ml,edgeworth,kl", "tanh network with weight decay in flat space, D = 15"),
    "digits": ("gaussian-ml,edgeworth", "the default network, each unit on a sphere of its own, D = 80"),
}
#: Temperatures beyond those of the presets, up to where states leave their basin or fill the spheres.
BEYOND = {"smooth": "3e-4:2e-2:8", "digits": "6e-3:0.3:9"}
STUDIES, BEYOND_STUDIES = 40, 6


def add_rows(table: Table, preset: str, rows: list[dict[str, Any]]) -> None:
    """One line for each entropy and temperature, and a note with what holds over all."""
    what = LADDERS[preset][1]
    for name in dict.fromkeys(row["estimator"] for row in rows):
        own = [row for row in rows if row["estimator"] == name]
        for t in dict.fromkeys(row["temperature"] for row in own):
            at = [row for row in own if row["temperature"] == t]
            ratio = np.array([row["ratio"] for row in at], dtype=float)
            table.add(
                preset, name, f"{t:.3g}", round(float(np.median(ratio)), 3), round(float(np.nanmin(ratio)), 3),
                round(float(np.nanmax(ratio)), 3), round(_covered(at), 3), round(_median(at, "virial"), 3),
                round(_median(at, "change"), 3), round(float(np.mean([row["status"] == "ok" for row in at])), 3),
            )  # fmt: skip
        off = _errors(own)
        inner = [row for row in own if row["temperature"] not in (own[0]["temperature"], own[-1]["temperature"])]
        table.notes.append(
            f"- {preset}, {what}; {name}, {len({row['seed'] for row in own})} studies: |T̂/T − 1| median "
            f"{np.nanmedian(off):.1%}, worst {np.nanmax(off):.1%} (inside the ladder "
            f"{np.nanmax(_errors(inner)):.1%}); the 95 % interval covers "
            f"{_covered(own):.1%}; {np.mean([row['status'] == 'ok' for row in own]):.1%} are ok."
        )


def add_beyond(table: Table, preset: str, rows: list[dict[str, Any]]) -> None:
    """A note for each entropy: what is said of the temperatures beyond the ladder."""
    for name in dict.fromkeys(row["estimator"] for row in rows):
        own = [row for row in rows if row["estimator"] == name]
        ok = [row for row in own if row["status"] == "ok"]
        off = _errors(ok)
        others = [row["status"] for row in own if row["status"] != "ok"]
        wrong = sum(row["ratio"] is None or abs(row["ratio"] - 1) > 0.1 for row in own if row["status"] != "ok")
        why = ", ".join(f"{status} {others.count(status)}" for status in sorted(set(others)))
        table.notes.append(
            f"- {preset} at T = {BEYOND[preset]}; {name}, {len({row['seed'] for row in own})} studies: {len(ok)} of "
            f"{len(own)} are ok"
            + (
                f", |T̂/T − 1| of these median {np.median(off):.1%}, worst {np.max(off):.1%}, the interval covers "
                f"{_covered(ok):.1%}"
                if ok
                else ""
            )
            + f"; {wrong} of the {len(others)} others are off by more than 10 % ({why})."
        )


def _errors(rows: list[dict[str, Any]]) -> FloatArray:
    """|T̂/T − 1|; NaN where there is no temperature."""
    return np.abs(np.array([row["ratio"] for row in rows], dtype=float) - 1)


def _covered(rows: list[dict[str, Any]]) -> float:
    known = [row for row in rows if row["lower"] is not None and row["upper"] is not None]
    return float(np.mean([row["lower"] <= 1 <= row["upper"] for row in known])) if known else float("nan")


def _median(rows: list[dict[str, Any]], name: str) -> float:
    known = [row[name] for row in rows if row[name] is not None]
    return float(np.median(known)) if known else float("nan")


def main(quick: bool, folder: str | None = None) -> None:
    """Write network.md and network.json.

    Parameters
    ----------
    folder : with what `calibrate_network` has written; None samples anew, which takes an hour on one core.
    """
    table = Table(
        "network",
        "A temperature that is known inside a network",
        "Exact Gibbs states at set temperatures T, ladders of each network with seeds of their own, "
        "analysed as if T were not known. T̂/T of dU/dS over the studies: median, smallest, largest; how often the "
        "95 % interval holds T; the virial temperature over T, and the change of the entropy from the next lower T "
        "over ∫ dU/T, medians; the share of runs whose status is ok.",
        ("network", "entropy", "T", "T̂/T", "least", "most", "covered", "virial/T", "ΔS/∫dU/T", "ok"),
        ("torch", "numpy", "scikit-learn"),
    )
    with tempfile.TemporaryDirectory() as temporary:
        where = Path(folder or temporary)
        for preset, (entropies, _) in LADDERS.items():
            for out, temperatures, studies in (
                (where, "", STUDIES),
                (where / "beyond", BEYOND[preset], BEYOND_STUDIES),
            ):
                if folder is None:
                    command = [sys.executable, "-m", "projects.gibbs.calibrate", "--preset", preset, "--out", str(out)]
                    command += ["--studies", "2" if quick else str(studies), "--entropies", entropies]
                    command += ["--temperatures", temperatures]
                    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
                found = json.loads((out / f"{preset}.json").read_text())
                (add_beyond if temperatures else add_rows)(table, preset, found["rows"])
                if folder is not None:
                    table._start -= found["seconds"]
    if not quick:
        table.write()


if __name__ == "__main__":
    main(quick=False, folder=sys.argv[1] if len(sys.argv) > 1 else None)
