"""Entry point `sweep`: one flat MLflow run for each learning rate and seed, several at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import click
import mlflow
from mlflow import MlflowClient

from mlflow_thermo import schema
from mlflow_thermo.plugin import SWEEP_VARIABLE
from mlflow_thermo.schema import ThermoError
from projects.fixed_lr.config import config_options, parse_options, preset_named, resolve
from projects.fixed_lr.grid import parse_lrs, parse_seeds
from projects.fixed_lr.lifetime import ParentWatch, Terminated
from projects.fixed_lr.tracking import log_new_params, open_run
from projects.fixed_lr.train import entry

#: How many of a child's last lines are kept to explain its failure.
TAIL = 20


@dataclass(frozen=True)
class Outcome:
    """How one run of the sweep ended."""

    lr: float
    seed: int
    run_id: str
    ok: bool
    regime: str
    message: str
    seconds: float


class Workers:
    """Starts training processes and can end all of them at once."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, lr: float, seed: int, options: dict[str, Any]) -> Outcome:
        """Train one run in a process of its own: what kills it cannot kill the others."""
        begin = time.monotonic()
        given = {"lr": lr, "seed": seed, "threads": 1, **options}
        arguments = [part for name, value in given.items() for part in (f"--{name}", str(value))]
        with self._lock:
            if self._stopped:
                return Outcome(lr, seed, "", False, "", "not started: the sweep was ended", 0.0)
            child = subprocess.Popen(
                [sys.executable, "-m", "projects.fixed_lr.train", *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self._running.add(child)
        assert child.stdout is not None
        tail = deque(child.stdout, maxlen=TAIL)
        code = child.wait()
        with self._lock:
            self._running.discard(child)
        lines = [line.rstrip() for line in tail if line.strip()]
        run_id = next((line.split()[1] for line in lines if line.startswith("run ")), "")
        regime = next((line.split()[1].rstrip(":") for line in lines if line.startswith("regime ")), "")
        message = "" if code == 0 else _explain(code, lines)
        return Outcome(lr, seed, run_id, code == 0, regime, message, time.monotonic() - begin)

    def stop(self) -> None:
        """Ask every running training to end; each closes its own run."""
        with self._lock:
            self._stopped = True
            for child in self._running:
                child.send_signal(signal.SIGTERM)


def _explain(code: int, lines: list[str]) -> str:
    errors = [line for line in lines if line.startswith("error:")]
    if errors:
        return errors[-1].removeprefix("error: ")
    reason = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
    return f"{reason}: {lines[-1]}" if lines else reason


def run_sweep(
    lrs: Iterable[float],
    seeds: Iterable[int],
    options: dict[str, Any],
    sweep: str,
    jobs: int,
    watch: ParentWatch,
) -> list[Outcome]:
    """Train every (lr, seed), `jobs` at a time, telling progress and the time left on stderr."""
    # The children open runs of their own in the same experiment: they must not write into the sweep's run.
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_RUN_ID"}
    environment |= {SWEEP_VARIABLE: sweep, "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    # Two spinning compute threads on nets this small are 10 to 60 times slower than one on a busy machine.
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    workers = Workers(environment)
    # Large learning rates first: a diverging grid shows itself in the first minute.
    pairs = [(lr, seed) for seed in seeds for lr in sorted(lrs, reverse=True)]
    outcomes: list[Outcome] = []
    begin = time.monotonic()
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        pending: set[Future[Outcome]] = {pool.submit(workers.run, lr, seed, options) for lr, seed in pairs}
        try:
            while pending:
                done = _wait(pending, watch)
                pending -= done
                for future in done:
                    outcomes.append(future.result())
                    _tell(outcomes, len(pairs), time.monotonic() - begin)
        except BaseException:
            workers.stop()
            raise
    return sorted(outcomes, key=lambda o: (o.lr, o.seed))


def _wait(pending: set[Future[Outcome]], watch: ParentWatch) -> set[Future[Outcome]]:
    while True:
        watch.check()
        done, _ = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
        if done:
            return done


def _tell(outcomes: list[Outcome], total: int, elapsed: float) -> None:
    last = outcomes[-1]
    left = elapsed / len(outcomes) * (total - len(outcomes))
    word = last.regime if last.ok else "FAILED"
    click.echo(
        f"[{len(outcomes)}/{total}] lr={last.lr:g} seed={last.seed} {word} in {last.seconds:.0f} s, "
        f"about {left:.0f} s left",
        err=True,
    )


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as text, one line each."""
    lines = [f"{'lr':>10} {'seed':>5}  {'regime':<12} {'run':<32}  note"]
    for o in outcomes:
        lines.append(
            f"{o.lr:>10.4g} {o.seed:>5}  {o.regime if o.ok else 'FAILED':<12} {o.run_id or '-':<32}  {o.message}"
        )
    return "\n".join(lines)


@click.command()
@click.option("--lrs", default="", help="lo:hi:n (log-spaced) or a comma list; empty takes the preset's grid.")
@click.option("--seeds", default="0", help="Comma list of run seeds.")
@click.option("--jobs", default="", help="Trainings side by side; default one for each core.")
@click.option("--experiment", default=None, help="MLflow experiment, outside of `mlflow run`.")
@config_options(leave_out=("lr", "seed", "threads"))
def main(lrs: str, seeds: str, jobs: str, experiment: str | None, **options: str) -> None:
    """Train every learning rate with every seed, each as its own MLflow run."""
    given = parse_options(options)
    preset = given.setdefault("preset", "digits-up")
    grid = parse_lrs(lrs or preset_named(preset)["lrs"])
    seed_list = parse_seeds(seeds)
    # A parameter that is wrong for one run is wrong for all: say so before any process starts.
    resolve({**given, "lr": grid[0]})
    if jobs and not (jobs.isdigit() and int(jobs) > 0):
        raise ThermoError(f"jobs must be a whole number of at least 1, got {jobs!r}")
    watch = ParentWatch()
    sweep = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    run_id = open_run(experiment, f"sweep {preset}", schema.KIND_SWEEP, {schema.TAG_SWEEP: sweep})
    client = MlflowClient()
    os.environ["MLFLOW_EXPERIMENT_ID"] = client.get_run(run_id).info.experiment_id
    log_new_params(run_id, {"lrs": lrs or preset_named(preset)["lrs"], "seeds": seeds, **given})
    status = "FAILED"
    try:
        outcomes = run_sweep(grid, seed_list, given, sweep, int(jobs or os.cpu_count() or 1), watch)
        client.log_text(run_id, table(outcomes) + "\n", "sweep.txt")
        failed = [o for o in outcomes if not o.ok]
        click.echo(table(outcomes))
        click.echo(f"sweep {sweep}: {len(outcomes) - len(failed)} of {len(outcomes)} runs trained")
        if failed:
            raise ThermoError(f"sweep {sweep}: {len(failed)} of {len(outcomes)} runs failed, see the table above")
        status = "FINISHED"
    except (Terminated, KeyboardInterrupt) as end:
        status = "KILLED"
        raise ThermoError(f"sweep {sweep} was ended: {end}; finished runs are kept") from end
    finally:
        client.set_terminated(run_id, status)


if __name__ == "__main__":
    entry(main)
