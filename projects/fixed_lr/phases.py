"""When the phases of a run begin and end: burning in, forgetting the other chains, recording."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_thermo.schedule import Schedule, bursts, consecutive, spaced
from mlflow_thermo.schema import SPACED
from projects.fixed_lr.config import TrainConfig


@dataclass(frozen=True)
class Phases:
    """The course of one run, in optimiser steps of each chain.

    Attributes
    ----------
    branch : the one trajectory parts into chains after this step; 0 for a run of a single chain.
    record : what is recorded, and what the analysis looks at, begins after this step.
    spacing : steps between two snapshots of a chain.
    first : the first step at which a run that goes on by need is looked at.
    last : the run ends here at the latest; without a need, exactly here.
    """

    branch: int
    record: int
    spacing: int
    first: int
    last: int


def phases_of(config: TrainConfig) -> Phases:
    """The phases that the parameters of a run ask for."""
    record = config.burn_in + (config.forget if config.chains > 1 else 0)
    branch = config.burn_in if config.chains > 1 else 0
    spacing = config.spacing or max(1, (config.steps - record) * config.chains // config.snapshots)
    last = config.max_steps if config.until else config.steps
    return Phases(branch, record, spacing, config.steps, last)


def schedules(config: TrainConfig) -> tuple[Schedule, ...]:
    """The series that a run of `config` records."""
    phases = phases_of(config)
    if config.chains == 1 and not config.until:
        evenly = spaced(config.steps, config.snapshots)
        iterates = consecutive(config.steps, config.snapshots)
    else:
        evenly = Schedule(SPACED, tuple(range(phases.record + phases.spacing, phases.last + 1, phases.spacing)))
        # Nobody knows yet which iterates of a run that goes on by need will be its last: these are as stationary.
        end = phases.last if not config.until else phases.first
        iterates = consecutive(end, config.snapshots)
    return (
        evenly,
        iterates,
        *((bursts(phases.first, config.bursts, config.burst_size),) if config.bursts else ()),
    )
