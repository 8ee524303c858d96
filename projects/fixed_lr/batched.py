"""Trains several learning rates of one seed in one process, side by side; the batched engine of `sweep`.

Each learning rate has its own MLflow run, which an analysis cannot tell from one that was trained alone. On stdout
one JSON object a line says what happens, for the sweep that started this.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from typing import Any

import click
import torch
from torch import Tensor

from analysis.cli import entry
from mlflow_thermo import schema
from mlflow_thermo.schema import ThermoError
from projects.common import ParentWatch, Terminated, end_run, first_line, open_run, parse_lrs
from projects.fixed_lr.config import TrainConfig, config_options, parse_options, resolve
from projects.fixed_lr.experiment import prepare
from projects.fixed_lr.loop import Diverged, require_finite, run_loop
from projects.fixed_lr.recording import Baseline, RecordedRun, recording_bytes
from projects.fixed_lr.stack import ModelStack, models_that_fit
from projects.fixed_lr.train import baseline_of, choose_device

#: Seconds between two words about the progress.
TELL_EVERY = 2.0


def say(event: str, **content: Any) -> None:
    """One line for the program that started this one; if that is gone, the runs must still end in order."""
    with suppress(OSError):
        click.echo(json.dumps({"event": event, **content}))


class _Member:
    """One learning rate of the stack."""

    def __init__(self, config: TrainConfig, run_id: str, row: int) -> None:
        self.config = config
        self.run_id = run_id
        self.row = row
        self.run: RecordedRun | None = None
        self.open = True
        self.ok = False

    def end(self, status: str, regime: str = "", message: str = "") -> None:
        """The run's last word, once."""
        if self.open:
            end_run(self.run_id, status)
            self.open = False
            self.ok = status == "FINISHED"
            say("ended", lr=self.config.lr, run_id=self.run_id, ok=self.ok, regime=regime, message=message)

    def fail(self, error: Exception) -> None:
        """End the run as failed, keeping what it recorded."""
        diverged = isinstance(error, Diverged)
        self.abandon("FAILED", _said(error), diverged)

    def abandon(self, status: str, message: str, diverged: bool = False) -> None:
        """End the run as `status`, keeping what it recorded; nothing that goes wrong here reaches the other members."""
        if not self.open:
            return
        try:
            if self.run is not None:
                if diverged:
                    self.run.tag_diverged()
                self.run.close()
        except Exception as second:
            message = f"{message}; {_said(second)}"
        self.end(status, schema.DIVERGED if diverged else "", message)

    def finish(self) -> None:
        """Everything to the server."""
        assert self.run is not None
        try:
            self.end("FINISHED", self.run.finish().name)
        except Exception as error:
            self.fail(error)


def _said(error: Exception) -> str:
    """One line of an error; of one that nobody expected with its kind."""
    line = first_line(error)
    return line if isinstance(error, ThermoError) else f"{type(error).__name__}: {line}"


class _Stacked:
    """Hands what the stack yields to the runs of its members; takes out those that diverge.

    Parameters
    ----------
    turn, turns : which of how many stacks that are trained one after the other.
    """

    def __init__(
        self, stack: ModelStack, members: list[_Member], lrs: Tensor, watch: ParentWatch, turn: int, turns: int
    ) -> None:
        self._stack = stack
        self._members = members
        self._lrs = lrs
        self._watch = watch
        self._before = turn * stack.config.steps
        self._steps = turns * stack.config.steps
        self._start = stack.weights[0].clone()
        self._told = time.monotonic()

    @property
    def alive(self) -> list[_Member]:
        return [member for member in self._members if member.open]

    def step(self, losses: Tensor) -> None:
        # On a device the losses stay tensors, so that nothing waits for them.
        values = losses.tolist() if losses.device.type == "cpu" else losses.unbind()
        for member in self.alive:
            assert member.run is not None
            member.run.recorder.step(values[member.row])

    def log(self, rows: list[dict[str, float]], step: int) -> None:
        for member in self.alive:
            assert member.run is not None
            member.run.log(rows[member.row], step)
        self._guard([row[schema.METRIC_TRAIN_LOSS] for row in rows], step)

    def check(self, losses: Tensor, step: int) -> None:
        self._watch.check()
        self._guard(losses.tolist(), step)
        if time.monotonic() - self._told > TELL_EVERY:
            self._told = time.monotonic()
            say("progress", step=self._before + step, steps=self._steps)

    def _guard(self, losses: list[float], step: int) -> None:
        for member in self.alive:
            try:
                require_finite(losses[member.row], member.config, step)
            except Diverged as error:
                member.fail(error)
                # The row goes on, so that the stack keeps its shape, but stands still at a harmless place.
                self._stack.weights[member.row] = self._start
                self._lrs[member.row] = 0.0
        if not self.alive:
            raise _AllDiverged


class _AllDiverged(Exception):
    """No model of the stack is left."""


def train_stack(members: list[_Member], watch: ParentWatch, compiling: str, shares: int) -> None:
    """Train the members side by side, in as many turns as memory asks for."""
    config = members[0].config
    device = choose_device(config.device)
    one = prepare(config, device)
    fit = models_that_fit(one, len(members), shares, recording_bytes(config, one.weights))
    # Turns of equal size: a compiled program serves one size only.
    size = math.ceil(len(members) / math.ceil(len(members) / fit))
    turns = [members[start : start + size] for start in range(0, len(members), size)]
    baseline: Baseline | None = None
    for number, turn in enumerate(turns):
        # Each turn begins with the generators as they were at the start, as a run that is trained alone does.
        one = prepare(config, device)
        stack = ModelStack(one, len(turn))
        found = baseline_of(stack)
        baseline = baseline or found
        for row, member in enumerate(turn):
            member.row = row
            member.run = RecordedRun(
                member.config, member.run_id, stack, stack.named_views(row), baseline, size * shares
            )
        lrs = torch.tensor([[member.config.lr] for member in turn], device=device)
        compiled = stack.compile_if_worth_it(compiling)
        say("training", models=len(turn), compiled=compiled)
        try:
            run_loop(stack, lrs, _Stacked(stack, turn, lrs, watch, number, len(turns)))
        except _AllDiverged:
            continue
        for member in turn:
            if member.open:
                member.finish()


@click.command()
@click.option("--lrs", required=True, help="Comma list of learning rates.")
@click.option("--experiment", default=None, help="MLflow experiment, outside of `mlflow run`.")
@click.option("--compile", "compiling", default="auto", type=click.Choice(["auto", "always", "never"]))
@click.option(
    "--shares",
    default=1,
    type=click.IntRange(min=1),
    help="How many such programs share this machine's memory and disk.",
)
@config_options(leave_out=("lr",))
def main(lrs: str, experiment: str | None, compiling: str, shares: int, **options: str) -> None:
    """Train several fixed learning rates side by side, each as its own MLflow run."""
    watch = ParentWatch()
    given = parse_options(options)
    configs = [resolve({**given, "lr": lr}) for lr in parse_lrs(lrs)]
    torch.set_num_threads(configs[0].threads)
    members: list[_Member] = []
    status, reason = "FAILED", "the program that trained it broke off"
    try:
        for config in configs:
            name = f"{config.preset} lr={config.lr:g} seed={config.seed}"
            with watch.holding():
                run_id = open_run(experiment, name, schema.KIND_TRAIN, {})
                members.append(_Member(config, run_id, len(members)))
            say("opened", lr=config.lr, run_id=run_id)
        train_stack(members, watch, compiling, shares)
    except (Terminated, KeyboardInterrupt) as end:
        status, reason = "KILLED", f"ended: {end}; what was recorded is kept"
        raise ThermoError(reason) from end
    except Exception as error:
        reason = _said(error)
        raise
    finally:
        for member in members:
            member.abandon(status, reason)
    if not all(member.ok for member in members):
        raise ThermoError("not every learning rate was trained, see its line")


if __name__ == "__main__":
    entry(main)
