"""From the runs of a study to its result: pure, one run in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from analysis.entropy.base import EntropyEstimator
from analysis.entropy.knn_graph import KNNGraphEntropy
from analysis.entropy.select import choose_estimator, make_estimator
from analysis.reduction import tangent_space
from analysis.regime import BLOCKS, classify
from analysis.regression import power_law
from analysis.results import (
    CONVERGING,
    DIVERGED,
    NOT_STATIONARY,
    OK,
    TOO_FEW,
    UNIFORM,
    RunResult,
    StudyResult,
    remedy,
)
from analysis.stationarity import correlation_time, mean_and_stderr
from analysis.temperature import temperature_curve
from analysis.trajectory import RunError, Trajectory
from mlflow_thermo.schema import CONSECUTIVE, SPACED, STATIONARY, ThermoError

#: Fewer independent snapshots give no entropy worth the name.
MIN_N_EFF = 10.0
#: Neighbours of the paper's graph.
PAPER_K = 50


class RunInput(Protocol):
    """A run whose snapshots can be loaded; `analysis.source.RunRecord` is one."""

    @property
    def run_id(self) -> str:
        """Name of the run."""

    @property
    def lr(self) -> float:
        """Learning rate."""

    @property
    def seed(self) -> int:
        """Run seed."""

    @property
    def uniform_loss(self) -> float | None:
        """Mean loss of uniformly random weights, if known."""

    @property
    def uniform_loss_std(self) -> float | None:
        """Its standard deviation over points, if known."""

    def load(self, series: str) -> Trajectory:
        """One series of snapshots; RunError where it cannot be read."""


@dataclass(frozen=True)
class StudyConfig:
    """How to analyse.

    Attributes
    ----------
    entropy : short name of an estimator, or ``auto``.
    method : of `analysis.temperature.temperature_curve`.
    jackknife_blocks : time blocks behind the entropies' standard errors.
    """

    entropy: str = "auto"
    method: str = "local-quadratic"
    jackknife_blocks: int = 10


def analyze(runs: Sequence[RunInput], config: StudyConfig) -> StudyResult:
    """Analyse a study.

    Raises
    ------
    ThermoError
        Fewer than three learning rates with readable snapshots.
    """
    results, shape = [], None
    for run in runs:
        result, seen = _diagnose(run)
        results.append(result)
        shape = shape or seen
    readable = {r.lr for r in results if r.loss is not None}
    if len(readable) < 3 or shape is None:
        holes = next((r.note for r in results if r.loss is None and r.note), "")
        raise ThermoError(
            f"a temperature needs at least 3 learning rates, {len(readable)} have usable snapshots: run a sweep with "
            f"more{'; first problem: ' + holes if holes else ''}"
        )
    stationary = [r.n_eff for r in results if r.regime == STATIONARY and r.n_eff is not None]
    n_eff = min(stationary or [r.n_eff for r in results if r.n_eff is not None])
    estimator, described = _choose(config, n_eff, shape)
    results = [
        _with_entropy(run, r, estimator) if r.loss is not None else r for run, r in zip(runs, results, strict=True)
    ]
    notes = [r.note for r in results if r.loss is None]
    results, law, said = _with_temperatures(results, config.method)
    return StudyResult(tuple(results), described, config.method, law, tuple(notes + said))


def _diagnose(run: RunInput) -> tuple[RunResult, Trajectory | None]:
    """Loss, regime and independence of one run; the trajectory without its weights, for its shape."""
    base = RunResult(run.run_id, run.lr, run.seed, OK, "", uniform_loss=run.uniform_loss)
    try:
        trajectory = run.load(SPACED)
    except RunError as error:
        known = DIVERGED if error.status == DIVERGED else ""
        return replace(base, status=error.status, regime=known, note=str(error)), None
    if not math.isfinite(run.lr) or run.lr <= 0:
        note = f"run {run.run_id} has no learning rate: log the metric thermo/lr"
        return replace(base, status=NOT_STATIONARY, note=note), None
    if not (np.isfinite(trajectory.weights).all() and np.isfinite(trajectory.loss).all()):
        note = f"run {run.run_id} holds weights or losses that are not finite: lower its lr={run.lr:g}"
        return replace(base, status=DIVERGED, regime=DIVERGED, note=note), None
    if len(trajectory) < BLOCKS:
        note = f"run {run.run_id} has {len(trajectory)} snapshots, at least {BLOCKS} are needed: record more"
        return replace(base, status=TOO_FEW, note=note), None
    regime = classify(trajectory.steps.astype(float), trajectory.loss, run.uniform_loss, run.uniform_loss_std)
    loss, loss_stderr = mean_and_stderr(trajectory.loss)
    tau = correlation_time(trajectory.weights)
    n_eff = len(trajectory) / tau
    status = {CONVERGING: CONVERGING, UNIFORM: UNIFORM}.get(regime.name, OK if n_eff >= MIN_N_EFF else TOO_FEW)
    result = replace(
        base, status=status, regime=regime.name, loss=loss, loss_stderr=loss_stderr, tau=tau, n_eff=n_eff,
        note=remedy(status),
    )  # fmt: skip
    return result, replace(trajectory, weights=trajectory.weights[:, :1], n_weights=trajectory.n_weights)


def _choose(config: StudyConfig, n_eff: float, shape: Trajectory) -> tuple[EntropyEstimator, dict[str, Any]]:
    dim = shape.n_weights - int(shape.on_sphere)
    if config.entropy == "auto":
        choice = choose_estimator(n_eff, dim, shape.on_sphere)
        name, estimator, reason = choice.name, choice.estimator, choice.reason
    else:
        name, reason = config.entropy, "asked for"
        try:
            estimator = make_estimator(name, dim=dim)
        except ValueError as error:
            raise ThermoError(f"entropy: {error}") from error
    estimator.set_params(jackknife_blocks=config.jackknife_blocks)
    return estimator, {"name": name, "dim": dim, "reason": reason, "snapshots": SPACED}


def entropy_of(trajectory: Trajectory, estimator: EntropyEstimator) -> tuple[float, float, str]:
    """Entropy in nats, its standard error and the estimator's status; on a sphere in its tangent space.

    The paper's graph takes the chords of the sphere as they are, with D = d − 1.
    """
    points, correction = trajectory.weights, 0.0
    if trajectory.on_sphere and not isinstance(estimator, KNNGraphEntropy):
        tangent = tangent_space(points, n_weights=trajectory.n_weights)
        points, correction = tangent.coordinates, tangent.log_volume_correction
    fitted = estimator.fit(points)
    return fitted.entropy_ + correction, fitted.entropy_stderr_, fitted.status_


def _with_entropy(run: RunInput, result: RunResult, estimator: EntropyEstimator) -> RunResult:
    try:
        entropy, stderr, status = entropy_of(run.load(SPACED), estimator)
    except ValueError as error:
        return replace(result, status=TOO_FEW, note=f"run {run.run_id}: {str(error).splitlines()[0]}")
    if result.status == OK and status != OK:
        result = replace(result, status=status, note=remedy(status))
    # Correlated snapshots hold less than their number: the jackknife's blocks are only right when independent.
    return replace(result, entropy=_number(entropy), entropy_stderr=_number(stderr), paper_entropy=_paper_entropy(run))


def _paper_entropy(run: RunInput) -> float | None:
    try:
        trajectory = run.load(CONSECUTIVE)
        dim = trajectory.n_weights - int(trajectory.on_sphere)
        return _number(entropy_of(trajectory, KNNGraphEntropy(PAPER_K, dim=dim, jackknife_blocks=0))[0])
    except (RunError, ValueError):
        # Parity with the paper is extra: a run without consecutive iterates still has its own numbers.
        return None


def _with_temperatures(
    results: list[RunResult], method: str
) -> tuple[list[RunResult], dict[str, Any] | None, list[str]]:
    chosen = [i for i, r in enumerate(results) if r.regime == STATIONARY and r.entropy is not None]
    if len({results[i].lr for i in chosen}) < 3:
        note = f"{len(chosen)} stationary runs: no temperature, which needs 3 stationary learning rates"
        return results, None, [note]
    lr, loss, entropy, loss_err, entropy_err = (
        np.array([getattr(results[i], name) or 0.0 for i in chosen], dtype=float)
        for name in ("lr", "loss", "entropy", "loss_stderr", "entropy_stderr")
    )
    curve = temperature_curve(lr, loss, entropy, loss_err, entropy_err, method)
    paper = _paper_temperatures(results, chosen)
    out = list(results)
    for k, i in enumerate(chosen):
        t = float(curve.temperature[k])
        status = str(curve.status[k]) if results[i].status == OK else results[i].status
        out[i] = replace(
            results[i],
            temperature=_number(t),
            temperature_lower=_number(curve.lower[k]),
            temperature_upper=_number(curve.upper[k]),
            free_energy=_number(loss[k] - t * entropy[k]),
            paper_temperature=paper[k],
            paper_ratio=_ratio(paper[k], t),
            status=status,
            note=remedy(status),
        )
    return out, *_law(lr, curve.temperature, curve.stderr)


def _paper_temperatures(results: list[RunResult], chosen: list[int]) -> list[float | None]:
    entropies = [results[i].paper_entropy for i in chosen]
    if any(value is None for value in entropies):
        return [None] * len(chosen)
    lr, loss = (np.array([getattr(results[i], name) for i in chosen], dtype=float) for name in ("lr", "loss"))
    curve = temperature_curve(lr, loss, np.array(entropies, dtype=float), method="interval")
    return [_number(value) for value in curve.temperature]


def _law(lr: Any, temperature: Any, stderr: Any) -> tuple[dict[str, Any] | None, list[str]]:
    weights = stderr if np.isfinite(stderr).all() else None
    try:
        fit = power_law(lr, temperature, weights)
    except ValueError as error:
        return None, [f"no power law: {error}"]
    names = ("exponent", "exponent_stderr", "prefactor", "prefactor_stderr", "lr_min", "lr_max", "n", "n_excluded")
    return {name: getattr(fit, name) for name in names}, []


def _ratio(part: float | None, whole: float) -> float | None:
    return part / whole if part is not None and math.isfinite(whole) and whole > 0 else None


def _number(value: float) -> float | None:
    """JSON has no NaN or infinity: a number that does not exist is None."""
    return float(value) if math.isfinite(value) else None
