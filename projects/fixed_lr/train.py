"""Entry point `main`: one training run at a fixed learning rate."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict
from typing import Any

import click
import mlflow
import numpy as np
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from analysis.regime import Regime, classify
from mlflow_thermo import schema
from mlflow_thermo.recorder import SnapshotRecorder, consecutive, spaced
from mlflow_thermo.schema import ThermoError
from projects.fixed_lr.config import TrainConfig, config_options, parse_lr, parse_options, resolve
from projects.fixed_lr.lifetime import ParentWatch, Terminated
from projects.fixed_lr.loop import Diverged, prepare, run_loop, uniform_baseline
from projects.fixed_lr.tracking import MetricLog, log_new_params, open_run


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` takes cuda, then mps, then cpu."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available[name]:
        raise ThermoError(f"device {name!r} is not available on this machine: use device=auto")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.processor() or platform.machine()})"


def train(config: TrainConfig, run_id: str, watch: ParentWatch) -> Regime:
    """Train one run, record it into MLflow run `run_id`, and say in which regime it ended.

    Raises
    ------
    ThermoError
        Bad data or a diverged run; what was recorded until then is uploaded.
    """
    torch.set_num_threads(config.threads)
    client = MlflowClient()
    device = choose_device(config.device)
    client.set_tag(run_id, schema.TAG_DEVICE, device_name(device))
    experiment = prepare(config, device)
    log_new_params(run_id, {**asdict(config), "d": experiment.d, "n_train": len(experiment.data.y_train)})
    metrics = MetricLog(run_id)
    baseline: tuple[float, float] | tuple[None, None] = (None, None)
    if config.protocol == schema.SPHERE:
        mean, std = baseline = uniform_baseline(experiment, experiment.noise_generator)
        metrics.add({schema.METRIC_UNIFORM_LOSS: mean, schema.METRIC_UNIFORM_LOSS_STD: std}, 0)
    metrics.flush()
    recorder = SnapshotRecorder(
        experiment.model,
        series=(spaced(config.steps, config.snapshots), consecutive(config.steps, config.snapshots)),
        lr=config.lr,
        seed=config.seed,
        protocol=config.protocol,
        run_id=run_id,
        attributes={
            "uniform_loss": baseline[0],
            "uniform_loss_std": baseline[1],
            "weight_decay": 0.0 if config.protocol == schema.SPHERE else config.weight_decay,
        },
    )
    try:
        with recorder:
            run_loop(experiment, recorder, metrics.add, lambda step: watch.check())
    except Diverged:
        client.set_tag(run_id, schema.TAG_REGIME, schema.DIVERGED)
        client.set_tag(run_id, schema.TAG_STATUS, schema.DIVERGED)
        raise
    finally:
        metrics.flush()
    index = recorder.index(schema.SPACED)
    regime = classify(np.array(index.steps), np.array(index.loss_mean, dtype=float), *baseline)
    metrics.add({schema.METRIC_LOSS: regime.loss}, config.steps)
    metrics.flush()
    client.set_tag(run_id, schema.TAG_REGIME, regime.name)
    return regime


_WORDS = {
    schema.STATIONARY: "stationary: the loss fluctuates about a plateau",
    schema.CONVERGING: "converging: the loss still falls",
    schema.UNIFORM: "uniform: the weights wander over the whole sphere, where the temperature is infinite",
    schema.DIVERGED: "diverged: the loss is not finite",
}


def closing_words(config: TrainConfig, regime: Regime, run_id: str) -> str:
    """The plain lines that a run ends with."""
    low, high = config.lr_range
    lines = [f"final U   {regime.loss:.4g} (mean training loss over the second half)"]
    lines.append(f"regime    {_WORDS[regime.name]}")
    if regime.name in (schema.UNIFORM, schema.CONVERGING) and not low <= config.lr <= high:
        lines.append(f"          lr from {low:g} to {high:g} is the range worth trying with {config.preset}")
    elif regime.name == schema.CONVERGING:
        lines.append("          more steps bring it nearer to a stationary state, if there is one")
    lines.append(f"run       {run_id}")
    uri = mlflow.get_tracking_uri()
    look = f"mlflow ui --backend-store-uri {uri}" if uri.startswith("sqlite") else f"open {uri}"
    lines.append(f"look      {look}")
    return "\n".join(lines)


def run_once(given: dict[str, Any], experiment: str | None) -> None:
    """Resolve the config, open the run, train; the MLflow run ends as the training does."""
    watch = ParentWatch()
    config = resolve(given)
    run_id = open_run(experiment, f"{config.preset} lr={config.lr:g} seed={config.seed}", schema.KIND_TRAIN, {})
    client = MlflowClient()
    # The run's word is final only when its data is there: set it in every way out, as no one else may.
    status = "FAILED"
    try:
        regime = train(config, run_id, watch)
        status = "FINISHED"
    except ThermoError:
        click.echo(f"run       {run_id}")
        raise
    except Terminated as end:
        status = "KILLED"
        raise ThermoError(f"run {run_id} was ended: {end}; what was recorded is kept") from end
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        client.set_terminated(run_id, status)
    click.echo(closing_words(config, regime, run_id))


@click.command(context_settings={"show_default": True})
@click.option("--lr", required=True, help="Learning rate: a finite positive number.")
@click.option("--experiment", default=None, help="MLflow experiment, outside of `mlflow run`.")
@config_options(leave_out=("lr",))
def main(lr: str, experiment: str | None, **options: str) -> None:
    """Train at one fixed learning rate and record weight snapshots into an MLflow run."""
    run_once({"lr": parse_lr(lr), **parse_options(options)}, experiment)


def entry(command: click.Command) -> None:
    """Run a command; a mendable error becomes one line on stderr and exit status 1."""
    try:
        command()
    except ThermoError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except MlflowException as error:
        click.echo(f"error: MLflow: {str(error).splitlines()[0]}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    # Progress bars and emoji links of MLflow's client would bury the few lines that matter.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    entry(main)
