"""The models of a stack, each with an MLflow run of its own, and the events that the sweep reads."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import click
from torch import Tensor

from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from projects.common import ParentWatch, end_run, first_line
from projects.fixed_lr.config import TrainConfig
from projects.fixed_lr.loop import Diverged, require_finite
from projects.fixed_lr.recording import RecordedRun
from projects.fixed_lr.stack import ModelStack

#: Seconds between two progress events.
PROGRESS_EVERY = 2.0


def emit(event: str, **content: Any) -> None:
    """Print one event for the sweep that started this program; if that is gone, the runs must still end in order."""
    with suppress(OSError):
        click.echo(json.dumps({"event": event, **content}))


class StackMember:
    """One learning rate of a stack, with its MLflow run."""

    def __init__(self, config: TrainConfig, run_id: str, row: int) -> None:
        self.config = config
        self.run_id = run_id
        self.row = row
        self.run: RecordedRun | None = None
        self.open = True
        self.ok = False

    def end(self, status: str, regime: str = "", message: str = "") -> None:
        """End the run with this status, once."""
        if self.open:
            end_run(self.run_id, status)
            self.open = False
            self.ok = status == "FINISHED"
            emit("ended", lr=self.config.lr, run_id=self.run_id, ok=self.ok, regime=regime, message=message)

    def fail(self, error: Exception) -> None:
        """End the run as failed, keeping what it recorded."""
        diverged = isinstance(error, Diverged)
        self.abandon("FAILED", describe(error), diverged)

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
            message = f"{message}; {describe(second)}"
        self.end(status, schema.DIVERGED if diverged else "", message)

    def finish(self) -> None:
        """Upload everything and end the run."""
        assert self.run is not None
        try:
            self.end("FINISHED", self.run.finish().name)
        except Exception as error:
            self.fail(error)


def describe(error: Exception) -> str:
    """An error in one line, with its class where it is not one of ours."""
    line = first_line(error)
    return line if isinstance(error, ThermoError) else f"{type(error).__name__}: {line}"


class StackObserver:
    """Passes what a stack yields to the runs of its members, and takes out those that diverge.

    Parameters
    ----------
    turn, turns : index of this stack, and number of stacks that are trained one after the other.
    """

    def __init__(
        self, stack: ModelStack, members: list[StackMember], lrs: Tensor, watch: ParentWatch, turn: int, turns: int
    ) -> None:
        self._stack = stack
        self._members = members
        self._lrs = lrs
        self._watch = watch
        self._before = turn * stack.config.steps
        self._steps = turns * stack.config.steps
        self._start = stack.weights[0].clone()
        self._reported = time.monotonic()

    @property
    def alive(self) -> list[StackMember]:
        """The members that are still training."""
        return [member for member in self._members if member.open]

    def step(self, losses: Tensor) -> None:
        """Record a step of every member."""
        # On a device the losses stay tensors, so that nothing waits for them.
        values = losses.tolist() if losses.device.type == "cpu" else losses.unbind()
        for member in self.alive:
            assert member.run is not None
            member.run.recorder.step(values[member.row])

    def log(self, rows: list[dict[str, float]], step: int) -> None:
        """Log the observables of every member."""
        for member in self.alive:
            assert member.run is not None
            member.run.log(rows[member.row], step)
        self._guard([row[schema.METRIC_TRAIN_LOSS] for row in rows], step)

    def check(self, losses: Tensor, step: int) -> None:
        """Take out the members that diverged, and report progress."""
        self._watch.check()
        self._guard(losses.tolist(), step)
        if time.monotonic() - self._reported > PROGRESS_EVERY:
            self._reported = time.monotonic()
            emit("progress", step=self._before + step, steps=self._steps)

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
            raise AllDiverged


class AllDiverged(Exception):
    """No model of the stack is left."""
