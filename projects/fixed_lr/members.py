"""The models of a stack, each with an MLflow run of its own, and the events that the sweep reads."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from mlflow import MlflowClient
from torch import Tensor

from analysis.cli import Report
from mlflow_thermo import schema
from mlflow_thermo.delivery import JOURNAL, deliver
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.together import Together
from projects.common import ParentWatch, end_run, first_line
from projects.fixed_lr.checkpoint import Checkpoints, State
from projects.fixed_lr.config import TrainConfig
from projects.fixed_lr.loop import Diverged, Observer, require_finite
from projects.fixed_lr.progress import emit, pace_of
from projects.fixed_lr.recording import RecordedRun
from projects.fixed_lr.resuming import facts_of
from projects.fixed_lr.stack import ModelStack
from projects.fixed_lr.work import WorkFolder, work_of

#: Seconds between two progress events.
PROGRESS_EVERY = 2.0
#: Seconds after which a step is reported even if it is none at which losses are checked.
LONG_SILENCE = 5.0


class StackMember:
    """One learning rate of a stack, with its MLflow run."""

    def __init__(self, config: TrainConfig, run_id: str) -> None:
        self.config = config
        self.run_id = run_id
        self.run: RecordedRun | None = None
        self.work = work_of(config, run_id)
        self.open = True
        self.ok = False
        #: Whether nothing is left to be done with the folder of the run.
        self.done = False

    def end(self, status: str, regime: str = "", message: str = "") -> None:
        """End the run with this status, once."""
        if self.open:
            end_run(self.run_id, status)
            self.open = False
            self.ok = status == "FINISHED"
            self._tell(regime, message)

    def await_delivery(self, since: float) -> None:
        """Wait until the server has everything; say where the rest is."""
        try:
            if self.run is not None:
                self.run.recorder.await_delivery(since)
        except Exception as error:
            self.ok = False
            self._tell("", describe(error))

    def _tell(self, regime: str, message: str) -> None:
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
                self.done = diverged
        except Exception as second:
            message = f"{message}; {describe(second)}"
        self.end(status, schema.DIVERGED if diverged else "", message)

    def tidy(self) -> None:
        """Remove the folder of a run that has ended, once no checkpoint knows of it and the server has everything."""
        if self.done and self.work is not None and (self.run is None or self.run.recorder.delivered):
            self.work.remove()
            self.work = None

    def recall(self) -> None:
        """Say how the run ended before this program began, and deliver what it could not."""
        self.open = False
        if self.work is not None and (self.work.series / JOURNAL).is_dir():
            for _ in deliver(self.work.series):
                pass
        run = MlflowClient().get_run(self.run_id)
        self.ok = run.info.status == "FINISHED"
        regime = run.data.tags.get(schema.TAG_REGIME, "")
        self.done = self.ok or regime == schema.DIVERGED
        message = "" if self.ok else f"{run.info.status.lower()} before the sweep was resumed"
        self._tell(regime, message)

    def finish(self) -> None:
        """Hand over everything and end the run; nobody waits for the server here, where others are still trained."""
        assert self.run is not None
        try:
            regime = self.run.finish().name
            self.end("FINISHED", regime, self.run.need.words(self.run.last_step) if self.run.lacks else "")
            self.done = True
        except Exception as error:
            self.fail(error)


def describe(error: Exception) -> str:
    """An error in one line, with its class where it is not one of ours."""
    line = first_line(error)
    return line if isinstance(error, ThermoError) else f"{type(error).__name__}: {line}"


class StackCheckpoints:
    """Saves where a stack stands, and removes the folders of runs that have ended when nothing goes back to them.

    Parameters
    ----------
    members : of all turns.
    facts : what else the checkpoint says.
    """

    def __init__(self, work: WorkFolder, members: Sequence[StackMember], facts: State) -> None:
        config = members[0].config
        self._saves = Checkpoints(work.checkpoint, config.checkpoint_every)
        self._members = members
        self._facts = {**facts_of([one.config for one in members], [one.run_id for one in members]), **facts}
        self._open = 0

    def consider(self, there: Sequence[StackMember], must: bool, loop: Callable[[], State]) -> None:
        """Save a checkpoint of the members that are `there` if it is due, if one has ended or if it `must` be."""
        runs = {member.run_id: member.run for member in there if member.open and member.run is not None}
        if must or len(runs) != self._open or (self._saves.due and all(run.recorder.settled for run in runs.values())):
            self._saves.save(
                lambda: {
                    **self._facts,
                    "loop": loop(),
                    "positions": [member.run_id for member in there],
                    "open": {run_id: run.state() for run_id, run in runs.items()},
                }
            )
            self._open = len(runs)
            for member in self._members:
                member.tidy()


class StackObserver(Observer):
    """Passes what a stack yields to the runs of its members, and takes out those that diverge.

    Parameters
    ----------
    turn, turns : index of this stack, and number of stacks that are trained one after the other.
    done : steps that were taken before.
    checkpoints : of the stack; None where it has none.
    """

    def __init__(
        self,
        stack: ModelStack,
        members: list[StackMember],
        watch: ParentWatch,
        turn: int,
        turns: int,
        done: int = 0,
        checkpoints: StackCheckpoints | None = None,
    ) -> None:
        self._stack = stack
        self._members = members
        self._watch = watch
        self._turn, self._turns = turn, turns
        self._step = done
        self._checkpoints = checkpoints
        self._pace = pace_of(stack, [member.config for member in members], done)
        self._reported = time.monotonic()
        self._together: Together | None = None

    def pause(self, done: int, ending: bool, state: Callable[[], State]) -> None:
        """Save a checkpoint where one is due, or where members end or have ended; stop where that is asked for."""
        if self._checkpoints is not None:
            self._checkpoints.consider(self._members, ending or self._watch.asked, lambda: self._settled(state))
        self._watch.stop_if_asked()

    def step(self, losses: Tensor) -> None:
        """Record a step of every member."""
        self._step += 1
        self._stack.show()
        if losses.ndim == 1:
            losses = losses.unsqueeze(1).expand(-1, self._stack.config.chains)
        open_now = self._open()
        if self._together is None:
            self._together = Together([member.run.recorder for _, member in open_now if member.run is not None])
        all_open = len(open_now) == len(losses)
        self._together.step(losses if all_open else losses[[position for position, _ in open_now]])
        for position, member in open_now:
            assert member.run is not None
            weights = self._stack.weights[position]
            member.run.step(self._step, weights.unsqueeze(0) if weights.ndim == 1 else weights, losses[position])
        self._pace.step(len(self._stack.rows))
        # Between two checks of a large model minutes may pass.
        if time.monotonic() - self._reported > LONG_SILENCE:
            self._report(self._step)

    def _settle(self) -> None:
        """Let the recorders know all steps, and be called one by one."""
        if self._together is not None:
            self._together.settle()
            self._together = None

    def _settled(self, state: Callable[[], State]) -> State:
        self._settle()
        return state()

    def log(self, rows: Mapping[int, dict[str, float]], step: int) -> None:
        """Log the observables of members."""
        self._pace.logged()
        for position, member in self._open():
            if position in rows:
                assert member.run is not None
                member.run.log(rows[position], step)
                self._guard(member, rows[position][schema.METRIC_TRAIN_LOSS], step)

    def check(self, losses: Tensor, step: int) -> None:
        """Note the members that diverged, and report progress."""
        self._watch.check()
        # The sum of a model's chains is not finite where one of them is not.
        means = losses.reshape(len(losses), -1).mean(dim=1).tolist()
        # A stack that cannot shrink still holds the models that have ended.
        for position, member in self._open():
            self._guard(member, means[position], step)
        if time.monotonic() - self._reported > PROGRESS_EVERY:
            self._report(step)

    def ending(self, step: int) -> list[int]:
        """Members that have as many independent snapshots as they need."""
        found = []
        for position, member in self._open():
            assert member.run is not None
            if member.run.need.satisfied(step):
                found.append(position)
        return found

    def end(self, squares: Mapping[int, Tensor], step: int) -> None:
        """Hand over what the members have recorded that have ended, and end their runs."""
        self._pace.ended(len(squares))
        self._settle()
        for position, of_chains in squares.items():
            member = self._members[position]
            if member.open:
                assert member.run is not None
                self._stack.show()
                member.run.enough(step, of_chains)
                member.finish()

    def gone(self) -> list[int]:
        """Members that diverged."""
        return [position for position, member in enumerate(self._members) if not member.open]

    def kept(self, positions: Sequence[int]) -> None:
        """Go on with some of the members."""
        self._settle()
        self._members = [self._members[position] for position in positions]

    def _open(self) -> list[tuple[int, StackMember]]:
        return [(position, member) for position, member in enumerate(self._members) if member.open]

    def _guard(self, member: StackMember, loss: float, step: int) -> None:
        try:
            require_finite(loss, member.config, step)
        except Diverged as error:
            self._settle()
            member.fail(error)

    def _report(self, step: int) -> None:
        self._reported = time.monotonic()
        runs = [member.run for _, member in self._open() if member.run is not None]
        ends = [run.need.expected_end(step, run.config) for run in runs]
        fraction = (self._turn + self._fraction(step, ends)) / self._turns
        spent, left = self._pace.spent, self._pace.left(ends, self._stack.can_shrink)
        # The stacks before this one took, and those after it will take, about as long.
        each = spent + (left or 0.0)
        spent += self._turn * each
        left = None if left is None else left + (self._turns - self._turn - 1) * each
        emit("progress", **asdict(Report(fraction, spent, left)))

    def _fraction(self, step: int, ends: Sequence[float]) -> float:
        """Share of the steps of this stack that is done, by what is planned now."""
        looks = [member.run.need.next_look for _, member in self._open() if member.run is not None]
        known = [look if math.isnan(end) else end for end, look in zip(ends, looks, strict=True)]
        return min(1.0, step / max([*known, 1]))
