"""Entry point `toy_sphere`: the over- and the under-parameterised toy, and weight decay under isotropic noise."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from analysis.cli import entry
from analysis.report import TOY, require_folder, start_report
from analysis.testsystems import toys
from mlflow_thermo import schema
from mlflow_thermo.schema import ThermoError
from projects.common import parse_lrs
from projects.toy_sphere.decay import DecayStudy, run_decay
from projects.toy_sphere.measurement import ToyStudy, run_toy, small_lr_slope

if TYPE_CHECKING:
    from analysis.report import Chart

#: Steps and chains of a toy, where the user gives none.
STEPS, CHAINS = 50_000, 256
#: Protocol, lr and range of the weight decays of the isotropic-noise sphere.
DECAYS = ((schema.FIXED_ELR, 0.05, 1e-3, 1e-1), (schema.FIXED_LR, 0.5, 5e-3, 2e-1))
DIMENSIONS = (3, 10)


def run_all(
    lrs: Sequence[float], steps: int, chains: int, seed: int, tell: Callable[[str], None] = lambda line: None
) -> tuple[list[ToyStudy], list[DecayStudy]]:
    """Both toys at all learning rates, and the weight-decay studies."""
    studies = []
    for toy in toys():
        tell(f"toy {toy.name}: {len(lrs)} learning rates, {chains} chains, {steps} steps")
        studies.append(run_toy(toy, lrs, steps, chains, seed))
    decays = []
    for protocol, lr, low, high in DECAYS:
        for d in DIMENSIONS:
            tell(f"weight decay: {protocol}, d = {d}")
            decays.append(run_decay(d, protocol, lr, np.geomspace(low, high, 6), seed))
    return studies, decays


def facts(studies: Sequence[ToyStudy], decays: Sequence[DecayStudy]) -> dict[str, float]:
    """The numbers that the toy is known for, by name; those that the learning rates do not allow are absent."""
    over, under = (next(study for study in studies if study.name == name) for name in ("op", "up"))
    least = toys()[1].least_loss
    found: dict[str, float] = {}
    if np.isfinite(over.snr[0]):
        found["op_low_lr_snr"] = float(over.snr[0])
    whole = over.lr[over.converged >= 1]
    if len(whole):
        found["op_largest_converging_lr"] = float(whole.max())
    # Below it a training that is too short has not come to its end yet.
    lost = over.lr[(over.converged < 1) & (over.lr > whole.max(initial=0.0))]
    if len(lost):
        found["op_smallest_other_lr"] = float(lost.min())
    if np.sum(under.lr <= 0.03) >= 2:
        found["up_loss_slope"], found["up_loss_slope_stderr"] = small_lr_slope(under, 0.03, least)
    found["up_stochastic_norm"] = float(under.minibatch_norm[0])
    for study in decays:
        found[f"decay_slope_{study.protocol}_d{study.n_weights}"] = study.slope
    return found


#: What each fact is, and what it should be.
EXACT: dict[str, tuple[str, str]] = {
    "op_low_lr_snr": ("over-parameterised, SNR at the lowest lr", "tan 30° = 0.577"),
    "op_largest_converging_lr": ("over-parameterised, largest lr at which every chain converges", "below 1"),
    "op_smallest_other_lr": ("over-parameterised, smallest lr at which one does not", "1 or above"),
    "up_loss_slope": ("under-parameterised, slope of U − 0.03846 in lr up to 0.03", "0.0370"),
    "up_stochastic_norm": ("under-parameterised, norm of the stochastic gradient at the optimum", "0.3846"),
    "decay_slope_fixed_elr_d3": ("weight decay at fixed effective lr, dS/d ln λ in 3 dimensions", "-1"),
    "decay_slope_fixed_elr_d10": ("weight decay at fixed effective lr, dS/d ln λ in 10 dimensions", "-4.5"),
    "decay_slope_fixed_lr_d3": ("weight decay at fixed lr, dS/d ln λ in 3 dimensions", "-0.5"),
    "decay_slope_fixed_lr_d10": ("weight decay at fixed lr, dS/d ln λ in 10 dimensions", "-2.25"),
}


def fact_rows(known: dict[str, float]) -> list[dict[str, str]]:
    """The facts as rows of a table: what, exact, measured."""
    return [
        {"what": what, "exact": exact, "measured": f"{known[name]:.4g}"}
        for name, (what, exact) in EXACT.items()
        if name in known
    ]


def write(
    studies: Sequence[ToyStudy], decays: Sequence[DecayStudy], charts: Mapping[str, Chart], out: Path
) -> dict[str, float]:
    """Tables, facts and figures into `out`; returns the facts."""
    from analysis.report import png_names, write_pngs

    names = ["toy.csv", "decay.csv", "toy.json"]
    start_report(out, TOY, [*names, *png_names(charts)])
    write_pngs(charts, out)
    known = facts(studies, decays)
    rows = [row for study in studies for row in study.rows()]
    written = [out / name for name in names]
    _csv(written[0], rows)
    _csv(written[1], [row for study in decays for row in study.rows()])
    content = {"facts": known, "toy": rows}
    written[2].write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return known


def _csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        table = csv.DictWriter(handle, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def _number(name: str, text: str, least: int) -> int:
    try:
        value = float(text)
        if value != int(value) or value < least:
            raise ValueError
    except (ValueError, OverflowError):
        raise ThermoError(f"{name} must be a whole number of at least {least}, got {text!r}") from None
    return int(value)


@click.command()
@click.option("--lrs", default="1e-3:10:80", show_default=True, help="lo:hi:n (log-spaced) or a comma list.")
@click.option("--steps", default=str(STEPS), show_default=True, help="Steps of every chain.")
@click.option("--chains", default=str(CHAINS), show_default=True, help="Independent chains at each learning rate.")
@click.option("--seed", default="0", show_default=True, help="Seed of start and samples.")
@click.option("--out", default="thermo-toy", show_default=True, help="Folder for tables and figures.")
@click.option("--experiment", default=None, help="MLflow experiment, outside of `mlflow run`.")
def main(lrs: str, steps: str, chains: str, seed: str, out: str, experiment: str | None) -> None:
    """SGD on the sphere at many learning rates, over- and under-parameterised, with its exact answers."""
    rates = parse_lrs(lrs)
    sizes = _number("steps", steps, 1000), _number("chains", chains, 10), _number("seed", seed, 0)
    from mlflow import MlflowClient

    from analysis.tracking import upload_report
    from projects.common import ParentWatch, log_new_params, own_run
    from projects.toy_sphere.figures import toy_figures
    from projects.toy_sphere.recording import record_study

    require_folder(out, TOY)
    watch = ParentWatch()
    with own_run(watch, experiment, "toy_sphere", schema.KIND_TOY, {}, "ended: {end}") as run_id:
        client = MlflowClient()
        log_new_params(run_id, {"lrs": lrs, "steps": steps, "chains": chains, "seed": seed})
        studies, decays = run_all(rates, *sizes, tell=lambda line: click.echo(line, err=True))
        watch.check()
        known = write(studies, decays, toy_figures(studies, decays), Path(out))
        experiment_id = client.get_run(run_id).info.experiment_id
        for study in studies:
            record_study(client, experiment_id, study)
        upload_report(client, run_id, out, TOY)
        for name, value in known.items():
            client.log_metric(run_id, f"toy/{name}", value)
            click.echo(f"{name:<28} {value:.5g}")
        click.echo(f"figures {(Path(out) / 'figures').resolve()}")


if __name__ == "__main__":
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    entry(main)
