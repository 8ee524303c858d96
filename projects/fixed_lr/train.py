"""Entry point `main`: one training run at a fixed learning rate."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import click
import torch
from torch import Tensor

from analysis.cli import entry
from analysis.stationarity import Regime
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.packing import Parameters
from projects.common import ParentWatch, Terminated, end_run, open_run
from projects.fixed_lr.closing import closing_words, look_at, what_next, words_of
from projects.fixed_lr.config import TrainConfig, resolve
from projects.fixed_lr.loop import Observer, require_finite, run_loop
from projects.fixed_lr.options import config_options, parse_lr, parse_options
from projects.fixed_lr.progress import RunProgress, progress_of
from projects.fixed_lr.recording import Baseline, RecordedRun, break_off
from projects.fixed_lr.stack import ModelStack
from projects.fixed_lr.training_setup import TrainingSetup, prepare, uniform_baseline


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` takes cuda, then mps, then cpu."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available[name]:
        raise ThermoError(f"device {name!r} is not available on this machine: use device=auto")
    return torch.device(name)


def baseline_of(setup: TrainingSetup) -> Baseline:
    """The uniform baseline, where the weights are on spheres."""
    if not setup.spheres:
        return None, None
    return uniform_baseline(setup, setup.noise_generator)


class _OneRun(Observer):
    """Passes what a single training yields to its run."""

    def __init__(self, run: RecordedRun, setup: TrainingSetup, watch: ParentWatch, progress: RunProgress) -> None:
        self._run = run
        self._progress = progress
        self._setup = setup
        self._watch = watch
        self._step = 0

    def step(self, losses: Tensor) -> None:
        self._step += 1
        chains = losses.reshape(-1).expand(self._run.config.chains)
        self._run.recorder.step(chains)
        self._run.step(self._step, self._setup.weights.reshape(-1, self._setup.d), chains)
        self._progress.step()

    def log(self, rows: Mapping[int, dict[str, float]], step: int) -> None:
        self._progress.logged()
        self._run.log(rows[0], step)
        require_finite(rows[0][schema.METRIC_TRAIN_LOSS], self._run.config, step)

    def check(self, losses: Tensor, step: int) -> None:
        self._watch.check()
        require_finite(float(losses.mean()), self._run.config, step)

    def ending(self, step: int) -> Collection[int]:
        return [0] if self._run.need.satisfied(step) else []

    def end(self, squares: Mapping[int, Tensor], step: int) -> None:
        self._run.enough(step, squares[0])


def train(config: TrainConfig, run_id: str, watch: ParentWatch, shares: int = 1) -> tuple[Regime, RecordedRun]:
    """Train one run and record it into MLflow run `run_id`, which ends as the training does.

    Returns the regime in which it ended, and what recorded it.

    Parameters
    ----------
    shares : how many such programs share this machine.

    Raises
    ------
    ThermoError
        Bad data or a diverged run; what was recorded until then is uploaded.
    """
    torch.set_num_threads(config.threads)
    run: RecordedRun | None = None
    try:
        setup = prepare(config, choose_device(config.device))
        lr: float | Tensor = config.lr
        parameters: Parameters | Sequence[Parameters] = setup.model
        if config.chains > 1:
            stack = ModelStack(setup, 1)
            setup, parameters, lr = stack, stack.chains_of(0), torch.tensor([[config.lr]], device=setup.device)
        run = RecordedRun(config, run_id, setup, parameters, baseline_of(setup), shares)
        with progress_of(run, setup) as progress:
            run_loop(setup, lr, _OneRun(run, setup, watch, progress))
        regime = run.finish()
    except BaseException as error:
        break_off(run_id, run, error)
        raise
    end_run(run_id, "FINISHED")
    run.recorder.settle()
    return regime, run


def run_once(given: dict[str, Any], experiment: str | None, shares: int, summary: bool = True) -> None:
    """Resolve the config, open the run, train; the MLflow run ends as the training does."""
    watch = ParentWatch()
    config = resolve(given)
    run_id = ""
    try:
        with watch.holding():
            name = f"{config.preset} lr={config.lr:g} seed={config.seed}"
            run_id = open_run(experiment, name, schema.KIND_TRAIN, {})
        regime, run = train(config, run_id, watch, shares)
    except ThermoError:
        click.echo(f"run       {run_id}")
        raise
    except Terminated as end:
        raise ThermoError(f"run {run_id} was ended: {end}; what was recorded is kept") from end
    click.echo(closing_words(config, regime, run.need, run.last_step, run_id))
    if summary:
        found = look_at(run_id)
        if found is not None:
            click.echo(words_of(found))
    click.echo(what_next(config))


@click.command(context_settings={"show_default": True})
@click.option("--lr", required=True, help="Learning rate: a finite positive number.")
@click.option("--experiment", default=None, help="MLflow experiment, outside of `mlflow run`.")
@click.option(
    "--shares", default=1, type=click.IntRange(min=1), help="How many such programs share this machine's disk."
)
@click.option("--summary", default=True, type=click.BOOL, help="Analyse the run at its end and say what it shows.")
@config_options(leave_out=("lr",))
def main(lr: str, experiment: str | None, shares: int, summary: bool, **options: str) -> None:
    """Train at one fixed learning rate and record weight snapshots into an MLflow run."""
    run_once({"lr": parse_lr(lr), **parse_options(options)}, experiment, shares, summary)


if __name__ == "__main__":
    entry(main)
