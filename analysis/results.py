"""What every stage answers with: a number, its uncertainty, and whether it can be trusted.

Conventions of the whole package: natural units (k_B = 1), entropies in nats, losses in units of the training
loss (mean per sample), temperature in loss units per nat. ``lr`` is the learning rate, ``tau`` an integrated
autocorrelation time in snapshots unless a name says steps, ``n_eff`` a number of independent snapshots.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

OK = "ok"
NOT_STATIONARY = "not-stationary"
AUTOCORRELATED = "autocorrelated"
UNIDENTIFIED = "unidentified"
DIVERGED = "diverged"
TOO_FEW = "too-few-samples"
DUPLICATES = "duplicates"
CONSTANT = "constant"
CONVERGING = "converging"
UNIFORM = "uniform"
NO_SNAPSHOTS = "no-snapshots"
CORRUPT = "corrupt"
INCOMPLETE = "incomplete"
EMPTY = "empty"
ZERO_TEMPERATURE = "zero-temperature"

#: Every status with what a person does about it. The set is closed: a status outside it is a bug.
REMEDIES: dict[str, str] = {
    OK: "",
    NOT_STATIONARY: "train longer, or drop the early snapshots: the weights still drift over the window",
    AUTOCORRELATED: "space the snapshots at least 3 correlation times apart",
    UNIDENTIFIED: "the data cannot tell the entropy's absolute change: record more independent snapshots "
    "than weights, use a smaller model, or compare differences only",
    DIVERGED: "lower the learning rate: the loss or the weights became non-finite",
    TOO_FEW: "record more snapshots: too few are independent",
    DUPLICATES: "some snapshots are identical: space them further apart or raise the learning rate",
    CONSTANT: "the weights or the loss do not change: check that training moves them",
    CONVERGING: "the loss still falls, so there is no stationary temperature: train longer, or raise the learning rate",
    UNIFORM: "the run is in the uniform state on the sphere, where T is infinite: lower the learning rate",
    NO_SNAPSHOTS: "the run holds no snapshots: train it with a SnapshotRecorder",
    CORRUPT: "a snapshot chunk is damaged: upload it again or train the run again",
    INCOMPLETE: "the run did not finish: wait for it, or train it again",
    EMPTY: "the bounds contradict each other: widen epsilon or measure longer",
    ZERO_TEMPERATURE: "the loss does not change while the entropy does: T is zero within its interval",
}


#: Half-width of a normal 95 % interval, in standard errors.
NORMAL_95 = 1.959963984540054


def remedy(status: str) -> str:
    """What to do about `status`; KeyError for a status outside the documented set."""
    return REMEDIES[status]


def number(value: float) -> float | None:
    """JSON has no NaN or infinity: a number that does not exist is None."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True)
class Estimate:
    """One number with its uncertainty.

    A `value` whose `status` is not ``ok`` is tentative: it is handed over, not vouched for.
    """

    value: float
    stderr: float = float("nan")
    lower: float = float("nan")
    upper: float = float("nan")
    n_eff: float = float("nan")
    status: str = OK
    evidence: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        remedy(self.status)

    @property
    def remedy(self) -> str:
        """What to do about the status, in words; empty when nothing is wrong."""
        return remedy(self.status)


#: Version of result.json.
RESULT_SCHEMA_VERSION = 3


@dataclass(frozen=True)
class RunResult:
    """What the analysis says of one run; None where a number does not exist, with a status that says why.

    Attributes
    ----------
    loss, loss_stderr : mean training loss over the window, loss units.
    entropy, entropy_stderr : nats, by the study's estimator.
    temperature, temperature_lower, temperature_upper : loss units per nat.
    free_energy : U − T·S, loss units.
    n_eff, tau : independent snapshots; correlation time in snapshots.
    paper_entropy, paper_temperature : kNN-graph entropy of the consecutive iterates, and the interval
        temperature from it (arXiv 2505.23489).
    paper_ratio : paper_temperature over temperature; about one half on a quadratic, where consecutive iterates
        measure the step instead of the spread.
    paper_n_used : iterates behind the paper's entropy.
    burn_in, n_used : snapshots dropped at the start; snapshots behind the entropy, equally many for all runs.
    entropy_isotropic, entropy_subspace, entropy_shrinkage : three answers to what N ≪ d snapshots can say, nats
        (`analysis.entropy.identifiability`); their changes agree where the entropy is identified.
    equipartition_temperature, equipartition_stderr, equipartition_spread, equipartition_p_value : temperature
        without entropy along the leading directions, the relative spread of its T_i, and the p-value of none.
    fluctuation_ratio : of the fluctuation-dissipation relation over the second half of training; 1 when stationary.
    late_temperature : of a run that still converges, dU/dS between the last two quarters of its window.
    evidence : the numbers behind the status (`analysis.stationarity.diagnose`).
    note : what went wrong and what to do, in words.
    course : columns of `analysis.study.course.Course`, an entry for each burst; empty without bursts.
    signal : gradient norms and signal-to-noise ratio at the log points; empty where
        none were logged.
    n_train : training samples, where the run says.
    hops : whether it was in the uniform state for a part of its window only.
    """

    run_id: str
    lr: float
    seed: int
    status: str
    regime: str
    loss: float | None = None
    loss_stderr: float | None = None
    entropy: float | None = None
    entropy_stderr: float | None = None
    temperature: float | None = None
    temperature_lower: float | None = None
    temperature_upper: float | None = None
    free_energy: float | None = None
    n_eff: float | None = None
    tau: float | None = None
    paper_entropy: float | None = None
    paper_n_used: int | None = None
    paper_temperature: float | None = None
    paper_ratio: float | None = None
    uniform_loss: float | None = None
    burn_in: int | None = None
    n_used: int | None = None
    entropy_isotropic: float | None = None
    entropy_subspace: float | None = None
    entropy_shrinkage: float | None = None
    equipartition_temperature: float | None = None
    equipartition_stderr: float | None = None
    equipartition_spread: float | None = None
    equipartition_p_value: float | None = None
    fluctuation_ratio: float | None = None
    late_temperature: float | None = None
    evidence: dict[str, float] = field(default_factory=dict)
    note: str = ""
    course: dict[str, list[float | None]] = field(default_factory=dict)
    signal: dict[str, list[Any]] = field(default_factory=dict)
    n_train: int | None = None
    hops: bool = False


@dataclass(frozen=True)
class StudyResult:
    """A whole study: its runs by learning rate and seed, the power law, and how the numbers were made.

    ``checks`` holds the tests of the study as a whole (`analysis.study.checks`); a check that could not be made is
    absent. ``baselines`` hold what uniformly random weights have: ``loss``, ``entropy`` by the study's estimator,
    ``paper_entropy`` and ``course_entropy`` by those of the iterates and the bursts, ``exact_entropy`` in nats.
    """

    runs: tuple[RunResult, ...]
    estimator: dict[str, Any]
    method: str
    power_law: dict[str, Any] | None
    notes: tuple[str, ...] = ()
    checks: dict[str, Any] = field(default_factory=dict)
    baselines: dict[str, float | None] = field(default_factory=dict)
    schema_version: int = RESULT_SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """The content of result.json; a run that does not say its learning rate has null there."""
        raw = asdict(self)
        for run in raw["runs"]:
            run["lr"] = number(run["lr"])
        return raw

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> StudyResult:
        """Read the content of result.json; TypeError where it has other fields than this version writes."""
        runs = tuple(RunResult(**{**run, "lr": math.nan if run["lr"] is None else run["lr"]}) for run in raw["runs"])
        return cls(**{**raw, "runs": runs, "notes": tuple(raw["notes"])})
