"""Commands about studies that are there: what is wrong with them, what they say of other learning rates, their data."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlflow_thermo.errors import ThermoError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analysis.results import Estimate, RunResult, StudyResult
    from analysis.tracking import RunRecord

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of words.")
_URI = click.option("--tracking-uri", default="", help="Tracking server; default MLFLOW_TRACKING_URI.")


def _selection(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose runs of an experiment."""
    for option in (
        click.option("--filter", "filter_string", default="", help="MLflow search filter; default the newest sweep."),
        click.option("--sweep", default="", help="Id of the sweep; default the newest."),
        _URI,
        click.argument("experiment", default=""),
    ):
        command = option(command)
    return command


def _runs(experiment: str, tracking_uri: str, filter_string: str, sweep: str) -> Sequence[RunRecord]:
    import analysis

    return analysis.from_tracking(experiment or None, tracking_uri or None, filter_string, sweep or None)


def _analysed(runs: Sequence[RunRecord]) -> StudyResult:
    import analysis

    return analysis.analyze(runs, analysis.StudyConfig(jobs=os.cpu_count() or 1))


@click.command()
@click.argument("run_or_experiment", default="")
@_URI
@click.option("--fix", is_flag=True, help="Close the runs that say RUNNING although their program has ended.")
@_AS_JSON
def doctor(run_or_experiment: str, tracking_uri: str, fix: bool, as_json: bool) -> None:
    """Say what is wrong with a run, or with the runs of an experiment, and what to do about it.

    Exit status 1 where something is.
    """
    from analysis.study import complaints
    from analysis.tracking import experiment_of, from_tracking, orphans_of

    uri = tracking_uri or None
    inside = experiment_of(run_or_experiment, uri) if _may_be_a_run(run_or_experiment) else None
    lost = [] if inside else orphans_of(run_or_experiment, uri, fix=fix)
    runs: Sequence[RunRecord] = []
    if inside:
        chosen = f"attributes.run_id = '{run_or_experiment}'"
        runs = from_tracking(tracking_uri=uri, filter=chosen, experiment_id=inside)
    else:
        try:
            runs = _runs(run_or_experiment, tracking_uri, "", "")
        except ThermoError:
            # An experiment of orphans alone is one, too.
            if not lost:
                raise
    # What is still being recorded is not complete yet, and nothing is wrong with it.
    healthy = {run.run_id for run in runs if run.ended == "RUNNING"} | {one.run_id for one in lost}
    found = complaints([run for run in _judged(runs) if run.run_id not in healthy])
    if as_json:
        said = {"orphans": [asdict(one) for one in lost], "complaints": [asdict(one) for one in found]}
        click.echo(json.dumps(_finite(said), indent=1))
    for orphan in () if as_json else lost:
        click.echo(f"run {orphan.run_id} ({orphan.name}): {orphan.why}{', closed as KILLED' if fix else ''}")
    for one in () if as_json else found:
        longer = "" if one.steps is None else f" (about {one.steps:,} steps more)"
        click.echo(f"run {one.run_id} (lr={one.lr:g} seed={one.seed}): {one.status}: {one.what}{longer}")
    if lost and not fix:
        raise ThermoError(f"{len(lost)} of the runs that say RUNNING will say so for ever: --fix closes them")
    if found:
        raise ThermoError(f"{len(found)} of {len(runs)} runs have numbers that are tentative or missing, see above")
    if not as_json:
        click.echo(f"{len(runs)} runs, every one ok; no run says RUNNING whose program has ended")


def _may_be_a_run(text: str) -> bool:
    return len(text) == 32 and all(sign in "0123456789abcdef" for sign in text)


def _judged(runs: Sequence[RunRecord]) -> Sequence[RunResult]:
    """The runs as a study, or each alone where they are too few for one."""
    from analysis import analyze_run
    from analysis.results import INCOMPLETE, NO_SNAPSHOTS

    if len({run.lr for run in runs}) >= 3:
        try:
            return _analysed(runs).runs
        except ThermoError:
            # Too few of them can be read: then each says why.
            pass
    alone = [analyze_run(run) for run in runs]
    return [run for run in alone if run.status not in (INCOMPLETE, NO_SNAPSHOTS) or len(runs) == 1] or alone


@click.command()
@_selection
@click.option("--lr", default=math.nan, type=float, help="A learning rate that was not trained: its loss and length.")
@click.option(
    "--n-eff", default=0.0, type=float, help="Independent snapshots that it is to have; default those of now."
)
@_AS_JSON
def advise(
    experiment: str, tracking_uri: str, filter_string: str, sweep: str, lr: float, n_eff: float, as_json: bool
) -> None:
    """Say what the curve of an experiment means for the choice of the learning rate.

    The largest stable one, the loss at each, which have equilibrated, how many steps another needs, and what a larger
    batch would buy.
    """
    from analysis.study import advise as advice_of

    runs = _runs(experiment, tracking_uri, filter_string, sweep)
    result = _analysed(runs)
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
    if not math.isnan(lr):
        said["predicted"] = _predicted(result, lr, n_eff)
    if as_json:
        click.echo(json.dumps(_finite(said), indent=1))
        return
    for line in _in_words(said, lr):
        click.echo(line)


def _predicted(result: StudyResult, lr: float, n_eff: float) -> dict[str, Any]:
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


def _finite(value: Any) -> Any:
    """The same with None in the place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@click.command()
@_selection
@click.option("--out", default="thermo-export", show_default=True, help="Folder for the files.")
@click.option("--snapshots/--no-snapshots", default=True, help="Write RUN_ID.nc for every run, as ArviZ reads it.")
def export(experiment: str, tracking_uri: str, filter_string: str, sweep: str, out: str, snapshots: bool) -> None:
    """Write the results as runs.parquet, and the snapshots of every run as a DataTree of (chain, draw)."""
    from analysis.trajectory import RunError, datatree_of
    from mlflow_thermo.schema import SPACED

    runs = _runs(experiment, tracking_uri, filter_string, sweep)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    _analysed(runs).to_frame().to_parquet(folder / "runs.parquet", index=False)
    click.echo(f"wrote {folder / 'runs.parquet'}")
    for run in runs if snapshots else ():
        try:
            tree = datatree_of(run.load(SPACED))
        except RunError as error:
            click.echo(f"note: {error}", err=True)
            continue
        try:
            tree.to_netcdf(folder / f"{run.run_id}.nc", engine="h5netcdf")
        except (ImportError, ValueError) as error:
            # A ValueError is xarray's word for an engine that is not there.
            raise ThermoError(f"snapshots cannot be written ({error}): pip install 'mlflow-thermo[export]'") from error
        click.echo(f"wrote {folder / f'{run.run_id}.nc'}")
