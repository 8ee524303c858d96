"""The tests of a study as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.results.statuses import Status


@dataclass(frozen=True)
class Boundary:
    """The learning rate at which one regime gives way to another.

    Attributes
    ----------
    below, above : the regimes on both sides.
    lr : posterior median.
    lower, upper : 95 % interval, equal tails.
    n_misplaced : runs on the wrong side of it.
    """

    below: str
    above: str
    lr: float
    lower: float
    upper: float
    n_misplaced: int


@dataclass(frozen=True)
class Branches:
    """Where the regimes change along the learning rates of a study.

    Attributes
    ----------
    to_stationary : from converging to anything else; None where all runs are on one side (`beyond` says on which), or
        where no boundary puts more than half of the runs on the right side.
    to_uniform : from anything else to uniform; None likewise.
    bistable : learning rates whose runs end in different regimes, or where a run changes branch within its window.
    stationary_range : smallest and largest learning rate most of whose runs are stationary, between the boundaries;
        None where there is none.
    beyond : a sentence for each change of regime that lies outside of the learning rates of the study.
    """

    to_stationary: Boundary | None
    to_uniform: Boundary | None
    bistable: tuple[float, ...] = ()
    stationary_range: tuple[float, float] | None = None
    beyond: tuple[str, ...] = ()

    def holds(self, lr: float) -> bool:
        """Whether `lr` lies in the stationary range; True where no range is known."""
        between = self.stationary_range
        return between is None or between[0] <= lr <= between[1]


@dataclass(frozen=True)
class IdentifiabilityCheck:
    """Whether three entropies by different assumptions agree in their changes.

    Attributes
    ----------
    status : ``ok``, ``unidentified`` or ``too-few-samples``.
    disagreement : largest relative difference between the changes; None where nothing changes.
    dim, subspace_dim : D of the formulas; directions shared by all learning rates.
    """

    status: Status
    disagreement: float | None
    dim: int
    subspace_dim: int


@dataclass(frozen=True)
class LeaveOneOutCheck:
    """How many of `n` inner learning rates do not minimise F at the temperature of the others, and by how far."""

    n: int
    n_violated: int
    largest_step: int


@dataclass(frozen=True)
class BrokenLawCheck:
    """One power law against two: whether the break is preferred, where it is, and the exponents on both sides."""

    preferred: bool
    lr_break: float
    exponent_below: float
    exponent_above: float
    bic_single: float | None
    bic_segmented: float | None


@dataclass(frozen=True)
class SeedsCheck:
    """Exponent of the power law with an error over the seeds, and its 95 % interval."""

    exponent: float
    exponent_stderr: float
    lower: float
    upper: float
    n_seeds: int


@dataclass(frozen=True)
class StudyChecks:
    """Tests of a study as a whole; None where the data do not allow one.

    Attributes
    ----------
    branches : where the regimes change.
    identifiability : whether the entropy is identified.
    convexity_p_value : of U being a convex, rising function of S.
    leave_one_out : each state judged at the temperature of the others.
    consistency, consistency_equipartition : slope of ∫ dU/T on S by these temperatures, and by equipartition's; 1 when
        they agree.
    robust_exponent : of the power law, by Huber's regression.
    segmented : one power law against two.
    seeds : exponent with an error over the seeds.
    """

    branches: Branches | None = None
    identifiability: IdentifiabilityCheck | None = None
    convexity_p_value: float | None = None
    leave_one_out: LeaveOneOutCheck | None = None
    consistency: float | None = None
    consistency_equipartition: float | None = None
    robust_exponent: float | None = None
    segmented: BrokenLawCheck | None = None
    seeds: SeedsCheck | None = None
