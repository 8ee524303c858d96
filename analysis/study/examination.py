"""The first reading of a run, before its entropy: regime, independence of snapshots, fluctuation ratio."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from analysis.results import (
    AUTOCORRELATED,
    CONSTANT,
    CONVERGING,
    DIVERGED,
    INCONSISTENT,
    NOT_STATIONARY,
    OK,
    TOO_FEW,
    UNIFORM,
    ZERO_TEMPERATURE,
    AnyArray,
    Estimate,
    Evidence,
    FloatArray,
    InsufficientData,
    RunResult,
    Sampling,
    Status,
    number,
    remedy,
)
from analysis.stationarity import (
    BLOCKS,
    TEST_LEVEL,
    Diagnosis,
    classify,
    diagnose,
    evenly_spaced,
    independent_snapshots,
    mean_and_stderr,
    record_problem,
)
from analysis.study.full_losses import full_losses
from analysis.temperature import at_optimum, fluctuation_dissipation
from analysis.trajectory import RunError, Trajectory
from mlflow_thermo import schema

#: Snapshots that a run must keep when thinned to three correlation times, for them to count as independent.
MIN_INDEPENDENT = 30
#: Share of repeated snapshots from which on they are mentioned.
SOME = 0.02
#: Fluctuation-dissipation ratios this close to 1 move no temperature beyond its interval.
BALANCED = 0.1
#: Limits for the shared subspace: snapshots of a run, snapshots of all runs together, and numbers in them.
_BASIS_ROWS, _BASIS_TOTAL, _BASIS_SIZE = 64, 1500, 2**26


#: Metrics under which trainers log their learning rate, and by how much it may differ from the recorded one.
_RATE, _SAME_RATE = re.compile(r"^(train/)?(lr|learning_rate)(-SGD)?$"), 0.01


@dataclass(frozen=True)
class Examined:
    """A run after its first reading.

    Attributes
    ----------
    result : with loss, regime, status, correlation time; no entropy yet.
    independent : snapshots that count as independent; 0 where the status is not ok.
    kept : snapshots after burn-in.
    shape : the trajectory with one column of its weights; None for a run that cannot be read.
    rows : a few snapshots for the shared subspace.
    full_losses : (chain, draw) of the full training set after burn-in; None where the run did not measure them.
    """

    result: RunResult
    independent: int = 0
    kept: int = 0
    shape: Trajectory | None = None
    rows: AnyArray | None = None
    full_losses: FloatArray | None = None

    @property
    def full_loss(self) -> Estimate | None:
        """Mean of `full_losses` with its standard error."""
        return None if self.full_losses is None else Estimate(*mean_and_stderr(self.full_losses))


def examine(base: RunResult, load: Callable[[str], Trajectory], uniform_std: float | None, n_runs: int) -> Examined:
    """Read a run once and judge its snapshots.

    Parameters
    ----------
    base : identity of the run.
    load : as of `RunInput`.
    uniform_std : standard deviation of the loss over random weights, if known.
    n_runs : runs of the study, among which the memory for the shared subspace is divided.
    """
    try:
        trajectory = load(schema.SPACED)
    except RunError as error:
        known = DIVERGED if error.status == DIVERGED else ""
        return Examined(replace(base, status=error.status, regime=known, note=str(error)))
    if not math.isfinite(base.lr) or base.lr <= 0:
        note = f"run {base.run_id} has no learning rate: log the metric thermo/lr"
        return Examined(replace(base, status=NOT_STATIONARY, note=note))
    if not np.isfinite(trajectory.loss).any() and np.isfinite(trajectory.weights).all():
        note = f"run {base.run_id} has no losses: pass them to SnapshotRecorder.step(loss)"
        return Examined(replace(base, status=NOT_STATIONARY, note=note))
    if not (np.isfinite(trajectory.weights).all() and np.isfinite(trajectory.loss).all()):
        note = f"run {base.run_id} holds weights or losses that are not finite: lower its lr={base.lr:g}"
        return Examined(replace(base, status=DIVERGED, regime=DIVERGED, note=note))
    if moved := _moved_rate(trajectory):
        return Examined(replace(base, status=NOT_STATIONARY, note=f"run {base.run_id} {moved}"))
    n, chains = len(trajectory), trajectory.n_chains
    if n < BLOCKS:
        each = " in each chain" if chains > 1 else ""
        note = f"run {base.run_id} has {n} snapshots{each}, at least {BLOCKS} are needed: record more"
        return Examined(replace(base, status=TOO_FEW, note=note, sampling=_uncounted(trajectory)))
    # The regime is that of the run: the mean of its chains has the least noise.
    mean_loss = trajectory.loss.mean(axis=0)
    regime = classify(trajectory.steps.astype(float), mean_loss, base.uniform_loss, uniform_std)
    found = diagnose(trajectory)
    status, independent = _verdict(found, regime.name, trajectory)
    problem = record_problem(trajectory)
    ratio, ratio_stderr = _fluctuation_ratio(trajectory)
    if problem:
        status, independent = INCONSISTENT, 0
    elif status == OK and (problem := _unbalanced(ratio, ratio_stderr, chains)):
        status, independent = NOT_STATIONARY, 0
    kept = chains * (n - found.burn_in)
    after = trajectory.take(slice(found.burn_in, None))
    loss, loss_stderr = mean_and_stderr(after.loss)
    result = replace(
        base, status=status, regime=regime.name, loss=Estimate(loss, loss_stderr),
        sampling=replace(
            _along(trajectory), n_eff=number(found.n_eff), tau=number(found.tau), burn_in=found.burn_in,
            evidence=replace(found.evidence, uniform_share=regime.uniform_share),
        ),
        hops=regime.hops, fluctuation_ratio=ratio, note=problem or _note(status, found),
        n_train=_n_train(trajectory),
    )  # fmt: skip
    size = trajectory.common.shape[1]
    share = min(_BASIS_TOTAL, _BASIS_SIZE // size) // max(1, n_runs)
    rows = min(kept, _BASIS_ROWS, max(2, share))
    return Examined(
        result, independent, kept,
        replace(trajectory, weights=trajectory.weights[..., :1], shared=None),
        np.array(after.common[evenly_spaced(kept, rows)]),
        full_losses(load, int(after.steps[0])),
    )  # fmt: skip


def _moved_rate(run: Trajectory) -> str:
    """That a trainer logged another learning rate at the end than the one that was recorded; empty if it did not."""
    for name, value in run.metrics.items():
        if _RATE.search(name) and math.isfinite(value) and abs(value - run.lr) > _SAME_RATE * run.lr:
            return (
                f"was recorded at lr={run.lr:g} and its metric {name!r} ends at {value:g}: a temperature is that of a "
                "fixed learning rate, so train without a scheduler, or record after it has come to rest"
            )
    return ""


def _along(run: Trajectory) -> Sampling:
    """Where along the training the snapshots lie."""
    if not len(run):
        return Sampling()
    spacing = int(np.median(np.diff(run.steps))) if len(run) > 1 else None
    return Sampling(spacing=spacing, last_step=int(run.steps[-1]))


def _uncounted(run: Trajectory) -> Sampling:
    """Of snapshots that are too few to be judged: at best all of them are independent."""
    n, chains = float(len(run) * run.n_chains), float(run.n_chains) if run.n_chains > 1 else math.nan
    return replace(_along(run), n_eff=n, evidence=Evidence(n=n, chains=chains, dim=float(run.dim)))


def _verdict(found: Diagnosis, regime: str, trajectory: Trajectory) -> tuple[Status, int]:
    """Status of the run and the number of its independent snapshots."""
    if found.status == CONSTANT:
        # A converged run that no longer moves sits at the optimum; any other frozen run is a mistake.
        lowest = float(trajectory.loss[:, -len(trajectory) // 4 :].mean())
        return (ZERO_TEMPERATURE if at_optimum(lowest) else CONSTANT), 0
    if regime in (CONVERGING, UNIFORM):
        return (CONVERGING if regime == CONVERGING else UNIFORM), 0
    if trajectory.n_chains > 1:
        # Chains of many correlation times each know theirs: snapshots one such time apart are independent enough.
        return found.status, int(found.n_eff) if found.status == OK else 0
    spaced = independent_snapshots(len(trajectory), found.tau, found.burn_in)
    if found.status == OK:
        # At a correlation time between one and two snapshots nothing shows that they depend on each other.
        return OK, max(spaced, int((len(trajectory) - found.burn_in) / found.tau))
    if found.status == AUTOCORRELATED and spaced >= MIN_INDEPENDENT:
        return OK, spaced
    return found.status, 0


def _note(status: Status, found: Diagnosis) -> str:
    if status == OK and found.evidence.stays > SOME * found.evidence.n:
        share = found.evidence.stays / found.evidence.n
        return f"{share:.0%} of the snapshots repeat the one before: rejected moves, or calls that were no updates"
    if status in (OK, ZERO_TEMPERATURE):
        return remedy(status)
    return f"{found.reason}: {remedy(status)}" if found.reason and status == found.status else remedy(status)


def _n_train(trajectory: Trajectory) -> int | None:
    logged = str(trajectory.params.get("n_train", ""))
    return int(logged) if logged.isdigit() else None


def _weight_decay(trajectory: Trajectory) -> float:
    """As the run logged it, 0 where it did not; NaN where that is no number."""
    logged = trajectory.params.get("weight_decay", "")
    if logged in ("", "None"):
        return 0.0
    try:
        return float(logged)
    except ValueError:
        # A parameter is whatever text the training logged; an unknown decay costs the run this ratio, not the analysis.
        return math.nan


def _fluctuation_ratio(trajectory: Trajectory) -> tuple[float | None, float]:
    """From the sums over the window; None where they were not logged or do not apply. NaN for an unknown error."""
    sums = {
        name[len(schema.PREFIX_WINDOW) :]: value
        for name, value in trajectory.metrics.items()
        if name.startswith(schema.PREFIX_WINDOW)
    }
    if not sums or (not trajectory.on_sphere and _weight_decay(trajectory) != 0):
        # Weight decay adds a force that the sums do not include.
        return None, math.nan
    try:
        found = fluctuation_dissipation(
            sums, trajectory.lr, max(1, trajectory.n_weights), on_sphere=trajectory.on_sphere
        )
    except InsufficientData:
        return None, math.nan
    return number(found.ratio), sums.get(schema.RATIO_STDERR, math.nan)


def _unbalanced(ratio: float | None, stderr: float, chains: int) -> str:
    """In words that noise and drift do not balance, which they do in any stationary state of the logged updates."""
    if ratio is None or not stderr > 0:
        return ""
    p = float(2 * stats.t.sf(abs(ratio - 1) / stderr, chains - 1))
    if not p < TEST_LEVEL or abs(ratio - 1) <= BALANCED:
        return ""
    return (
        f"the fluctuation-dissipation ratio is {ratio:.3g} ± {stderr:.1g}, 1 in a stationary state: train longer, "
        "or check that the updates are plain SGD at the logged learning rate"
    )
