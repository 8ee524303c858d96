"""What is wrong with the runs of a study, what to do about each, and how many steps it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.results import (
    AUTOCORRELATED,
    IMPRECISE,
    NOT_STATIONARY,
    OK,
    TOO_FEW,
    UNIDENTIFIED,
    RunResult,
    Status,
    remedy,
)
from analysis.stationarity import FEWEST_SNAPSHOTS, SNAPSHOTS_PER_DIMENSION
from analysis.study.examination import MIN_INDEPENDENT
from analysis.study.temperatures import PRECISION

#: Correlation times between two snapshots that count as independent.
SPACING = 3


@dataclass(frozen=True)
class Complaint:
    """What is wrong with one run.

    Attributes
    ----------
    run_id, lr, seed : of the run.
    status : one of `analysis.results.REMEDIES`.
    what : what was found, and what to do, in words.
    steps : optimiser steps that the run lacks, about; None where more steps do not help, or nobody can tell how many.
    """

    run_id: str
    lr: float
    seed: int
    status: Status
    what: str
    steps: int | None = None


def complaints(runs: Sequence[RunResult]) -> list[Complaint]:
    """Every run whose numbers are tentative or missing, by learning rate and seed."""
    return [
        Complaint(run.run_id, run.lr, run.seed, run.status, run.note or remedy(run.status), missing_steps(run))
        for run in sorted(runs, key=lambda run: (run.lr, run.seed))
        if run.status != OK
    ]


def missing_steps(run: RunResult) -> int | None:
    """Steps by which a run is too short; None where its length is not what is wrong."""
    sampling, evidence = run.sampling, run.sampling.evidence
    if sampling.spacing is None or not sampling.n_eff or not evidence.n > 0:
        return None
    chains = 1 if math.isnan(evidence.chains) else evidence.chains
    recorded = evidence.n / chains * sampling.spacing
    factor = _factor(run, sampling.n_eff, evidence.dim)
    return None if factor is None or factor <= 1 else math.ceil((factor - 1) * recorded)


def _factor(run: RunResult, n_eff: float, dim: float) -> float | None:
    """By how much longer the recording would have to be."""
    if run.status == TOO_FEW:
        # Of their own, or beside the other runs, whose entropies come from equally many.
        return max(FEWEST_SNAPSHOTS / n_eff, (run.sampling.n_used or 0) / run.sampling.evidence.n)
    if run.status == AUTOCORRELATED:
        return SPACING * MIN_INDEPENDENT / n_eff
    if run.status == UNIDENTIFIED:
        return SNAPSHOTS_PER_DIMENSION * dim / n_eff
    if run.status == NOT_STATIONARY:
        # What still drifts is not over within the window: nobody can tell more from within it.
        return 2.0
    found = run.temperature
    if run.status == IMPRECISE and found is not None and found.lower is not None and found.upper is not None:
        reach = max(found.value - found.lower, found.upper - found.value)
        # Errors go as one over the square root of the length.
        return float((reach / (PRECISION * found.value)) ** 2) if found.value > 0 else None
    return None
