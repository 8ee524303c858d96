"""result.json: the typed results as JSON and back. The only place that knows its keys."""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

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
from analysis.results.estimate import Estimate, number
from analysis.results.flat import run_row
from analysis.results.run import (
    Equipartition,
    Evidence,
    PaperNumbers,
    RunResult,
    Sampling,
    Thermometers,
    ThreeEntropies,
)
from analysis.results.statuses import OK, Status, as_status
from mlflow_thermo.errors import ThermoError

if TYPE_CHECKING:
    from analysis.results.study import StudyResult

#: Version of result.json.
RESULT_SCHEMA_VERSION = 5
_CHECKS = {
    "identifiability": IdentifiabilityCheck,
    "leave_one_out": LeaveOneOutCheck,
    "segmented": BrokenLawCheck,
    "seeds": SeedsCheck,
}


def study_to_dict(result: StudyResult) -> dict[str, Any]:
    """The content of result.json."""
    estimator = {name: value for name, value in asdict(result.estimator).items() if value is not None}
    checks = asdict(result.checks)
    return {
        "runs": [_run_to_dict(run) for run in result.runs],
        "estimator": estimator,
        "method": result.method,
        "power_law": None if result.power_law is None else asdict(result.power_law),
        "notes": list(result.notes),
        "checks": {name: _plain(value) for name, value in checks.items() if value is not None},
        "baselines": {} if result.baselines is None else asdict(result.baselines),
        "schema_version": result.schema_version,
    }


def _plain(value: Any) -> Any:
    """Tuples as the lists that JSON has."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _run_to_dict(run: RunResult) -> dict[str, Any]:
    row = run_row(run)
    late = {name: row.pop(name) for name in ("note", "n_train", "hops")}
    return {
        **row,
        # NaN where the run does not say it, which JSON cannot hold.
        "lr": number(run.lr),
        "evidence": run.sampling.evidence.known(),
        "note": late["note"],
        "course": _columns(run.course),
        "signal": _columns(run.gradients, whole=("steps",)),
        "n_train": late["n_train"],
        "hops": late["hops"],
    }


def _columns(course: Course | GradientCourse | None, whole: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    if course is None:
        return {}
    n = len(course.steps)
    return {
        name: [int(one) if name in whole else number(float(one)) for one in np.broadcast_to(values, n)]
        for name, values in vars(course).items()
    }


def study_from_dict(raw: dict[str, Any]) -> StudyResult:
    """Read the content of result.json; ThermoError where it is not one of this version."""
    from analysis.results.study import Baselines, EstimatorUsed, PowerLaw, StudyResult

    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != RESULT_SCHEMA_VERSION:
        raise ThermoError(
            f"result.json has schema_version {version!r}, this release reads {RESULT_SCHEMA_VERSION}: analyse the "
            "runs again"
        )
    try:
        return StudyResult(
            runs=tuple(_run_from_dict(run) for run in raw["runs"]),
            estimator=EstimatorUsed(**raw["estimator"]),
            method=raw["method"],
            power_law=None if raw["power_law"] is None else PowerLaw(**raw["power_law"]),
            notes=tuple(raw["notes"]),
            checks=_checks_from_dict(raw["checks"]),
            baselines=Baselines(**raw["baselines"]) if raw["baselines"] else None,
        )
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        # ValueError: text where NumPy expects a number.
        raise ThermoError(f"result.json is not the report of a study ({error!r}): analyse the runs again") from error


def _checks_from_dict(raw: dict[str, Any]) -> StudyChecks:
    found = {name: _CHECKS[name](**value) if name in _CHECKS else value for name, value in raw.items()}
    branches = found.get("branches")
    if branches is not None:
        places = {
            name: None if branches[name] is None else Boundary(**branches[name])
            for name in ("to_stationary", "to_uniform")
        }
        between = branches["stationary_range"]
        found["branches"] = Branches(
            **places,
            bistable=tuple(branches["bistable"]),
            stationary_range=None if between is None else (between[0], between[1]),
            beyond=tuple(branches["beyond"]),
        )
    return StudyChecks(**found)


def _run_from_dict(raw: dict[str, Any]) -> RunResult:
    return RunResult(
        run_id=raw["run_id"],
        lr=math.nan if raw["lr"] is None else raw["lr"],
        seed=raw["seed"],
        status=as_status(raw["status"]),
        regime=raw["regime"],
        note=raw["note"],
        loss=_estimate(raw, "loss"),
        entropy=_estimate(raw, "entropy"),
        temperature=_estimate(raw, "temperature", as_status(raw["status"])),
        free_energy=raw["free_energy"],
        sampling=Sampling(
            raw["n_eff"], raw["tau"], raw["burn_in"], raw["n_used"], raw["spacing"], raw["last_step"],
            Evidence(**raw["evidence"]),
        ),
        paper=PaperNumbers(*(raw[f"paper_{name}"] for name in ("entropy", "n_used", "temperature", "ratio"))),
        identification=_all_or_none(
            ThreeEntropies, [raw[f"entropy_{name}"] for name in ("isotropic", "subspace", "shrinkage")]
        ),
        equipartition=_all_or_none(
            Equipartition, [raw[f"equipartition_{name}"] for name in ("temperature", "stderr", "spread", "p_value")]
        ),
        thermometers=Thermometers(
            _estimate(raw, "noise_temperature"), _estimate(raw, "virial_temperature"), raw["virial_spread"],
            raw["virial_p_value"],
        ),
        set_temperature=raw["set_temperature"],
        fluctuation_ratio=raw["fluctuation_ratio"],
        late_temperature=raw["late_temperature"],
        uniform_loss=raw["uniform_loss"],
        n_train=raw["n_train"],
        hops=raw["hops"],
        course=_course_from_dict(raw["course"]),
        gradients=_gradients_from_dict(raw["signal"]),
    )  # fmt: skip


def _estimate(raw: dict[str, Any], name: str, status: Status = OK) -> Estimate | None:
    if raw[name] is None:
        return None
    stderr, lower, upper = (raw.get(f"{name}_{part}") for part in ("stderr", "lower", "upper"))
    return Estimate(raw[name], stderr, lower, upper, status)


Group = TypeVar("Group", ThreeEntropies, Equipartition)


def _all_or_none(kind: type[Group], values: list[float | None]) -> Group | None:
    return None if all(value is None for value in values) else kind(*values)


def _course_from_dict(raw: dict[str, list[Any]]) -> Course | None:
    if not raw:
        return None
    columns = {name: _floats(raw[name]) for name in (field.name for field in fields(Course))}
    size = int(columns.pop("size")[0])
    return Course(steps=columns.pop("steps").astype(np.int64), size=size, **columns)


def _gradients_from_dict(raw: dict[str, list[Any]]) -> GradientCourse | None:
    if not raw:
        return None
    columns = {name: _floats(raw[name]) for name in (field.name for field in fields(GradientCourse))}
    return GradientCourse(steps=columns.pop("steps").astype(np.int64), **columns)


def _floats(values: list[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([math.nan if value is None else value for value in values], dtype=float)
