"""The entropy of a run from the study's number of snapshots, and everything else that needs its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from analysis.entropy import (
    RunEntropies,
    correlation_with_mean,
    entropy_of,
    flat,
    jackknife_stderr,
    paper_entropy,
    summarise_run,
)
from analysis.results import (
    CONVERGING,
    OK,
    TOO_FEW,
    ZERO_TEMPERATURE,
    Equipartition,
    Estimate,
    InsufficientData,
    IntArray,
    PaperNumbers,
    RunResult,
    number,
    remedy,
)
from analysis.stationarity import evenly_spaced
from analysis.study.cooling import ZERO, with_late_temperature
from analysis.study.course import with_course
from analysis.study.examination import Examined
from analysis.study.gradients import with_gradients
from analysis.study.plan import Plan
from analysis.study.run_input import Logged, RunInput
from analysis.study.thermometers import with_thermometers
from analysis.temperature import equipartition
from analysis.trajectory import Trajectory
from mlflow_thermo.errors import first_line
from mlflow_thermo.schema import SPACED


@dataclass(frozen=True)
class Measured:
    """A run after its second reading.

    Attributes
    ----------
    result : with its entropy and all else that needs weights.
    entropies : by three assumptions; None where it has none.
    correlation : of the errors of its loss and its entropy; NaN where it is not known.
    """

    result: RunResult
    entropies: RunEntropies | None = None
    correlation: float = math.nan


def measure(run: RunInput, e: Examined, plan: Plan) -> Measured:
    """Read a run again and measure it as the study's plan says."""
    result = with_course(replace(e.result, sampling=replace(e.result.sampling, n_used=plan.n_used)), run.load)
    if plan.full_losses and e.full_loss is not None:
        result = replace(result, loss=e.full_loss)
    if isinstance(run, Logged):
        result = with_gradients(result, run.history)
    trajectory = run.load(SPACED)
    burn_in = result.sampling.burn_in or 0
    if e.kept < plan.n_used:
        note = f"run {run.run_id} has {e.kept} snapshots where the study's entropies take {plan.n_used}: train it again"
        short = replace(result.sampling, n_used=None)
        return Measured(replace(result, status=TOO_FEW, note=note, sampling=short))
    chains = trajectory.n_chains
    index = evenly_spaced(len(trajectory), plan.n_used // chains, burn_in)
    used = trajectory.take(index)
    estimator = plan.fresh()
    blocks = estimator.get_params()["jackknife_blocks"]
    if chains > 1 and blocks:
        # Chains are independent of each other, parts of one are not quite: the errors are those between chains, or
        # between equal parts of chains where there are too few of them.
        estimator.set_params(jackknife_blocks=chains * math.ceil(blocks / chains))
    try:
        entropy, stderr, status = entropy_of(used, estimator)
    except InsufficientData as error:
        if result.status == ZERO_TEMPERATURE:
            return Measured(replace(result, temperature=ZERO))
        note = f"run {run.run_id}: {first_line(error)}"
        return Measured(replace(result, status=error.status, note=note))
    if result.status == OK and status != OK:
        result = replace(result, status=status, note=remedy(status))
    result = replace(
        result,
        entropy=Estimate(entropy, number(stderr)) if math.isfinite(entropy) else None,
        paper=PaperNumbers(*paper_entropy(run.load)),
    )
    if result.regime == CONVERGING or result.status == ZERO_TEMPERATURE:
        quick = plan.fresh().set_params(jackknife_blocks=0)
        after = trajectory.take(np.arange(burn_in, len(trajectory)))
        return Measured(with_late_temperature(result, after, lambda part: entropy_of(part, quick)[0]))
    values = estimator.entropy_jackknife_
    after = trajectory.take(slice(burn_in, None))
    losses = e.full_losses.reshape(-1) if plan.full_losses and e.full_losses is not None else after.losses
    correlation = correlation_with_mean(values, losses) if len(values) else math.nan
    if stderr > 0:
        # What an estimator adds to the error of its sample is independent of the loss.
        correlation *= jackknife_stderr(values) / stderr if len(values) else math.nan
    result = with_thermometers(with_equipartition(result, trajectory, index), run.load, trajectory)
    return Measured(result, _entropies(used, plan), correlation)


def with_equipartition(result: RunResult, trajectory: Trajectory, index: IntArray) -> RunResult:
    """The run with its equipartition temperature, from independent snapshots at `index` and the losses at them.

    On the sphere in the tangent plane: along the radius a state cannot move, which would look like T = 0.
    """
    used = trajectory.take(index)
    at_snapshot = used.snapshot_loss
    losses = used.loss if at_snapshot is None or not np.isfinite(at_snapshot).all() else at_snapshot
    try:
        found = equipartition(flat(used)[0], losses.reshape(-1))
    except InsufficientData:
        # Too few snapshots, or fewer directions than asked for: the run keeps its other results.
        return result
    measured = (found.temperature, found.temperature_stderr, found.spread, found.p_value)
    return replace(result, equipartition=Equipartition(*(number(value) for value in measured)))


def _entropies(used: Trajectory, plan: Plan) -> RunEntropies | None:
    if plan.basis is None:
        return None
    points, correction = flat(used)
    try:
        return summarise_run(
            points, plan.basis.project(used.common), dim=used.dim, n_eff=plan.n_used, log_volume_correction=correction
        )
    except InsufficientData:
        return None
