"""What is left of trainings that are killed at random moments and resumed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient

from benchmarks.table import Table
from mlflow_thermo import schema
from mlflow_thermo.store import read_index, read_snapshots

#: Of each kind of training.
KILLS = 25
#: What is trained: a run with chains, and as many a sweep has.
OPTIONS = {"steps": 4000, "chains": 4, "noise_batches": 10, "log_points": 12, "full_gradients": 100}
OPTIONS |= {"checkpoint_every": 0.3}
LRS = "0.05,0.1,0.2"
#: Kills of one training before it may end, and seconds of a process before it is killed.
KILLS_EACH, LIVES = 9, (3.0, 10.0)
RUN, SWEEP = "projects.fixed_lr.train", "projects.fixed_lr.sweep"


@dataclass(frozen=True)
class Content:
    """All that a run leaves on the server: points of its metrics, snapshots of its series, tags of its end."""

    metrics: dict[str, list[tuple[int, float]]]
    series: dict[str, dict[str, Any]]
    ended: dict[str, str | None]


def content_of(client: MlflowClient, run_id: str) -> Content:
    """What a run has."""
    run = client.get_run(run_id)
    metrics = {
        name: sorted((point.step, point.value) for point in client.get_metric_history(run_id, name))
        for name in run.data.metrics
    }
    series = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(client.download_artifacts(run_id, schema.ARTIFACT_ROOT, folder))
        for one in sorted(path for path in root.iterdir() if path.is_dir()):
            index = read_index(one)
            snapshots = read_snapshots(one, index)
            facts = ("steps", "loss", "loss_mean", "complete", "attributes", "storage", "sketch_error")
            series[one.name] = {
                **{name: getattr(index, name) for name in facts},
                "weights": snapshots.weights,
                "shared": snapshots.shared,
            }
    tags = (schema.TAG_REGIME, schema.TAG_SNAPSHOTS, schema.TAG_STATUS)
    return Content(metrics, series, {"status": run.info.status, **{tag: run.data.tags.get(tag) for tag in tags}})


def differences(one: Content, other: Content) -> list[str]:
    """What differs between two runs, to the last bit; nothing where they are the same."""
    found = [f"{key}: {one.ended[key]}, {other.ended[key]}" for key in one.ended if one.ended[key] != other.ended[key]]
    for name in sorted({*one.metrics, *other.metrics}):
        pair = [np.array(content.metrics.get(name, [])) for content in (one, other)]
        if not np.array_equal(*pair, equal_nan=True):
            found.append(f"metric {name}: {len(pair[0])} and {len(pair[1])} points")
    for name in sorted({*one.series, *other.series}):
        left, right = (content.series.get(name, {}) for content in (one, other))
        found += [f"series {name}: {key}" for key in {**left, **right} if not _equal(left.get(key), right.get(key))]
    return found


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        both = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
        return both and one.dtype == other.dtype and np.array_equal(one, other)
    return bool(one == other)


class Place:
    """A fresh store in a folder, and the programs that train into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
        self.client = MlflowClient(self._environment["MLFLOW_TRACKING_URI"])
        self.client.search_experiments()
        self.experiment = self.client.create_experiment("faults", artifact_location=str(folder / "artifacts"))

    def start(self, module: str, **options: Any) -> subprocess.Popen[str]:
        """Start a program in a session of its own."""
        extra = {"summary": "false"} if module == RUN else {"jobs": 1}
        arguments = [f"--{name}={value}" for name, value in {"experiment": "faults", **extra, **options}.items()]
        command = [sys.executable, "-m", module, *arguments]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=self._environment, start_new_session=True, **quiet)

    def runs(self, query: str = "") -> list[Any]:
        """Runs of the experiment, the newest first."""
        return list(self.client.search_runs([self.experiment], query))

    def trained(self, sweep: str) -> dict[str, str]:
        """Ids of a sweep's runs, by learning rate."""
        runs = self.runs(f"tags.`{schema.TAG_SWEEP}` = '{sweep}'")
        return {
            run.data.params.get("lr", "none yet"): run.info.run_id
            for run in runs
            if run.data.tags.get(schema.TAG_KIND) != schema.KIND_SWEEP
        }


def kill(process: subprocess.Popen[str], how: str) -> None:
    """Kill a program outright: itself, its children, or all of them; then wait until all of them are gone."""
    tree = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    pairs = [line.split() for line in tree.splitlines()[1:]]
    children = [int(pid) for pid, parent in pairs if int(parent) == process.pid]
    for pid in {"itself": [process.pid], "its child": children, "both": [process.pid, *children]}[how]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            # It has ended by itself since.
            continue
    process.communicate(timeout=300)
    for _ in range(600):
        if not any(Path(f"/proc/{pid}").exists() for pid in children):
            return
        time.sleep(0.1)
    raise RuntimeError("a training goes on although nobody waits for it")


def until_it_ends(
    place: Place, module: str, rng: random.Random, ways: Sequence[str], options: dict[str, Any], known: Iterable[str]
) -> tuple[str, list[str]]:
    """Start a training, kill and resume it at random moments; its id, and how it was killed."""
    known = set(known)
    process, name, killed = place.start(module, **options), "", list[str]()
    while True:
        while not name:
            # Its id is what it is resumed by.
            time.sleep(0.05)
            fresh = [one for one in _names(place, module) if one not in known]
            name = fresh[0] if fresh else ""
        try:
            last = len(killed) == KILLS_EACH
            _, said = process.communicate(timeout=600 if last else rng.uniform(*LIVES))
            if process.returncode and "is finished" not in said:
                print(said.strip()[-500:], flush=True)
            return name, killed
        except subprocess.TimeoutExpired:
            killed.append(rng.choice(ways))
            kill(process, killed[-1])
            process = place.start(module, **options, resume=name)


def _names(place: Place, module: str) -> list[str]:
    if module == RUN:
        return [run.info.run_id for run in place.runs()]
    return [run.data.tags[schema.TAG_SWEEP] for run in place.runs(f"tags.`{schema.TAG_KIND}` = '{schema.KIND_SWEEP}'")]


def measure(table: Table, module: str, grid: dict[str, Any], ways: Sequence[str], kills: int, folder: Path) -> None:
    """Kill trainings of one kind until there were `kills`, and compare each with one that was not interrupted."""
    place, rng = Place(folder), random.Random(0)
    options = {**OPTIONS, **grid}
    place.start(module, **options).communicate(timeout=600)
    (reference,) = _names(place, module)

    def contents(name: str) -> dict[str, Content]:
        ids = {"": name} if module == RUN else place.trained(name)
        return {lr: content_of(place.client, run_id) for lr, run_id in ids.items()}

    expected, known = contents(reference), [reference]
    done, runs, equal = 0, 0, 0
    notes: list[str] = []
    while done < kills:
        name, killed = until_it_ends(place, module, rng, ways, options, known)
        known.append(name)
        done += len(killed)
        found = contents(name)
        for lr, content in expected.items():
            runs += 1
            unlike = differences(content, found[lr]) if lr in found else ["missing"]
            equal += not unlike
            notes += [f"lr={lr}: {one}" for one in unlike]
        print(f"{done} of {kills} kills, {equal} of {runs} runs the same", flush=True)
    still = sum(run.info.status == "RUNNING" for run in place.runs())
    left = len([*(folder / ".thermo").glob("*/")])
    table.add(f"{module.rsplit('.', 1)[1]} ({', '.join(ways)})", done, len(known) - 1, runs, equal, still, left)
    table.notes += notes


def main(quick: bool) -> None:
    """Write faults.md and faults.json."""
    kills = KILLS // 5 if quick else KILLS
    table = Table(
        "faults",
        "Killed and resumed",
        f"Trainings with {OPTIONS['chains']} chains and checkpoints every {OPTIONS['checkpoint_every']} s are killed "
        f"by SIGKILL after {LIVES[0]:g} to {LIVES[1]:g} s and resumed, up to {KILLS_EACH} times each. Each run is then "
        "compared with one that was never interrupted: every point of every metric, every snapshot, loss and tag, to "
        "the last bit; a step that is missing or recorded twice is a difference.",
        ("killed", "kills", "trainings", "runs", "the same", "left RUNNING", "folders left"),
        ("torch", "mlflow"),
    )
    for module, grid, ways in (
        (RUN, {"lr": 0.1}, ["itself"]),
        (SWEEP, {"lrs": LRS, "engine": "batched"}, ["itself", "its child", "both"]),
    ):
        with tempfile.TemporaryDirectory() as folder:
            measure(table, module, grid, ways, kills, Path(folder))
    if not quick:
        table.write()
