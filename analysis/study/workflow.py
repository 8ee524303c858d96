"""From the runs of a study to its result: pure, as many runs in memory as there are jobs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from analysis.entropy import (
    EntropyEstimator,
    RunEntropies,
    choose_estimator,
    correlation_with_mean,
    entropy_of,
    flat,
    make_estimator,
    paper_entropy,
    subspace_dimension,
    summarise_run,
)
from analysis.geometry import SharedBasis, fit_shared_basis
from analysis.results import CONVERGING, OK, TOO_FEW, ZERO_TEMPERATURE, RunResult, StudyResult, number, remedy
from analysis.stationarity import evenly_spaced
from analysis.study.checks import identifiability, seeds_disagree
from analysis.study.examination import Examined, examine, late_temperature, thermometers
from analysis.study.run_course import with_course, with_signal
from analysis.study.study_branches import baselines_of, branches_of
from analysis.study.temperatures import with_temperatures
from analysis.temperature import METHODS, at_optimum
from analysis.trajectory import History, Trajectory
from mlflow_thermo.schema import SPACED, STATIONARY, ThermoError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

#: A run with a smaller share of the median number of snapshots is left out instead of thinning all others to it.
SHORT = 0.5
#: Runs from which the shared subspace is found, at most: its cost must not grow with the study.
BASIS_RUNS = 500


class RunInput(Protocol):
    """A run whose snapshots can be loaded; `analysis.tracking.RunRecord` is one."""

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


@runtime_checkable
class Logged(Protocol):
    """A run whose metrics along the training can be read; one that is not has no signal-to-noise ratio."""

    @property
    def history(self) -> History:
        """Metrics along the training, by name."""


@dataclass(frozen=True)
class StudyConfig:
    """How to analyse.

    Attributes
    ----------
    entropy : short name of an estimator, or ``auto``.
    method : of `analysis.temperature.temperature_curve`.
    jackknife_blocks : time blocks behind the entropies' standard errors.
    jobs : runs that are read and measured at the same time, each in a thread with one thread of its own for algebra.
    """

    entropy: str = "auto"
    method: str = "local-quadratic"
    jackknife_blocks: int = 10
    jobs: int = 1


def analyze(runs: Sequence[RunInput], config: StudyConfig) -> StudyResult:
    """Analyse a study.

    Every run is read twice: once to judge its snapshots, and once, when it is known how many independent ones every
    run has, for its entropy from equally many of them.

    Raises
    ------
    ThermoError
        Fewer than three learning rates with readable snapshots, runs of different models or protocols, or an unknown
        estimator or method.
    """
    if config.method not in METHODS:
        raise ThermoError(f"method {config.method!r} is unknown: choose one of {', '.join(METHODS)}")
    examined = _each(
        lambda run: examine(
            RunResult(run.run_id, run.lr, run.seed, OK, "", uniform_loss=run.uniform_loss),
            run.load, run.uniform_loss_std, len(runs),
        ),
        runs, config.jobs,
    )  # fmt: skip
    shapes = [e.shape for e in examined if e.shape is not None]
    readable = {e.result.lr for e in examined if e.shape is not None}
    if len(readable) < 3:
        holes = next((e.result.note for e in examined if e.shape is None and e.result.note), "")
        raise ThermoError(
            f"a temperature needs at least 3 learning rates, {len(readable)} have usable snapshots: run a sweep with "
            f"more{'; first problem: ' + holes if holes else ''}"
        )
    _require_one_model(shapes)
    plan = _plan(examined, config, shapes[0])
    results = [e.result for e in examined]
    summaries: dict[int, RunEntropies] = {}
    shared: list[float] = []
    which = [i for i, e in enumerate(examined) if e.shape is not None]
    measured = _each(lambda i: _measured(runs[i], examined[i], plan), which, config.jobs)
    for i, (result, summary, correlation) in zip(which, measured, strict=True):
        results[i] = result
        if summary is not None and result.regime == STATIONARY:
            summaries[i] = summary
            shared.append(correlation)
    results, known = identifiability(results, summaries)
    notes = [r.note for r in results if r.loss is None]
    if "sketch_error" in plan.described:
        notes.append(f"the snapshots are sketches, whose distances are off by {plan.described['sketch_error']:.1%}")
    branches, strays, told = branches_of(results)
    results, law, said, found = with_temperatures(results, config.method, _pooled(shared), strays)
    notes += told + said
    for lr, rhat in seeds_disagree(_losses(examined)):
        notes.append(f"seeds of lr={lr:g} have different losses (split R-hat {rhat:.2f}): train longer")
    found = {"branches": branches, **({"identifiability": known} if known else {}), **found}
    shape = shapes[0]
    baselines = baselines_of(results, shape.protocol, shape.n_weights, plan.n_used, plan.fresh)
    return StudyResult(tuple(results), plan.described, config.method, law, tuple(notes), found, baselines)


def _require_one_model(shapes: Sequence[Trajectory]) -> None:
    """Entropies of different numbers of weights, or on and off a sphere, have no common scale."""
    first = shapes[0]
    for other in shapes[1:]:
        if (other.n_weights, other.protocol) != (first.n_weights, first.protocol):
            raise ThermoError(
                f"run {first.run_id} has {first.n_weights} weights (protocol {first.protocol}) and run {other.run_id} "
                f"{other.n_weights} (protocol {other.protocol}): choose runs of one kind with --sweep or --filter, or "
                "keep their folders apart"
            )


def _each(function: Callable[[Item], Answer], items: Sequence[Item], jobs: int) -> list[Answer]:
    """`function` of every item, in their order."""
    if jobs <= 1 or len(items) < 2:
        return [function(item) for item in items]
    # Threads, not processes: what takes long is algebra and transfer, which leave the interpreter to the others, and
    # memory is shared. One thread of algebra for each, or they would wait for each other.
    with threadpool_limits(1), ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(function, items))


@dataclass(frozen=True)
class _Plan:
    """What all entropies of a study share: equal N, estimator, subspace. Constants then cancel in differences."""

    n_used: int
    estimator: EntropyEstimator
    described: dict[str, Any]
    basis: SharedBasis | None

    def fresh(self) -> EntropyEstimator:
        """The study's estimator, unfitted: runs that are measured at the same time must not share one."""
        return clone(self.estimator)  # type: ignore[no-any-return]


def _plan(examined: Sequence[Examined], config: StudyConfig, shape: Trajectory) -> _Plan:
    readable = [e for e in examined if e.shape is not None]
    # Equal numbers for all: one run cut short must not cost the others their snapshots.
    fewest = SHORT * float(np.median([e.kept for e in readable]))
    usable = [e for e in readable if e.kept >= fewest]
    stationary = [e for e in usable if e.result.regime == STATIONARY] or usable
    independent = [e.independent for e in stationary if e.independent > 0]
    # No run to trust: all snapshots then, since thinning could not make them independent either.
    n_used = min(min(independent, default=10**9), *(e.kept for e in usable))
    n_eff = float(n_used) if independent else min(e.result.n_eff or 1.0 for e in stationary)
    estimator, described = _choose(config, n_eff, shape)
    described["n_used"] = n_used
    sketched = [e.shape.meta.get("sketch_error") for e in readable if e.shape is not None]
    if any(sketched):
        described["sketch_error"] = max(error for error in sketched if error)
    dim = shape.n_weights - int(shape.on_sphere)
    samples = [e.rows for e in stationary if e.rows is not None]
    samples = [samples[i] for i in evenly_spaced(len(samples), min(len(samples), BASIS_RUNS))]
    span = sum(len(rows) - 1 for rows in samples)
    q = min(subspace_dimension(n_used, dim), span // 2)
    try:
        basis = fit_shared_basis(samples, q) if q >= 1 else None
    except ValueError:
        # A run that does not move, or fewer directions than asked for: nothing to share.
        basis = None
    return _Plan(n_used, estimator, described, basis)


def _choose(config: StudyConfig, n_eff: float, shape: Trajectory) -> tuple[EntropyEstimator, dict[str, Any]]:
    dim = shape.n_weights - int(shape.on_sphere)
    if dim < 1:
        raise ThermoError(
            f"run {shape.run_id} has one weight on a sphere, which leaves it two points: take a larger model"
        )
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
    described = {"name": name, "dim": dim, "reason": reason, "snapshots": SPACED}
    return estimator, described


def _measured(run: RunInput, e: Examined, plan: _Plan) -> tuple[RunResult, RunEntropies | None, float]:
    """The run's entropy from the study's number of snapshots, and everything else that needs its weights.

    The last is the correlation of the errors of its loss and its entropy, NaN where it is not known.
    """
    result = with_course(replace(e.result, n_used=plan.n_used), run.load)
    if isinstance(run, Logged):
        result = with_signal(result, run.history)
    trajectory = run.load(SPACED)
    burn_in = result.burn_in or 0
    if e.kept < plan.n_used:
        note = f"run {run.run_id} has {e.kept} snapshots where the study's entropies take {plan.n_used}: train it again"
        return replace(result, status=TOO_FEW, note=note, n_used=None), None, math.nan
    index = evenly_spaced(len(trajectory), plan.n_used, burn_in)
    used = trajectory.take(index)
    estimator = plan.fresh()
    try:
        entropy, stderr, status = entropy_of(used, estimator)
    except ValueError as error:
        if result.status == ZERO_TEMPERATURE:
            return replace(result, temperature=0.0, temperature_lower=0.0, temperature_upper=0.0), None, math.nan
        return replace(result, status=TOO_FEW, note=f"run {run.run_id}: {str(error).splitlines()[0]}"), None, math.nan
    if result.status == OK and status != OK:
        result = replace(result, status=status, note=remedy(status))
    paper, n_paper = paper_entropy(run.load)
    result = replace(
        result, entropy=number(entropy), entropy_stderr=number(stderr), paper_entropy=paper, paper_n_used=n_paper
    )  # fmt: skip
    if result.regime == CONVERGING or result.status == ZERO_TEMPERATURE:
        return _cooling(result, trajectory.take(np.arange(burn_in, len(trajectory))), plan), None, math.nan
    values = estimator.entropy_jackknife_
    correlation = correlation_with_mean(values, trajectory.loss[burn_in:]) if len(values) else math.nan
    return thermometers(result, trajectory, index), _summary(used, plan), correlation


def _pooled(correlations: Sequence[float]) -> float | None:
    """One correlation for the study (Fisher 1921); None where no run has one."""
    known = np.array([one for one in correlations if math.isfinite(one)])
    return float(np.tanh(np.mean(np.arctanh(np.clip(known, -0.999, 0.999))))) if len(known) else None


def _cooling(result: RunResult, trajectory: Trajectory, plan: _Plan) -> RunResult:
    """A run on its way to an optimum: its temperature falls towards zero, which is an answer and not a failed fit."""
    quick = plan.fresh().set_params(jackknife_blocks=0)
    early, late = late_temperature(trajectory, lambda part: entropy_of(part, quick)[0])
    if result.status == ZERO_TEMPERATURE or at_optimum(float(trajectory.loss[-1])):
        bound = abs(late) if late is not None else 0.0
        return replace(
            result, status=ZERO_TEMPERATURE, regime=CONVERGING, temperature=0.0, temperature_lower=0.0,
            temperature_upper=bound, late_temperature=late,
            note="the run has reached an optimum, where the gradient noise dies out: T is zero",
        )  # fmt: skip
    if late is None:
        return result
    course = f"dU/dS falls from {early:.2g} to {late:.2g}" if early and late < early else f"dU/dS is {late:.2g}"
    return replace(result, late_temperature=late, note=f"T heads for zero ({course} over the window): {result.note}")


def _summary(used: Trajectory, plan: _Plan) -> RunEntropies | None:
    if plan.basis is None:
        return None
    points, correction = flat(used)
    dim = used.n_weights - int(used.on_sphere)
    try:
        return summarise_run(
            points, plan.basis.project(used.common), dim=dim, n_eff=plan.n_used, log_volume_correction=correction
        )
    except ValueError:
        return None


def _losses(examined: Sequence[Examined]) -> dict[float, list[Any]]:
    """Loss series after burn-in of the stationary runs, by learning rate."""
    out: dict[float, list[Any]] = {}
    for e in examined:
        if e.shape is not None and e.result.regime == STATIONARY:
            out.setdefault(e.result.lr, []).append(e.shape.loss[e.result.burn_in or 0 :])
    return out
