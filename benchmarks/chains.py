"""What chains and the need for independent snapshots cost: model-steps a second, recording, steps too many."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from mlflow import MlflowClient

from benchmarks.table import Table
from mlflow_thermo import SnapshotRecorder, schema
from projects.common import parse_lrs
from projects.fixed_lr import PRESETS, ModelStack, Observer, TrainingSetup, prepare, resolve, run_loop, schedules

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")


class Clock(Observer):
    """Seconds of the steps after the chains have parted; with a recorder for each model, or without."""

    def __init__(self, stack: TrainingSetup, after: int, folder: Path | None = None, lrs: Sequence[float] = ()) -> None:
        self._stack, self._after, self._count = stack, after, 0
        self.seconds = 0.0
        self.recorders: list[SnapshotRecorder] = []
        if folder is not None and isinstance(stack, ModelStack):
            for row, lr in zip(stack.rows, lrs, strict=True):
                # As often as the preset records at this learning rate, from the first step on.
                config = resolve({"preset": "digits", "lr": lr, "burn_in": 20, "forget": 10, "bursts": 0})
                self.recorders.append(
                    SnapshotRecorder(
                        stack.chains_of(row), series=schedules(config), directory=folder / str(row), protocol="spheres"
                    )
                )

    def step(self, losses: torch.Tensor) -> None:
        """Record, and note the time."""
        self._count += 1
        if self._count == self._after:
            self._begin = time.perf_counter()
        if losses.ndim < 2:
            losses = losses.reshape(-1, 1).expand(-1, self._stack.config.chains)
        for recorder, row in zip(self.recorders, losses.double().numpy(), strict=False):
            recorder.step(row)
        self.seconds = time.perf_counter() - self._begin if self._count > self._after else 0.0


def stacked(lrs: list[float], steps: int, folder: Path | None, compiling: str = "always") -> float:
    """Seconds of a model-step of all learning rates and chains in one program; NaN where it could not be compiled."""
    given = {"preset": "digits", "steps": steps, "burn_in": 20, "forget": 10, "log_points": 1, "noise_batches": 1}
    config = resolve({**given, "lr": 0.1, "bursts": 0})
    stack = ModelStack(prepare(config, CPU), len(lrs))
    if stack.compile_if_worth_it(compiling) != (compiling == "always"):
        return math.nan
    clock = Clock(stack, 40, folder, lrs)
    run_loop(stack, torch.tensor(lrs).unsqueeze(1), clock)
    for recorder in clock.recorders:
        recorder.close()
    return clock.seconds / ((steps - 40) * len(lrs) * config.chains)


def alone(steps: int) -> float:
    """Seconds of a step of one model of one chain in the plain loop."""
    given = {"preset": "digits", "steps": steps, "chains": 1, "burn_in": 20, "log_points": 1, "noise_batches": 1}
    one = prepare(resolve({**given, "lr": 0.1, "bursts": 0, "forget": 0}), CPU)
    clock = Clock(one, 40)
    run_loop(one, 0.1, clock)
    return clock.seconds / (steps - 40)


def overshoot() -> tuple[float, float]:
    """Steps of the default sweep over those of the shortest fixed lengths that give as much, and bytes of a run."""
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "projects.fixed_lr.sweep"]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        client = MlflowClient(uri)
        taken = needed = size = 0.0
        runs = client.search_runs(["0"], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_TRAIN}'")
        for run in runs:
            have, want = (
                run.data.metrics[name] for name in (schema.METRIC_SAMPLING_N_EFF, schema.METRIC_SAMPLING_NEEDED)
            )
            burn_in, forget = int(run.data.params["burn_in"]), int(run.data.params["forget"])
            last = client.get_metric_history(run.info.run_id, schema.METRIC_SAMPLING_N_EFF)[0].step
            taken += last
            needed += burn_in + forget + (last - burn_in - forget) * want / have
            place = Path(folder, "mlruns", "0", run.info.run_id, "artifacts")
            size += sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    return taken / needed, size / len(runs)


def main(quick: bool) -> None:
    """Write chains.md and chains.json."""
    torch.set_num_threads(1)
    steps = 200 if quick else 1500
    table = Table(
        "chains",
        "What chains cost",
        "The default network, nine learning rates of 16 chains: one program on one core against the same 144 models "
        "one by one in the plain loop of `projects.fixed_lr`, on the same core, the best of three rounds. A sweep runs "
        "one such program on each core.",
        ("what", "value"),
        ("torch", "numpy"),
    )
    lrs = parse_lrs(PRESETS["digits"]["lrs"])
    # In turns, since other programs come and go; the fastest of each.
    rounds = 1 if quick else 3
    one, eager, many, recorded = (math.inf,) * 4
    if math.isnan(stacked(lrs, 60, None)):
        raise SystemExit("chains: no compiler here, which this table is about")
    for _ in range(rounds):
        one, eager = min(one, alone(steps)), min(eager, stacked(lrs, steps // 2, None, "never"))
        many = min(many, stacked(lrs, steps, None))
        with tempfile.TemporaryDirectory() as folder:
            recorded = min(recorded, stacked(lrs, steps, Path(folder)))
    table.add("one by one, model-steps a second", round(1 / one))
    table.add("144 in one program, model-steps a second", round(1 / eager))
    table.add("144 in one program, compiled, model-steps a second", round(1 / many))
    table.add("ratio of these two to one by one", f"{one / eager:.1f}, {one / many:.1f}")
    table.add("recording, in per cent of a compiled step", round(100 * (recorded / many - 1), 1))
    if not quick:
        ratio, size = overshoot()
        table.add("`until`: steps over the shortest fixed lengths that give as much", round(ratio, 3))
        table.add("bytes of a run on the server, mean", round(size))
        table.write()
    else:
        print(json.dumps(table.rows))


if __name__ == "__main__":
    main(quick=True)
