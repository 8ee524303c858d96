"""What chains and the need for independent snapshots cost: model-steps a second, recording, steps too many."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from mlflow import MlflowClient

from benchmarks.table import Table
from mlflow_thermo import SnapshotRecorder, schema
from mlflow_thermo.together import Together
from projects.common import parse_lrs
from projects.fixed_lr import PRESETS, ModelStack, Observer, TrainingSetup, prepare, resolve, run_loop, schedules

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
#: Steps after which the chains have parted, and the compiler is warm.
APART = 40
#: Learning rate in the middle of the default study, the steps that its run takes there, and how many are recorded, and
#: as many not, in turn.
MIDDLE, LENGTH, BLOCK = 0.05, 12_200, 100


class Clock(Observer):
    """Seconds of the steps after the chains have parted."""

    def __init__(self, stack: TrainingSetup, after: int) -> None:
        self._stack, self._after, self._count = stack, after, 0
        self.seconds = 0.0

    def step(self, losses: torch.Tensor) -> None:
        """Note the time."""
        self._count += 1
        if self._count == self._after:
            self._begin = time.perf_counter()
        self.seconds = time.perf_counter() - self._begin if self._count > self._after else 0.0


class Recording(Observer):
    """Records a whole default training in every second block of steps, and notes the processor time of each block."""

    def __init__(self, stack: ModelStack, lr: float, folder: Path) -> None:
        config = resolve({"preset": "digits", "lr": lr, "burn_in": 20, "forget": 10, "bursts": 0})
        self._recorders = [
            SnapshotRecorder(
                stack.chains_of(row), series=schedules(config), directory=folder / str(row), protocol="spheres"
            )
            for row in stack.rows
        ]
        self._together = Together(self._recorders)
        self._count = -APART
        self._marks: list[float] = []

    def step(self, losses: torch.Tensor) -> None:
        """Record in the first and the last of four blocks: what drifts hits both kinds alike."""
        block, within = divmod(self._count, BLOCK)
        self._count += 1
        if block < 0:
            return
        if within == 0:
            self._marks.append(time.process_time())
        if block % 4 in (0, 3):
            self._together.step(losses)

    def close(self) -> None:
        """Close the recorders."""
        self._together.settle()
        for recorder in self._recorders:
            recorder.end_here()
            recorder.close()

    @property
    def share(self) -> tuple[float, float]:
        """Processor time that recording adds, over that of the steps, and its error."""
        seconds = np.diff(self._marks)
        four = seconds[: len(seconds) // 4 * 4].reshape(-1, 4)
        added = (four[:, [0, 3]] - four[:, [1, 2]]).ravel()
        return added.mean() / four[:, 1:3].mean(), added.std() / math.sqrt(len(added)) / four[:, 1:3].mean()


def stack_of(models: int, steps: int, compiling: str) -> ModelStack | None:
    """A stack of models of 16 chains; None where it could not be compiled."""
    given = {"preset": "digits", "steps": steps, "burn_in": 20, "forget": 10, "log_points": 1, "noise_batches": 1}
    stack = ModelStack(prepare(resolve({**given, "lr": 0.1, "bursts": 0}), CPU), models)
    return stack if stack.compile_if_worth_it(compiling) == (compiling == "always") else None


def stacked(lrs: list[float], steps: int, compiling: str = "always") -> float:
    """Seconds of a model-step of all learning rates and chains in one program; NaN where it could not be compiled."""
    stack = stack_of(len(lrs), steps, compiling)
    if stack is None:
        return math.nan
    clock = Clock(stack, APART)
    run_loop(stack, torch.tensor(lrs).unsqueeze(1), clock)
    return clock.seconds / ((steps - APART) * len(lrs) * stack.config.chains)


def recording(models: int, steps: int) -> tuple[float, float]:
    """What recording adds to the processor time of `steps` steps of the middle learning rate, and its error."""
    stack = stack_of(models, APART + 2 * steps, "always")
    assert stack is not None
    with tempfile.TemporaryDirectory() as folder:
        observer = Recording(stack, MIDDLE, Path(folder))
        run_loop(stack, torch.full((models, 1), MIDDLE), observer)
        observer.close()
    return observer.share


def alone(steps: int) -> float:
    """Seconds of a step of one model of one chain in the plain loop."""
    given = {"preset": "digits", "steps": steps, "chains": 1, "burn_in": 20, "log_points": 1, "noise_batches": 1}
    one = prepare(resolve({**given, "lr": 0.1, "bursts": 0, "forget": 0}), CPU)
    clock = Clock(one, APART)
    run_loop(one, 0.1, clock)
    return clock.seconds / (steps - APART)


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
        "one such program on each core. What recording costs is measured over a whole default training of the middle "
        "learning rate, nine at once: in every second block of 100 steps they are recorded, and the processor time of "
        "all threads is compared with that of the blocks beside it.",
        ("what", "value"),
        ("torch", "numpy"),
    )
    lrs = parse_lrs(PRESETS["digits"]["lrs"])
    # In turns, since other programs come and go; the fastest of each.
    rounds = 1 if quick else 3
    one, eager, many = (math.inf,) * 3
    if math.isnan(stacked(lrs, 60)):
        raise SystemExit("chains: no compiler here, which this table is about")
    for _ in range(rounds):
        one, eager = min(one, alone(steps)), min(eager, stacked(lrs, steps // 2, "never"))
        many = min(many, stacked(lrs, steps))
    share, error = recording(len(lrs), 400 if quick else LENGTH)
    table.add("one by one, model-steps a second", round(1 / one))
    table.add("144 in one program, model-steps a second", round(1 / eager))
    table.add("144 in one program, compiled, model-steps a second", round(1 / many))
    table.add("ratio of these two to one by one", f"{one / eager:.1f}, {one / many:.1f}")
    table.add("recording, in per cent of a compiled step", f"{100 * share:.1f} ± {100 * error:.1f}")
    if not quick:
        ratio, size = overshoot()
        table.add("`until`: steps over the shortest fixed lengths that give as much", round(ratio, 3))
        table.add("bytes of a run on the server, mean", round(size))
        table.write()
    else:
        print(json.dumps(table.rows))


if __name__ == "__main__":
    main(quick=True)
