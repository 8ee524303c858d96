"""Commands about studies that are there: what they say of other learning rates, and their data."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analysis.cli.display import steady_progress
from analysis.cli.selection import Selection, selects_runs
from mlflow_thermo.errors import ThermoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.results import Estimate, StudyResult
    from analysis.tracking import RunRecord

AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of words.")


def analysed(runs: Sequence[RunRecord]) -> StudyResult:
    """The result of a study, with a display of how far it is."""
    import analysis

    with steady_progress() as tell:
        return analysis.analyze(runs, analysis.StudyConfig(jobs=os.cpu_count() or 1), progress=tell)


class Positive(click.FloatRange):
    """A finite positive number; any other value is bad input: one line, exit status 1."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """`value` as a float."""
        try:
            number = float(value)
        except ValueError:
            # User input: float has no other way to report text that is no number.
            number = math.nan
        if not 0 < number < math.inf:
            raise ThermoError(
                f"{param.name if param else 'the number'} must be a finite positive number, got {value!r}"
            )
        return number


@click.command()
@selects_runs()
@click.option(
    "--lr", type=Positive(), help="A learning rate that was not trained: its loss and length.  [default: none]"
)
@click.option(
    "--n-eff",
    type=Positive(),
    help="Independent snapshots that a run at --lr is to have.  [default: the fewest of the runs]",
)
@AS_JSON
def advise(where: Selection, lr: float | None, n_eff: float | None, as_json: bool) -> None:
    """Say what the curve of an EXPERIMENT means for the choice of the learning rate.

    The largest stable one, the loss at each, which have equilibrated, how many steps another needs, and what a larger
    batch would buy.
    """
    from analysis.study import advise as advice_of

    if n_eff is not None and lr is None:
        raise ThermoError("--n-eff is that of a run at --lr: give --lr, too")
    runs = where.runs()
    result = analysed(runs)
    sizes = {run.params.get("batch_size") for run in runs}
    batch = next(iter(sizes)) if len(sizes) == 1 else None
    advice = advice_of(result, int(batch) if batch and batch.isdigit() else None)
    said: dict[str, Any] = {
        "largest_stable": None if advice.largest is None else asdict(advice.largest),
        "converging_below": advice.converging_below,
        "equilibrated": list(advice.equilibrated),
        "losses": {f"{run.lr:.4g}": _parts(run.loss) for run in result.runs if run.loss is not None},
        "noise_scale": {f"{rate:.4g}": _parts(found) for rate, found in advice.noise_scale.items()},
    }
    if lr is not None:
        said["predicted"] = _predicted(result, lr, n_eff)
    if as_json:
        click.echo(json.dumps(finite(said), indent=1))
        return
    for line in _in_words(said, math.nan if lr is None else lr):
        click.echo(line)


def _predicted(result: StudyResult, lr: float, n_eff: float | None) -> dict[str, Any]:
    from analysis.results import InsufficientData
    from analysis.study import predicted_loss, steps_needed

    known = [run.sampling.n_eff for run in result.runs if run.sampling.n_eff]
    chains = [run.sampling.evidence.chains for run in result.runs if run.sampling.evidence.chains > 0]
    wanted = n_eff or (min(known) if known else 0.0)
    side = int(chains[0]) if chains else 1
    out: dict[str, Any] = {"lr": lr, "n_eff": wanted, "chains": side}
    try:
        out["loss"] = _parts(predicted_loss(result, lr))
    except InsufficientData as error:
        out["no_loss"] = str(error)
    try:
        out["steps"] = _parts(steps_needed(result, lr, wanted, side))
    except InsufficientData as error:
        out["no_steps"] = str(error)
    return out


def _in_words(said: dict[str, Any], lr: float) -> list[str]:
    largest, lines = said["largest_stable"], []
    if largest is None:
        lines.append("no learning rate is stationary: train longer, or at larger ones")
    else:
        beyond = f"; {largest['above']:.3g} is {largest['why']}" if largest["above"] else "; larger ones were not tried"
        lines.append(f"largest stable lr   {largest['lr']:.3g}{beyond}")
    if said["converging_below"]:
        lines.append(f"still converging    up to lr={said['converging_below']:.3g}: train longer there")
    if said["equilibrated"]:
        rates = ", ".join(f"{rate:.3g}" for rate in said["equilibrated"])
        lines.append(f"equilibrated        lr={rates}: more steps lower the loss no further, a lower rate does")
    for rate, found in said["losses"].items():
        lines.append(f"loss at lr={rate:<8} {_number(found)}")
    for rate, found in said["noise_scale"].items():
        lines.append(
            f"B_simple at lr={rate:<8} {found['value']:.3g} samples: larger batches save steps up to about this size"
        )
    predicted = said.get("predicted", {})
    if "loss" in predicted:
        lines.append(f"lr={lr:g}: stationary loss {_number(predicted['loss'])}")
    if "steps" in predicted:
        found = predicted["steps"]
        lines.append(
            f"lr={lr:g}: {found['value']:,.0f} [{found['lower']:,.0f}, {found['upper']:,.0f}] steps of each of "
            f"{predicted['chains']} chains for {predicted['n_eff']:,.0f} independent snapshots"
        )
    lines += [f"lr={lr:g}: no {name[3:]}: {predicted[name]}" for name in ("no_loss", "no_steps") if name in predicted]
    return lines


def _parts(found: Estimate | None) -> dict[str, float | None]:
    return {} if found is None else {name: getattr(found, name) for name in ("value", "stderr", "lower", "upper")}


def _number(found: dict[str, Any]) -> str:
    if found["lower"] is not None:
        return f"{found['value']:.4g} [{found['lower']:.4g}, {found['upper']:.4g}]"
    return f"{found['value']:.4g}" + ("" if found["stderr"] is None else f" ± {found['stderr']:.2g}")


def finite(value: Any) -> Any:
    """The same with None in the place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@click.command()
@selects_runs()
@click.option("--out", default="thermo-export", show_default=True, metavar="DIR", help="Folder for the files.")
@click.option(
    "--snapshots/--no-snapshots",
    default=True,
    show_default=True,
    help="Write RUN_ID.nc for every run, as ArviZ reads it.",
)
def export(where: Selection, out: str, snapshots: bool) -> None:
    """Write the results of an EXPERIMENT as runs.parquet, and its snapshots as a file for every run.

    pandas reads the table, and ArviZ and xarray the snapshots, each as a DataTree of (chain, draw).
    """

    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ThermoError(f"{folder} is a file: choose another folder with --out")
    runs = where.runs()
    frame = analysed(runs).to_frame()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        frame.to_parquet(folder / "runs.parquet", index=False)
    except ImportError as error:
        raise ThermoError("a table in parquet needs pyarrow: pip install pyarrow") from error
    click.echo(f"wrote {folder / 'runs.parquet'}")
    with steady_progress() as tell:
        for i, run in enumerate(runs if snapshots else ()):
            tell(i / len(runs), "writing snapshots")
            click.echo(_written(run, folder))


def _written(run: RunRecord, folder: Path) -> str:
    """The snapshots of a run in a file; what to say of it."""
    from analysis.trajectory import RunError, datatree_of
    from mlflow_thermo.schema import SPACED

    path = folder / f"{run.run_id}.nc"
    try:
        tree = datatree_of(run.load(SPACED))
    except RunError as error:
        return f"left out: {error}"
    try:
        tree.to_netcdf(path, engine="h5netcdf")
    except (ImportError, ValueError) as error:
        # A ValueError is xarray's word for an engine that is not there.
        raise ThermoError(f"snapshots cannot be written ({error}): pip install 'mlflow-thermo[export]'") from error
    return f"wrote {path}"
