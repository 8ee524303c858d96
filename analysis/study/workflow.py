"""From the runs of a study to its result, with at most one run per job in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from analysis.entropy import ESTIMATOR_NAMES
from analysis.results import OK, UNREADABLE, FloatArray, RunResult, StudyResult
from analysis.study.baselines import baselines_of
from analysis.study.branches import branches_of
from analysis.study.checks import identifiability, seeds_disagree
from analysis.study.examination import Examined, examine
from analysis.study.measurement import measure
from analysis.study.mixing import as_mixed, differences
from analysis.study.plan import plan_of
from analysis.study.repeats import without_repeats
from analysis.study.run_input import RunInput
from analysis.study.temperatures import with_temperatures
from analysis.temperature import METHODS
from analysis.trajectory import Trajectory
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import AUTO, STATIONARY

Answer = TypeVar("Answer")
#: Told the share of an analysis that is done, and what it is at.
Progress = Callable[[float, str], None]
#: Of an analysis each of its two readings takes about so much, and the fits the rest.
_READ, _MEASURED = 0.48, 0.96


@dataclass(frozen=True)
class StudyConfig:
    """How to analyse a study.

    Attributes
    ----------
    entropy : short name of an estimator, or ``auto``.
    method : of `analysis.temperature_curve`.
    jackknife_blocks : time blocks behind the entropies' standard errors; 0 for none.
    jobs : runs that are read and measured at the same time, in threads with single-threaded linear algebra each.

    Raises
    ------
    ThermoError
        An unknown estimator or method, a single block, or no job at all.

    Examples
    --------
    >>> StudyConfig(entropy="oas", jobs=2).method
    'local-quadratic'
    """

    entropy: str = AUTO
    method: str = METHODS[0]
    jackknife_blocks: int = 10
    jobs: int = 1

    def __post_init__(self) -> None:
        # Not when they are needed, which is minutes later, after the runs have been read.
        if self.entropy not in (AUTO, *ESTIMATOR_NAMES):
            names = ", ".join((AUTO, *ESTIMATOR_NAMES))
            raise ThermoError(f"entropy: unknown entropy estimator {self.entropy!r}: choose one of {names}")
        if self.method not in METHODS:
            raise ThermoError(f"method {self.method!r} is unknown: choose one of {', '.join(METHODS)}")
        if self.jackknife_blocks < 0 or self.jackknife_blocks == 1:
            raise ThermoError(f"jackknife_blocks must be 0 (off) or at least 2, got {self.jackknife_blocks}")
        if self.jobs < 1:
            raise ThermoError(f"jobs must be at least 1, got {self.jobs}")


def analyze(
    runs: Sequence[RunInput],
    config: StudyConfig | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> StudyResult:
    """Analyse a study: entropy, temperature and free energy of its runs, and tests of the study as a whole.

    A training that was recorded several times counts once. Runs that differ in more than learning rate, seed and length
    are analysed together with a note; where that changes their states, no temperature of theirs is ``ok``.

    Every run is read twice: first to judge its snapshots, then, once it is known how many independent ones every run
    has, to compute its entropy from equally many of them.

    Parameters
    ----------
    runs : as `analysis.from_tracking` and `analysis.from_folder` give them.
    config : how to analyse; by default `StudyConfig()`.
    executor : reads and measures the runs, in threads, processes or on a cluster; by default ``config.jobs`` threads.
    progress : is told after every run the share of the work that is done, and what comes next.

    Returns
    -------
    StudyResult
        Entropies in nats, temperatures in loss units per nat.

    Raises
    ------
    ThermoError
        Fewer than three learning rates with readable snapshots, or runs of different models or protocols.

    Examples
    --------
    Nine runs, recorded below ``runs``:

    >>> from analysis import analyze, from_folder
    >>> result = analyze(from_folder("runs"))
    >>> len(result.runs), result.estimator.dim, {run.regime for run in result.runs}
    (9, 3, {'stationary'})
    """
    config = StudyConfig() if config is None else config
    each = partial(_each, executor, config.jobs)
    tell = progress or _nobody
    tell(0.0, "reading runs")
    first = each(partial(examined_run, n_runs=len(runs)), runs, done=partial(_share, tell, "reading runs", 0.0))
    examined, repeated = without_repeats(first)
    differ, mixed = differences([e.shape for e in examined if e.shape is not None])
    shape = _require_a_study(examined)
    plan = plan_of(examined, shape, config.entropy, config.jackknife_blocks)
    results = [e.result for e in examined]
    which = [i for i, e in enumerate(examined) if e.shape is not None]
    again = each(
        partial(measure, plan=plan), [runs[i] for i in which], [examined[i] for i in which],
        done=partial(_share, tell, "measuring entropies", _READ),
    )  # fmt: skip
    tell(_MEASURED, "fitting temperatures")
    measured = dict(zip(which, again, strict=True))
    for i, found in measured.items():
        results[i] = found.result
    warm = {i: m for i, m in measured.items() if m.entropies is not None and m.result.regime == STATIONARY}
    results, known = identifiability(results, {i: m.entropies for i, m in warm.items() if m.entropies is not None})
    notes = [*repeated, *differ, *(r.note for r in results if r.loss is None)]
    if plan.described.sketch_error is not None:
        notes.append(f"the snapshots are sketches, whose distances are off by {plan.described.sketch_error:.1%}")
    branches = branches_of(results)
    if any(r.set_temperature is None for r in results):
        # Gibbs states change no regime.
        notes += branches.notes
    correlation = _pooled_correlation([m.correlation for m in warm.values()])
    thermal = with_temperatures(results, config.method, correlation, branches.strays)
    notes += thermal.notes
    for lr, rhat in seeds_disagree(_losses(examined)):
        notes.append(f"seeds of lr={lr:g} have different losses (split R-hat {rhat:.2f}): train longer")
    return StudyResult(
        runs=tuple(as_mixed(run) if mixed else run for run in thermal.runs),
        estimator=plan.described,
        method=config.method,
        power_law=thermal.power_law,
        notes=tuple(notes),
        checks=replace(thermal.checks, branches=branches.found, identifiability=known),
        baselines=baselines_of(thermal.runs, shape, plan.n_used, plan.fresh),
        origin=getattr(runs, "origin", None),
    )


def examined_run(run: RunInput, n_runs: int) -> Examined:
    """The first reading of one of the `n_runs` runs of a study."""
    base = RunResult(
        run.run_id, run.lr, run.seed, OK, "", uniform_loss=run.uniform_loss,
        set_temperature=getattr(run, "set_temperature", None),
    )  # fmt: skip
    return examine(base, run.load, run.uniform_loss_std, n_runs)


def _require_a_study(examined: Sequence[Examined]) -> Trajectory:
    """The shape of the runs; ThermoError unless enough of them can be read, and they are of one kind.

    Entropies of different numbers of weights, or on and off a sphere, have no common scale.
    """
    readable = {e.result.lr for e in examined if e.shape is not None}
    if len(readable) < 3:
        problems = [e.result for e in examined if e.shape is None and e.result.note]
        if not readable and problems and all(one.status in UNREADABLE for one in problems):
            raise ThermoError(f"none of the {len(examined)} runs can be read: {problems[0].note}")
        raise ThermoError(
            f"a temperature needs at least 3 learning rates, {len(readable)} have usable snapshots: run a sweep with "
            f"more{'; first problem: ' + problems[0].note if problems else ''}"
        )
    first, *others = (e.shape for e in examined if e.shape is not None)
    for other in others:
        if (other.n_weights, other.protocol) != (first.n_weights, first.protocol):
            raise ThermoError(
                f"run {first.run_id} has {first.n_weights} weights (protocol {first.protocol}) and run {other.run_id} "
                f"{other.n_weights} (protocol {other.protocol}): choose runs of one kind with --sweep or --filter, or "
                "keep their folders apart"
            )
    return first


def _nobody(share: float, doing: str) -> None:
    """A progress that nobody looks at."""


def _share(tell: Progress, doing: str, before: float, done: int, total: int) -> None:
    tell(before + _READ * done / total, doing)


def _each(
    executor: Executor | None,
    jobs: int,
    function: Callable[..., Answer],
    *arguments: Sequence[Any],
    done: Callable[[int, int], None],
) -> list[Answer]:
    """`function` of the first of all arguments, of the second, and so on; `done` is told how many of them there are."""

    def counted(answers: Iterable[Answer]) -> list[Answer]:
        found = []
        for answer in answers:
            found.append(answer)
            done(len(found), len(arguments[0]))
        return found

    if executor is None and (jobs <= 1 or len(arguments[0]) < 2):
        return counted(function(*one) for one in zip(*arguments, strict=True))
    with ExitStack() as stack:
        # Threads, not processes: most of the time goes into linear algebra and transfers, which release the interpreter
        # lock, and memory is shared. Single-threaded algebra in each, or they would wait for each other.
        pool = stack.enter_context(ThreadPoolExecutor(jobs)) if executor is None else executor
        if isinstance(pool, ThreadPoolExecutor):
            # For all of them at once: each on its own would take back the limit of the others.
            stack.enter_context(threadpool_limits(1))
        else:
            function = partial(_alone, function)
        return counted(pool.map(function, *arguments))


def _alone(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """`function` in single-threaded algebra: other processes use the other cores."""
    with threadpool_limits(1):
        return function(*arguments)


def _pooled_correlation(correlations: Sequence[float]) -> float | None:
    """One correlation for the study (Fisher 1921); None where no run has one."""
    known = np.array([one for one in correlations if math.isfinite(one)])
    return float(np.tanh(np.mean(np.arctanh(np.clip(known, -0.999, 0.999))))) if len(known) else None


def _losses(examined: Sequence[Examined]) -> dict[float, list[FloatArray]]:
    """Loss series after burn-in of the stationary runs, by learning rate."""
    out: dict[float, list[FloatArray]] = {}
    for e in examined:
        if e.shape is not None and e.result.regime == STATIONARY:
            out.setdefault(e.result.lr, []).append(e.shape.loss.mean(axis=0)[e.result.sampling.burn_in or 0 :])
    return out
