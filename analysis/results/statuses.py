"""The closed set of statuses, each with its remedy, and the error that carries one."""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias

Status: TypeAlias = Literal[
    "ok",
    "not-stationary",
    "autocorrelated",
    "unidentified",
    "diverged",
    "too-few-samples",
    "duplicates",
    "constant",
    "converging",
    "uniform",
    "no-snapshots",
    "corrupt",
    "out-of-reach",
    "incomplete",
    "empty",
    "zero-temperature",
    "no-interval",
    "inconsistent-record",
    "thermometers-disagree",
    "imprecise",
    "skewed",
    "duplicate-run",
    "mixed-runs",
]

OK: Final = "ok"
NOT_STATIONARY: Final = "not-stationary"
AUTOCORRELATED: Final = "autocorrelated"
UNIDENTIFIED: Final = "unidentified"
DIVERGED: Final = "diverged"
TOO_FEW: Final = "too-few-samples"
DUPLICATES: Final = "duplicates"
CONSTANT: Final = "constant"
CONVERGING: Final = "converging"
UNIFORM: Final = "uniform"
NO_SNAPSHOTS: Final = "no-snapshots"
CORRUPT: Final = "corrupt"
OUT_OF_REACH: Final = "out-of-reach"
INCOMPLETE: Final = "incomplete"
EMPTY: Final = "empty"
ZERO_TEMPERATURE: Final = "zero-temperature"
NO_INTERVAL: Final = "no-interval"
INCONSISTENT: Final = "inconsistent-record"
DISAGREE: Final = "thermometers-disagree"
IMPRECISE: Final = "imprecise"
SKEWED: Final = "skewed"
DUPLICATE_RUN: Final = "duplicate-run"
MIXED: Final = "mixed-runs"

#: Every status with what to do about it. A status outside of this set is a bug.
REMEDIES: dict[Status, str] = {
    OK: "",
    NOT_STATIONARY: "train longer, or drop the early snapshots: the weights still drift over the window",
    AUTOCORRELATED: "space the snapshots at least 3 correlation times apart",
    UNIDENTIFIED: "the data alone do not determine the entropy: record more independent snapshots "
    "than weights, use a smaller model, or compare differences only",
    DIVERGED: "lower the learning rate: the loss or the weights became non-finite",
    TOO_FEW: "record more snapshots: too few are independent",
    DUPLICATES: "some snapshots are identical: space them further apart or raise the learning rate",
    CONSTANT: "the weights or the loss do not change: check that training moves them",
    CONVERGING: "the loss still falls, so there is no stationary temperature: train longer, or raise the learning rate",
    UNIFORM: "the run is in the uniform state on the sphere, where T is infinite: lower the learning rate",
    NO_SNAPSHOTS: "the run holds no snapshots: train it with a SnapshotRecorder",
    CORRUPT: "a snapshot chunk is damaged: upload it again or train the run again",
    OUT_OF_REACH: "the snapshots are not to be had from this machine: bring them here, or analyse them where they lie",
    INCOMPLETE: "the run did not finish: wait for it, or train it again",
    EMPTY: "the bounds contradict each other: widen epsilon or measure longer",
    ZERO_TEMPERATURE: "the loss does not change while the entropy does: T is zero within its interval",
    INCONSISTENT: "the snapshots are not those of all trained weights, each once: correct what is recorded",
    DISAGREE: "temperatures that must agree in a Gibbs state do not: check D, the record and the sampler",
    IMPRECISE: "the interval of T reaches further than a fifth of T: record longer, or add learning rates beside this",
    SKEWED: "the snapshots are too skewed for the entropy of a Gaussian, as in several basins: lower the learning "
    "rate, or take entropy=kl in few dimensions",
    DUPLICATE_RUN: "another run of the study is the same training, which counts once: give each run a seed of its own",
    MIXED: "the runs of the study differ in more than learning rate and seed, so T is that of no single system: choose "
    "runs of one kind with --sweep or --filter",
    NO_INTERVAL: "no standard errors, so no interval: give those of loss and entropy, or run several seeds",
}


#: Of runs whose snapshots nobody here can read, whatever they are.
UNREADABLE: Final = frozenset({CORRUPT, OUT_OF_REACH})


def remedy(status: str) -> str:
    """What to do about `status`; KeyError for one outside of the documented set."""
    return REMEDIES[as_status(status)]


def as_status(text: str) -> Status:
    """`text` as a status; KeyError for one outside of the documented set."""
    if text not in REMEDIES:
        raise KeyError(text)
    return text


class InsufficientData(ValueError):
    """The data do not allow a number: too few of them, or too little variation in them.

    The stages of a study catch this error and no other ValueError: NumPy reports wrong shapes and singular matrices as
    ValueErrors too, and those are bugs that must surface.

    Attributes
    ----------
    status : why, one of `REMEDIES`.
    value : the tentative number; NaN where there is none.
    """

    def __init__(self, message: str, status: Status = TOO_FEW, value: float = math.nan) -> None:
        super().__init__(message)
        self.status: Status = status
        self.value = value
