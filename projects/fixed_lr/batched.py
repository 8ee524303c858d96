"""Trains several learning rates of one seed in one process, side by side; the batched engine of `sweep`.

Each learning rate has its own MLflow run, which an analysis cannot tell from one that was trained alone. On stdout
each line is one event as a JSON object, for the sweep that started this program.
"""

from __future__ import annotations

import math
import time

import click
import torch

from analysis.cli import entry
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from projects.common import ParentWatch, Terminated, open_run, parse_lrs, reason_of
from projects.fixed_lr.config import resolve
from projects.fixed_lr.loop import run_loop
from projects.fixed_lr.members import StackMember, StackObserver, describe
from projects.fixed_lr.memory import models_that_fit
from projects.fixed_lr.need import expected_steps
from projects.fixed_lr.options import config_options, parse_options
from projects.fixed_lr.progress import emit
from projects.fixed_lr.recording import Baseline, RecordedRun, recording_bytes
from projects.fixed_lr.stack import ModelStack
from projects.fixed_lr.train import baseline_of, choose_device
from projects.fixed_lr.training_setup import prepare


def train_stack(members: list[StackMember], watch: ParentWatch, compiling: str, shares: int) -> None:
    """Train the members side by side, in as many turns as memory asks for."""
    config = members[0].config
    device = choose_device(config.device)
    one = prepare(config, device)
    fit = models_that_fit(one, len(members), shares, recording_bytes(config, one.weights))
    # Turns of equal size: the program of a whole stack serves one size only.
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
            member.run = RecordedRun(member.config, member.run_id, stack, stack.chains_of(row), baseline, size * shares)
        lrs = torch.tensor([[member.config.lr] for member in turn], device=device)
        steps = sum(expected_steps(member.config) for member in turn) / len(turn)
        compiled = stack.compile_if_worth_it(compiling, steps)
        emit("training", models=len(turn), compiled=compiled)
        observer = StackObserver(stack, turn, watch, number, len(turns))
        run_loop(stack, lrs, observer, [member.config for member in turn])


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
    members: list[StackMember] = []
    status, reason = "FAILED", "the program that trained it broke off"
    try:
        for config in configs:
            name = f"{config.preset} lr={config.lr:g} seed={config.seed}"
            with watch.holding():
                run_id = open_run(experiment, name, schema.KIND_TRAIN, {})
                members.append(StackMember(config, run_id))
            emit("opened", lr=config.lr, run_id=run_id)
        train_stack(members, watch, compiling, shares)
    except (Terminated, KeyboardInterrupt) as end:
        status, reason = "KILLED", f"ended: {reason_of(end)}; what was recorded is kept"
        raise ThermoError(reason) from end
    except Exception as error:
        reason = describe(error)
        raise
    finally:
        for member in members:
            member.abandon(status, reason)
        deadline = time.monotonic() + configs[0].wait
        for member in members:
            member.settle(max(0.0, deadline - time.monotonic()))
    if not all(member.ok for member in members):
        raise ThermoError("not every learning rate was trained, see its line")


if __name__ == "__main__":
    entry(main)
