"""What a single run says at its end: its state, the temperatures that it can give alone, and what to do next."""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow import MlflowClient

from analysis.results import Estimate, InsufficientData, RunResult
from analysis.stationarity import Regime
from analysis.trajectory import RunError
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError, without_password
from projects.fixed_lr.config import TrainConfig
from projects.fixed_lr.need import Need
from projects.fixed_lr.presets import PRESETS

logger = logging.getLogger(__name__)

#: Name of the picture among the run's artifacts.
PICTURE = "run.png"

_WORDS = {
    schema.STATIONARY: "stationary: the loss fluctuates about a plateau",
    schema.CONVERGING: "converging: the loss still falls",
    schema.UNIFORM: "uniform: the weights wander over the whole sphere, where the temperature is infinite",
    schema.DIVERGED: "diverged: the loss is not finite",
    "": "-: too few steps to tell, take more",
}


def look_at(run_id: str) -> RunResult | None:
    """Analyse the run, put its numbers and its picture on it; None where it cannot be read."""
    try:
        return _analysed(run_id)
    except (ThermoError, InsufficientData):
        # What was recorded is safe, and the words of the training itself have been said.
        return None
    except Exception as error:
        # A training of days does not fail because of what is said about it; the fault must be seen all the same.
        logger.warning("run %s could not be analysed at its end: %s: %s", run_id, type(error).__name__, error)
        return None


def _analysed(run_id: str) -> RunResult:
    # Imported here: what a training needs at its end alone must not make it start later.
    from analysis import analyze_run, from_tracking
    from analysis.report import run_figure, to_png
    from analysis.tracking import publish_run

    client = MlflowClient()
    experiment = client.get_experiment(client.get_run(run_id).info.experiment_id).name
    (run,) = from_tracking(experiment, filter=f"attributes.run_id = '{run_id}'")
    found = analyze_run(run)
    publish_run(found)
    snapshots = run.load(schema.SPACED)
    try:
        gradients = run.load(schema.GRADIENTS)
    except RunError:
        gradients = None
    with TemporaryDirectory(prefix="thermo-") as folder:
        picture = Path(folder) / PICTURE
        picture.write_bytes(to_png(run_figure(found, snapshots, gradients)))
        client.log_artifact(run_id, str(picture))
    return found


def closing_words(config: TrainConfig, regime: Regime, need: Need, step: int, run_id: str) -> str:
    """The lines that a training prints at its end, before its run is analysed."""
    low, high = config.lr_range
    lines = [f"final U   {regime.loss:.4g} (mean training loss of what was recorded)"]
    lines.append(f"regime    {_WORDS[regime.name]}")
    if regime.name in (schema.UNIFORM, schema.CONVERGING) and not low <= config.lr <= high:
        lines.append(f"          lr from {low:g} to {high:g} is the range worth trying with {config.preset}")
    elif regime.name == schema.CONVERGING:
        lines.append("          more steps bring it nearer to a stationary state, if there is one")
    if need.needed is not None:
        lines.append(f"n_eff     {need.words(step)}")
    lines.append(f"run       {run_id}")
    return "\n".join(lines)


def words_of(found: RunResult) -> str:
    """What the analysis of the run adds."""
    lines = []
    if found.entropy is not None:
        error = "" if found.entropy.stderr is None else f" ± {found.entropy.stderr:.2g}"
        lines.append(f"S         {found.entropy.value:.6g}{error} nats")
    thermal = found.thermometers
    for name, one in (("T noise", thermal.noise), ("T virial", thermal.virial)):
        if one is not None:
            lines.append(f"{name:<10}{_interval(one)} (no entropy)")
    if thermal.spread is not None:
        alike = "alike along all directions" if (thermal.p_value or 0) > 0.01 else "unlike along directions"
        lines.append(f"          equipartition: {alike}, spread {thermal.spread:.0%} of the mean")
    lines.append(f"status    {found.status}{': ' + found.note if found.note else ''}")
    lines.append(f"picture   {PICTURE}, among the artifacts of the run")
    return "\n".join(lines)


def what_next(config: TrainConfig) -> str:
    """How to look at the run, and how to get the whole curve."""
    uri = without_password(mlflow.get_tracking_uri())
    look = f"mlflow ui --backend-store-uri {uri}" if uri.startswith("sqlite") else f"open {uri}"
    preset = "" if config.preset == TrainConfig.preset else f" -P preset={config.preset}"
    grid = PRESETS[config.preset]["lrs"]
    return f"look      {look}\nT(lr)     mlflow run . -e sweep{preset} -P lrs={grid} && mlflow run . -e analyze"


def _interval(one: Estimate) -> str:
    return f"{one.value:.3g}  95 % {one.lower:.3g} … {one.upper:.3g}"
