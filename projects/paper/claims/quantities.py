"""Quantities of a study's runs, at each learning rate over its seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from analysis.results import Estimate, FloatArray, RunResult, StudyResult
from projects.paper.claims.claim import Answer, above

#: Takes a quantity from a run; None where the run does not have it.
Quantity = Callable[[RunResult], Estimate | float | None]


def runs_in(study: StudyResult | None, regime: str) -> list[RunResult]:
    """The runs of a study that ended in a regime."""
    return [run for run in study.runs if run.regime == regime] if study is not None else []


@dataclass(frozen=True)
class Levels:
    """A quantity at each learning rate, over the seeds.

    Attributes
    ----------
    lr, mean, stderr : (m,), by rising learning rate; the errors hold the spread of the seeds where there are several.
    """

    lr: FloatArray
    mean: FloatArray
    stderr: FloatArray


def loss_of(run: RunResult) -> Estimate | None:
    """Mean training loss of a run."""
    return run.loss


def entropy_of(run: RunResult) -> Estimate | None:
    """Entropy of a run by the study's estimator, nats."""
    return run.entropy


def paper_entropy_of(run: RunResult) -> float | None:
    """Entropy of a run's iterates by the paper's graph, graph units."""
    return run.paper.entropy


def estimates(runs: Iterable[RunResult], quantity: Quantity) -> list[tuple[float, Estimate]]:
    """Learning rate and estimate of each run that has the quantity."""
    found = ((run.lr, quantity(run)) for run in runs)
    return [(lr, one if isinstance(one, Estimate) else Estimate(one)) for lr, one in found if one is not None]


def levels(runs: Iterable[RunResult], quantity: Quantity) -> Levels:
    """Levels of a quantity over the runs that have it."""
    known = estimates(runs, quantity)
    lrs = sorted({lr for lr, _ in known})
    means, errors = [], []
    for lr in lrs:
        own = [one for other, one in known if other == lr]
        values = np.array([one.value for one in own])
        within = np.array([one.stderr or 0.0 for one in own])
        between = float(values.std(ddof=1)) if len(own) > 1 else 0.0
        means.append(float(values.mean()))
        errors.append(max(between, float(np.sqrt(np.mean(within**2)))) / math.sqrt(len(own)))
    return Levels(np.array(lrs), np.array(means), np.array(errors))


def rises(found: Levels) -> Answer:
    """Whether the levels rise: from first to last, and nowhere fall by more than noise (Bonferroni over the pairs)."""
    if len(found.lr) < 3:
        return None
    whole = above(found.mean[-1] - found.mean[0], math.hypot(found.stderr[0], found.stderr[-1]))
    steps = np.diff(found.mean)
    errors = np.hypot(found.stderr[1:], found.stderr[:-1])
    z = float(norm.isf(0.025 / len(steps)))
    if whole is False or np.any(steps < -z * errors):
        return False
    return whole
