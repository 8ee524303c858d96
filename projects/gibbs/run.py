"""Entry point `gibbs`: exact Gibbs states of a network at set temperatures, each one MLflow run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from analysis.cli import entry
from mlflow_thermo import ThermoError, schema
from projects.common import EXPERIMENT
from projects.gibbs.config import DEFAULT, DTYPES, GibbsConfig, resolve
from projects.gibbs.presets import PRESETS

if TYPE_CHECKING:
    from projects.common import ParentWatch
    from projects.gibbs.recording import Outcome, TemperatureRun


def _preset_option(name: str, words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that is left to the preset where it is empty; its help names the values of all presets."""
    values = ", ".join(f"{preset} {given[name]}" for preset, given in PRESETS.items())
    return click.option(f"--{name}", default="", show_default=False, help=f"{words}. [default by preset: {values}]")


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as text, one line each."""
    lines = [f"{'T':>10} {'U':>9} {'Var(L)/T²':>9} {'accepted':>8} {'exchanged':>9} {'virial/T':>8}  {'run':<32}  note"]
    for o in outcomes:
        note = o.message if o.status == "FINISHED" else f"{o.status} {o.message}"
        lines.append(
            f"{o.temperature:>10.4g} {o.loss:>9.5f} {o.heat_capacity:>9.1f} {o.acceptance:>8.2f} {o.exchange:>9.2f} "
            f"{o.virial:>8.3f}  {o.run_id:<32}  {note}".rstrip()
        )
    return "\n".join(lines)


def run_ladder(config: GibbsConfig, experiment_id: str, sweep: str, watch: ParentWatch) -> list[Outcome]:
    """Sample every temperature into a run of its own; the runs end as the program does, with what they recorded."""
    import torch

    from projects.common import Terminated, await_delivery, first_line, reason_of
    from projects.gibbs.ladder import sample_ladder
    from projects.gibbs.recording import TemperatureRun
    from projects.gibbs.surfaces import make_surface

    # More threads on nets this small are slower than one.
    torch.set_num_threads(1)
    dtype = getattr(torch, config.dtype)
    surface = make_surface(config.preset, dtype)
    uniform = surface.uniform_loss(dtype, torch.Generator().manual_seed(0))
    runs: list[TemperatureRun] = []
    status, reason = "FAILED", "the program that sampled it broke off"
    try:
        for temperature in config.ladder:
            runs.append(TemperatureRun(experiment_id, sweep, config, surface, temperature, uniform, watch))
        sample_ladder(config, surface, runs, watch)
    except (Terminated, KeyboardInterrupt) as end:
        status, reason = "KILLED", f"ended: {reason_of(end)}; what was recorded is kept"
        raise
    except Exception as error:
        reason = first_line(error)
        raise
    finally:
        for run in runs:
            run.abandon(status, reason)
        await_delivery([recorder for run in runs for recorder in run.recorders])
    return [run.outcome for run in runs]


@click.command(context_settings={"show_default": True})
@click.option("--preset", default=DEFAULT, help=f"Network and settings: {', '.join(PRESETS)}.")
@_preset_option("temperatures", "Temperatures, lo:hi:n (log-spaced) or a comma list")
@_preset_option("chains", "Chains of each temperature")
@_preset_option("draws", "Recorded draws of each chain")
@_preset_option("every", "Trajectories from one draw to the next")
@_preset_option("leapfrogs", "Steps of a trajectory, one gradient each")
@_preset_option("burn_in", "Trajectories before the first draw, which tune the sampler")
@_preset_option("dtype", f"Type of the weights, {' or '.join(DTYPES)}")
@click.option("--seed", default="0", help="Seed of all that is random: the same seed gives the same runs.")
@EXPERIMENT
def main(experiment: str | None, **options: Any) -> None:
    """Exact Gibbs states p(w) ∝ exp(−L(w)/T) of a network at set temperatures, each as its own MLflow run."""
    config = resolve(options)
    # After the parameters: what they lack should not take seconds to say.
    from mlflow import MlflowClient

    from projects.common import ParentWatch, log_new_params, own_run

    watch = ParentWatch()
    sweep = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    stopped = f"gibbs {sweep} was ended: {{end}}; what was recorded is kept"
    tags = {schema.TAG_SWEEP: sweep}
    with own_run(watch, experiment, f"gibbs {config.preset}", schema.KIND_SWEEP, tags, stopped) as run_id:
        client = MlflowClient()
        log_new_params(run_id, vars(config))
        begin = time.monotonic()
        outcomes = run_ladder(config, client.get_run(run_id).info.experiment_id, sweep, watch)
        text = table(outcomes)
        client.log_text(run_id, text + "\n", "gibbs.txt")
        click.echo(text)
        click.echo(f"sweep {sweep}: {len(outcomes)} temperatures in {time.monotonic() - begin:.0f} s")
        failed = [outcome for outcome in outcomes if outcome.status != "FINISHED"]
        if failed:
            raise ThermoError(f"{len(failed)} of {len(outcomes)} temperatures failed: {failed[0].message}")
        click.echo("analyze with: mlflow run . -e analyze")


if __name__ == "__main__":
    entry(main)
