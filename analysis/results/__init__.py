"""What every stage returns: a number, its uncertainty, and whether it can be trusted.

Conventions of the whole package: natural units (k_B = 1), entropies in nats, losses in units of the training loss
(mean per sample), temperature in loss units per nat. ``lr`` is the learning rate, ``tau`` an integrated
autocorrelation time in snapshots unless a name says steps, ``n_eff`` a number of independent snapshots.
"""

from analysis.results.arrays import AnyArray, BoolArray, FloatArray, IntArray, StrArray
from analysis.results.checks import (
    Boundary,
    Branches,
    BrokenLawCheck,
    IdentifiabilityCheck,
    LeaveOneOutCheck,
    SeedsCheck,
    StudyChecks,
)
from analysis.results.courses import Course, GradientCourse
from analysis.results.estimate import NORMAL_95, Estimate, number
from analysis.results.flat import RUN_COLUMNS, run_row
from analysis.results.json_form import RESULT_SCHEMA_VERSION
from analysis.results.run import (
    Equipartition,
    Evidence,
    PaperNumbers,
    RunResult,
    Sampling,
    Thermometers,
    ThreeEntropies,
)
from analysis.results.statuses import (
    AUTOCORRELATED,
    CONSTANT,
    CONVERGING,
    CORRUPT,
    DISAGREE,
    DIVERGED,
    DUPLICATES,
    EMPTY,
    INCOMPLETE,
    INCONSISTENT,
    NO_INTERVAL,
    NO_SNAPSHOTS,
    NOT_STATIONARY,
    OK,
    REMEDIES,
    TOO_FEW,
    UNIDENTIFIED,
    UNIFORM,
    ZERO_TEMPERATURE,
    InsufficientData,
    Status,
    as_status,
    remedy,
)
from analysis.results.study import Baselines, EstimatorUsed, Origin, PowerLaw, StudyResult

__all__ = [
    "AUTOCORRELATED",
    "CONSTANT",
    "CONVERGING",
    "CORRUPT",
    "DISAGREE",
    "DIVERGED",
    "DUPLICATES",
    "EMPTY",
    "INCOMPLETE",
    "INCONSISTENT",
    "NORMAL_95",
    "NOT_STATIONARY",
    "NO_INTERVAL",
    "NO_SNAPSHOTS",
    "OK",
    "REMEDIES",
    "RESULT_SCHEMA_VERSION",
    "RUN_COLUMNS",
    "TOO_FEW",
    "UNIDENTIFIED",
    "UNIFORM",
    "ZERO_TEMPERATURE",
    "AnyArray",
    "Baselines",
    "BoolArray",
    "Boundary",
    "Branches",
    "BrokenLawCheck",
    "Course",
    "Equipartition",
    "Estimate",
    "EstimatorUsed",
    "Evidence",
    "FloatArray",
    "GradientCourse",
    "IdentifiabilityCheck",
    "InsufficientData",
    "IntArray",
    "LeaveOneOutCheck",
    "Origin",
    "PaperNumbers",
    "PowerLaw",
    "RunResult",
    "Sampling",
    "SeedsCheck",
    "Status",
    "StrArray",
    "StudyChecks",
    "StudyResult",
    "Thermometers",
    "ThreeEntropies",
    "as_status",
    "number",
    "remedy",
    "run_row",
]
