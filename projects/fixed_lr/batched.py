"""Trains several learning rates of one seed in one process, side by side; the batched engine of `sweep`.

Each learning rate has its own MLflow run, which an analysis cannot tell from one that was trained alone. On stdout
each line is one event as a JSON object, for the sweep that started this program.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import click
import torch
from mlflow import MlflowClient

from analysis.cli import entry
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from projects.common import EXPERIMENT, ParentWatch, Terminated, open_run, parse_lrs, reason_of
from projects.fixed_lr.checkpoint import State, save
from projects.fixed_lr.config import resolve
from projects.fixed_lr.loop import run_loop
from projects.fixed_lr.members import StackCheckpoints, StackMember, StackObserver, describe
from projects.fixed_lr.memory import models_that_fit
from projects.fixed_lr.need import expected_steps
from projects.fixed_lr.options import SHARES, config_options, parse_options
from projects.fixed_lr.progress import emit
from projects.fixed_lr.recording import Baseline, RecordedRun, recording_bytes
from projects.fixed_lr.resuming import facts_of, same_config
from projects.fixed_lr.stack import ModelStack
from projects.fixed_lr.train import baseline_of, choose_device
from projects.fixed_lr.training_setup import prepare
from projects.fixed_lr.work import WorkFolder, stack_folder


def train_stack(
    members: list[StackMember], watch: ParentWatch, compiling: str, shares: int, checkpoint: State | None = None
) -> None:
    """Train the members side by side, in as many turns as memory asks for.

    Parameters
    ----------
    checkpoint : from which they go on; without the state of a loop they begin again.
    """
    config = members[0].config
    device = choose_device(config.device)
    loop = checkpoint["loop"] if checkpoint else None
    size, first = (checkpoint["size"], checkpoint["turn"]) if checkpoint and loop else (None, 0)
    if size is None:
        one = prepare(config, device)
        fit = models_that_fit(one, len(members), shares, recording_bytes(config, one.weights))
        # Turns of equal size: the program of a whole stack serves one size only.
        size = math.ceil(len(members) / math.ceil(len(members) / fit))
    turns = [members[start : start + size] for start in range(0, len(members), size)]
    baseline: Baseline | None = None
    if checkpoint and loop:
        mean, std = checkpoint["baseline"]
        baseline = (mean, std)
        # Compiled or not, the same program gives the same numbers to the last digit.
        compiling = "always" if checkpoint["compiled"] else "never"
    for number, turn in enumerate(turns):
        if number < first:
            for member in turn:
                member.recall()
            continue
        # Each turn begins with the generators as they were at the start, as a run that is trained alone does.
        one = prepare(config, device)
        stack = ModelStack(one, len(turn))
        found = baseline_of(stack)
        baseline = baseline or found
        begun = checkpoint if checkpoint and loop and number == first else None
        for row, member in enumerate(turn):
            if begun and member.run_id not in begun["open"]:
                member.recall()
                continue
            state = begun["open"][member.run_id] if begun else None
            member.run = RecordedRun(
                member.config, member.run_id, stack, stack.chains_of(row), baseline, size * shares,
                member.work, state, checkpoint is not None,
            )  # fmt: skip
        lrs = torch.tensor([[member.config.lr] for member in turn], device=device)
        steps = sum(expected_steps(member.config) for member in turn) / len(turn)
        compiled = stack.compile_if_worth_it(compiling, steps)
        emit("training", models=len(turn), compiled=compiled)
        saves = None
        if config.checkpoint_every:
            facts = {"size": size, "turn": number, "compiled": compiled, "baseline": baseline}
            saves = StackCheckpoints(folder_of(members), members, facts)
        there = turn
        if begun:
            by_id = {member.run_id: member for member in turn}
            there = [by_id[run_id] for run_id in begun["positions"]]
        done = begun["loop"]["done"] if begun else 0
        observer = StackObserver(stack, there, watch, number, len(turns), done, saves)
        run_loop(stack, lrs, observer, [member.config for member in turn], begun["loop"] if begun else None)


def folder_of(members: list[StackMember]) -> WorkFolder:
    """The folder of the stack's checkpoint."""
    return stack_folder(members[0].config.work_dir, [member.run_id for member in members])


def opened(given: dict[str, Any], lrs: str, experiment: str | None, watch: ParentWatch) -> Iterator[StackMember]:
    """Members with new runs."""
    for config in [resolve({**given, "lr": lr}) for lr in parse_lrs(lrs)]:
        name = f"{config.preset} lr={config.lr:g} seed={config.seed}"
        with watch.holding():
            member = StackMember(config, open_run(experiment, name, schema.KIND_TRAIN, {}))
            # Within: a signal must not come before somebody knows of the run.
            yield member
        emit("opened", lr=config.lr, run_id=member.run_id)


def found(folder: WorkFolder, given: dict[str, Any]) -> tuple[list[StackMember], State]:
    """The members of a stack that was cut off, and its checkpoint."""
    checkpoint = folder.state()
    if checkpoint is None:
        raise ThermoError(f"there is no checkpoint in {folder.folder}: start the sweep anew")
    client, members = MlflowClient(), []
    for saved, run_id in zip(checkpoint["configs"], checkpoint["runs"], strict=True):
        config = same_config(run_id, saved, given)
        members.append(StackMember(config, run_id))
        emit("opened", lr=config.lr, run_id=run_id)
        if checkpoint["loop"] is None or run_id in checkpoint["open"]:
            client.update_run(run_id, status="RUNNING")
    return members, checkpoint


@click.command()
@click.option("--lrs", default="", help="Comma list of learning rates. Needed, but with --resume.")
@click.option(
    "--resume",
    default="",
    help="Id of the first run of a stack that was cut off: go on with all of it.  [default: begin anew]",
)
@EXPERIMENT
@click.option(
    "--compile",
    "compiling",
    default="auto",
    type=click.Choice(["auto", "always", "never"]),
    show_default=True,
    help="Whether torch.compile is used; auto where it pays.",
)
@SHARES
@config_options(leave_out=("lr",))
def main(lrs: str, resume: str, experiment: str | None, compiling: str, shares: int, **options: str) -> None:
    """Train several fixed learning rates side by side, each as its own MLflow run."""
    watch = ParentWatch()
    given = parse_options(options)
    members: list[StackMember] = []
    checkpoint: State | None = None
    status, reason = "FAILED", "the program that trained it broke off"
    with ExitStack() as held:
        try:
            watch.stop_if_asked()
            if resume:
                folder = stack_folder(given.get("work_dir", ""), [resume])
                held.enter_context(folder.locked())
                members, checkpoint = found(folder, given)
            else:
                for member in opened(given, lrs, experiment, watch):
                    members.append(member)
                if members[0].config.checkpoint_every:
                    folder = folder_of(members)
                    held.enter_context(folder.locked())
                    save(folder.checkpoint, facts_of([one.config for one in members], [one.run_id for one in members]))
            torch.set_num_threads(members[0].config.threads)
            # Between two steps the training looks whether it is to stop, and saves where it is before it does.
            with watch.holding():
                train_stack(members, watch, compiling, shares, checkpoint)
                watch.close()
        except (Terminated, KeyboardInterrupt) as end:
            status, reason = "KILLED", f"ended: {reason_of(end)}; what was recorded is kept"
            raise ThermoError(reason) from end
        except Exception as error:
            reason = describe(error)
            raise
        finally:
            watch.close()
            for member in members:
                member.abandon(status, reason)
            since = time.monotonic()
            for member in members:
                member.await_delivery(since)
        # First the checkpoint: it needs the folders of the runs.
        folder_of(members).remove()
        for member in members:
            member.tidy()
    if not all(member.ok for member in members):
        raise ThermoError("not every learning rate was trained, see its line")


if __name__ == "__main__":
    entry(main)
