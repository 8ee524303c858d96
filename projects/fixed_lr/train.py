"""Entry point `main`: one training run at a fixed learning rate."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import click
import torch
from mlflow import MlflowClient
from mlflow.entities import RunTag
from torch import Tensor

from analysis.cli import entry
from analysis.stationarity import Regime
from mlflow_thermo import schema
from mlflow_thermo.delivery import waiting_outbox
from mlflow_thermo.disk import DiskError
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.packing import Parameters
from mlflow_thermo.plugin import SWEEP_VARIABLE, run_tags
from projects.common import EXPERIMENT, ParentWatch, Terminated, end_run, open_run, reason_of
from projects.fixed_lr.checkpoint import State, save
from projects.fixed_lr.closing import closing_words, look_at, what_next, words_of
from projects.fixed_lr.config import TrainConfig, resolve
from projects.fixed_lr.loop import Diverged, Observer, require_finite, run_loop
from projects.fixed_lr.options import SHARES, config_options, parse_lr, parse_options
from projects.fixed_lr.progress import RunProgress, emit, progress_of
from projects.fixed_lr.recording import Baseline, RecordedRun, break_off
from projects.fixed_lr.resuming import Begun, facts_of, find_begun, how_to_go_on, take_over
from projects.fixed_lr.stack import ModelStack
from projects.fixed_lr.training_setup import TrainingSetup, prepare, uniform_baseline
from projects.fixed_lr.work import WorkFolder, work_of


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
    """Passes what a single training yields to its run, from step `done` on."""

    def __init__(
        self, run: RecordedRun, setup: TrainingSetup, watch: ParentWatch, progress: RunProgress, done: int
    ) -> None:
        self._run = run
        self._progress = progress
        self._setup = setup
        self._watch = watch
        self._step = done
        self._checkpoints = run.checkpoints

    def pause(self, done: int, ending: bool, state: Callable[[], State]) -> None:
        saves = self._checkpoints
        if saves and (ending or self._watch.asked or (saves.due and self._run.recorder.settled)):
            facts = facts_of([self._run.config], [self._run.run_id])
            saves.save(lambda: {**facts, "loop": state(), "run": self._run.state()})
        self._watch.stop_if_asked()

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


def train(
    config: TrainConfig,
    run_id: str,
    watch: ParentWatch,
    shares: int = 1,
    *,
    work: WorkFolder | None = None,
    checkpoint: State | None = None,
    again: bool = False,
) -> tuple[Regime, RecordedRun]:
    """Train one run and record it into MLflow run `run_id`, which ends as the training does.

    Returns the regime in which it ended, and what recorded it.

    Parameters
    ----------
    shares : how many such programs share this machine.
    work, again : as `RecordedRun` takes them.
    checkpoint : from which the run goes on.

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
        begun = checkpoint or {"loop": None, "run": None}
        run = RecordedRun(config, run_id, setup, parameters, baseline_of(setup), shares, work, begun["run"], again)
        done = begun["loop"]["done"] if begun["loop"] else 0
        with progress_of(run, setup, done) as progress:
            run_loop(setup, lr, _OneRun(run, setup, watch, progress, done), begun=begun["loop"])
        regime = run.finish()
    except BaseException as error:
        break_off(run_id, run, error)
        raise
    end_run(run_id, "FINISHED")
    run.recorder.await_delivery()
    return regime, run


def open_or_find(given: dict[str, Any], resume: str, experiment: str | None) -> Begun:
    """A new run, or the one to go on with, which is marked as running."""
    if resume:
        begun = find_begun(resume, given)
        take_over(resume)
        # Killed while it was being opened, the run has no tags yet.
        tags = {**run_tags(), schema.TAG_KIND: schema.KIND_TRAIN}
        MlflowClient().log_batch(resume, tags=[RunTag(key, value) for key, value in tags.items()])
        return begun
    config = resolve(given)
    name = f"{config.preset} lr={config.lr:g} seed={config.seed}"
    return Begun(open_run(experiment, name, schema.KIND_TRAIN, {}), config, None)


def train_to_the_end(begun: Begun, watch: ParentWatch, shares: int, again: bool) -> tuple[Regime, RecordedRun]:
    """Train a run; its folder on this machine goes when all is on the server."""
    config, run_id = begun.config, begun.run_id
    work = work_of(config, run_id)
    with ExitStack() as held:
        try:
            if work is not None and not again:
                held.enter_context(work.locked())
            if work is not None and begun.checkpoint is None:
                save(work.checkpoint, facts_of([config], [run_id]))
        except BaseException as error:
            break_off(run_id, None, error)
            raise
        try:
            # Between two steps the training looks whether it is to stop, and saves where it is before it does.
            with watch.holding():
                regime, run = train(config, run_id, watch, shares, work=work, checkpoint=begun.checkpoint, again=again)
                watch.close()
        except Diverged:
            # It would diverge again. Where all of it is on the server, nothing is left to be done.
            if work is not None and waiting_outbox(run_id) is None:
                work.remove()
            raise
        if work is not None:
            work.remove()
    return regime, run


def run_once(
    given: dict[str, Any], experiment: str | None, shares: int, summary: bool = True, resume: str = ""
) -> None:
    """Open a run or find the one to `resume`, and train; the MLflow run ends as the training does."""
    watch = ParentWatch()
    begun: Begun | None = None
    goes_on = "what was recorded is kept"
    trained = False
    with ExitStack() as held:
        if resume:
            held.enter_context(WorkFolder(given.get("work_dir", ""), resume).locked())
        try:
            watch.stop_if_asked()
            with watch.holding():
                begun = open_or_find(given, resume, experiment)
            if SWEEP_VARIABLE in os.environ:
                emit("opened", lr=begun.config.lr, run_id=begun.run_id)
            if begun.config.checkpoint_every:
                goes_on = f"go on with {how_to_go_on(begun.config, begun.run_id)}"
            watch.closing_words = f"run {begun.run_id} is closing, please wait; afterwards {goes_on}"
            trained = True
            regime, run = train_to_the_end(begun, watch, shares, again=bool(resume))
        except ThermoError as error:
            if begun is not None:
                click.echo(f"run       {begun.run_id}")
                if isinstance(error, DiskError):
                    raise ThermoError(f"{error}; afterwards {goes_on}") from error
            raise
        except (Terminated, KeyboardInterrupt) as end:
            if begun is not None and not trained:
                break_off(begun.run_id, None, end)
            words = f"run {begun.run_id} was ended" if begun else "ended before there was a run"
            raise ThermoError(f"{words}: {reason_of(end)}; {goes_on}") from end
        finally:
            watch.close()
    click.echo(closing_words(begun.config, regime, run.need, run.last_step, begun.run_id))
    if summary:
        found = look_at(begun.run_id)
        if found is not None:
            click.echo(words_of(found))
    click.echo(what_next(begun.config))


@click.command()
@click.option("--lr", default="", help="Learning rate: a finite positive number. Needed, but with --resume.")
@click.option(
    "--resume",
    default="",
    help="Id of a run that was cut off: go on with it from its last checkpoint.  [default: begin anew]",
)
@EXPERIMENT
@SHARES
@click.option(
    "--summary",
    default=True,
    show_default=True,
    type=click.BOOL,
    help="Analyse the run at its end and say what it shows.",
)
@config_options(leave_out=("lr",))
def main(lr: str, resume: str, experiment: str | None, shares: int, summary: bool, **options: str) -> None:
    """Train at one fixed learning rate and record weight snapshots into an MLflow run."""
    given = parse_options(options)
    if lr or not resume:
        given["lr"] = parse_lr(lr)
    run_once(given, experiment, shares, summary, resume)


if __name__ == "__main__":
    entry(main)
