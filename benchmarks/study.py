"""The study that a new user sees: how long its commands take, what they give, and whether a repetition agrees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

from benchmarks.table import Table

ROOT = Path(__file__).parent.parent
#: Repetitions: other batches from the same initial point, and another initial point with other batches.
REPEATS = {"other batches": {"seeds": "1"}, "other initial point": {"seeds": "2", "init_seed": "1"}}
#: Further studies, with batches and initial points of their own: how often the analysis alarms where nothing is wrong.
FURTHER = {f"study {i}": {"seeds": str(i), "init_seed": str(i - 1)} for i in range(3, 10)}


def mlflow_run(environment: dict[str, str], *options: str) -> float:
    """Run an entry point of the project as a user does; returns its seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "mlflow", "run", str(ROOT), *options]
    subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return time.perf_counter() - start


def study(environment: dict[str, str], folder: Path, name: str, options: dict[str, str]) -> tuple[list[Any], float]:
    """Sweep and analyse in an experiment of its own; the runs of result.json, and the seconds of both commands."""
    given = [part for key, value in options.items() for part in ("-P", f"{key}={value}")]
    out = folder / name.replace(" ", "-")
    here = ["--experiment-name", name]
    seconds = mlflow_run(environment, "-e", "sweep", *here, *given)
    seconds += mlflow_run(environment, "-e", "analyze", *here, "-P", f"experiment={name}", "-P", f"out={out}")
    return json.loads((out / "result.json").read_text())["runs"], seconds


def agree(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two temperatures differ by less than their 95 % intervals together allow."""
    halves = [(run["temperature_upper"] - run["temperature_lower"]) / 2 for run in (first, second)]
    return bool(abs(first["temperature"] - second["temperature"]) < np.hypot(*halves))


def main(quick: bool) -> None:
    """Write study.md and study.json."""
    table = Table(
        "study",
        "The default study",
        "What the README's commands give: nine learning rates of the preset `digits`, 16 chains each, which go on "
        "until they have 4000 independent snapshots. Brackets are 95 % intervals, temperatures in units of 1e-4 loss "
        "per nat. The last columns are repetitions of the whole study.",
        ("lr", "U", "S", "n_eff", "T = dU/dS", "virial", "noise", "paper / T", "FD ratio", "status", *REPEATS),
        ("torch", "mlflow", "numpy"),
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "OMP_NUM_THREADS": "1"}
        single = mlflow_run(environment, "-P", "lr=0.1")
        runs, seconds = study(environment, folder, "study", {})
        others = {} if quick else {name: study(environment, folder, name, given) for name, given in REPEATS.items()}
        further = {} if quick else {name: study(environment, folder, name, given) for name, given in FURTHER.items()}
    table.facts["seconds"] = {"main": single, "study": seconds}
    for i, run in enumerate(runs):
        table.add(
            f"{run['lr']:.4g}", f"{run['loss']:.4f}", f"{run['entropy']:.1f} ± {run['entropy_stderr']:.1f}",
            round(run["n_eff"]), _interval(run, "temperature"), _interval(run, "virial_temperature"),
            _interval(run, "noise_temperature"), _two_digits(run["paper_ratio"]),
            f"{run['fluctuation_ratio']:.3f}", run["status"],
            *(_interval(others[name][0][i], "temperature") if name in others else "" for name in REPEATS),
        )  # fmt: skip
    table.notes.append(f"- `mlflow run . -P lr=0.1`: {single:.0f} s; sweep and analyze together: {seconds:.0f} s.")
    for name, (found, _) in others.items():
        same = [agree(a, b) for a, b in zip(runs, found, strict=True)]
        ok = sum(run["status"] == "ok" for run in found)
        table.notes.append(
            f"- {name}: T agrees within the intervals at {sum(same)} of {len(same)} learning rates; {ok} of "
            f"{len(found)} are ok."
        )
    studies = [runs, *(found for found, _ in (others | further).values())]
    everything = [run for found in studies for run in found]
    # A run whose neighbour in lr is suspect is not ok either: its temperature rests on both.
    own = [run for run in everything if not run["note"].startswith("T rests on the state at")]
    said = Counter(run["status"] for run in own if run["status"] != "ok")
    ok = sum(run["status"] == "ok" for run in everything)
    table.notes.append(
        f"- {len(studies)} studies, {len(everything)} runs: {sum(said.values())} have an alarm of their own "
        f"({', '.join(f'{n} {status}' for status, n in said.items()) or 'none'}), {ok} are ok with all that their "
        "temperatures rest on."
    )
    ratios = np.array([[run["paper_ratio"] for run in found] for found in studies], dtype=float)
    # Its method gives the ends of a curve no temperature.
    ratios = ratios[:, np.isfinite(ratios).all(axis=0)]
    if len(studies) > 1 and ratios.size:
        level = np.exp(np.log(ratios).mean(axis=1))
        reach = t.isf(0.025, len(level) - 1) * level.std(ddof=1) / len(level) ** 0.5
        table.notes.append(
            f"- The paper's estimate, from consecutive iterates, over dU/dS of the same states: {level.mean():.2f} "
            f"[{level.mean() - reach:.2f}, {level.mean() + reach:.2f}] (geometric mean over the learning rates, 95 % "
            f"interval from {len(level)} studies); between learning rates it goes from {np.nanmin(ratios):.2f} to "
            f"{np.nanmax(ratios):.2f}. On a quadratic it is one half."
        )
    if not quick:
        table.write()


def _two_digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _interval(run: dict[str, Any], name: str) -> str:
    value, low, high = (run[key] for key in (name, f"{name}_lower", f"{name}_upper"))
    if value is None:
        return "-"
    return f"{1e4 * value:.3g} [{1e4 * low:.3g}, {1e4 * high:.3g}]"


if __name__ == "__main__":
    main(quick=False)
