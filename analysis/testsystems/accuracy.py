"""Every estimator against every system whose temperature is known: the accuracy table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

import numpy as np

from analysis.entropy import EntropyEstimator, KNNGraphEntropy, make_estimator
from analysis.geometry import tangent_space
from analysis.results import FloatArray
from analysis.temperature import temperature_curve
from analysis.testsystems import System, calibration_systems

#: Estimators by the name of their row: registry name and parameters.
ESTIMATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "knn-graph": ("knn-graph", {}),
    "kl": ("kl", {}),
    "kl, whitened": ("kl", {"whiten": True}),
    "gaussian-ml": ("gaussian-ml", {}),
    "edgeworth": ("edgeworth", {}),
    "ledoit-wolf": ("ledoit-wolf", {}),
    "oas": ("oas", {}),
    "nonlinear": ("nonlinear", {}),
    "ppca": ("ppca", {}),
    "mixture": ("mixture", {}),
    "kde": ("kde", {}),
}
#: Mixtures and kernel densities are for few dimensions; beyond these they cost minutes and say nothing.
_FEW = 10


@dataclass(frozen=True)
class CalibrationRow:
    """One estimator on one system; with several studies every number is the median of theirs.

    Attributes
    ----------
    system, dim, n, estimator : what was measured; n snapshots at each temperature.
    studies : how often, with new snapshots each time.
    median_ratio : median of T̂/T over the temperatures.
    median_error, worst_error : median and largest |T̂/T − 1|.
    worst_inner_error : largest without the two ends, where a slope has neighbours on one side only.
    bias_per_dim : mean of (Ŝ − S)/D, nats.
    seconds : for one entropy.
    """

    system: str
    dim: int
    n: int
    estimator: str
    studies: int
    median_ratio: float
    median_error: float
    worst_error: float
    worst_inner_error: float
    bias_per_dim: float
    seconds: float


def calibrate(
    dims: Sequence[int],
    n: int,
    rng: np.random.Generator,
    *,
    studies: int = 1,
    n_controls: int = 9,
    estimators: Sequence[str] = (),
) -> Iterator[CalibrationRow]:
    """Rows of the accuracy table, each as soon as it is finished.

    Parameters
    ----------
    dims : numbers of weights d.
    n : independent snapshots at each temperature; the loss is their mean, as in a real study.
    studies : repetitions with new snapshots, whose medians make a row.
    n_controls : temperatures or learning rates per system.
    estimators : keys of `ESTIMATORS`; none means all that suit d.

    Raises
    ------
    ValueError
        For an unknown estimator, or dims that `calibration_systems` cannot use.
    InsufficientData
        For an n that is too small for an estimator.
    """
    unknown = [name for name in estimators if name not in ESTIMATORS]
    if unknown:
        raise ValueError(f"unknown estimator {unknown[0]!r}: choose from {', '.join(ESTIMATORS)}")
    for d in dims:
        names = estimators or _suitable(d, n)
        rows: list[list[CalibrationRow]] = []
        for study in range(studies):
            cell = 0
            for case in calibration_systems(d, rng, n_controls):
                samples = [case.system.sample(float(control), n, rng) for control in case.controls]
                for name in names:
                    row = measure(case.system, case.controls, samples, name)
                    if study == 0:
                        rows.append([])
                    rows[cell].append(row)
                    cell += 1
                    if study == studies - 1:
                        yield median_row(rows[cell - 1])


def _suitable(d: int, n: int) -> list[str]:
    unsuitable = {"mixture", "kde"} if d > _FEW else set()
    if n < d + 2:
        unsuitable |= {"gaussian-ml", "edgeworth"}
    if n <= KNNGraphEntropy().k:
        unsuitable |= {"knn-graph"}
    return [name for name in ESTIMATORS if name not in unsuitable]


def measure(system: System, controls: FloatArray, samples: Sequence[FloatArray], name: str) -> CalibrationRow:
    """One row from samples (n, n_weights) at each of the controls (m,)."""
    registered, parameters = ESTIMATORS[name]
    estimator = make_estimator(registered, dim=system.dim, jackknife_blocks=0, **parameters)
    start = time.perf_counter()
    entropy = np.array([sample_entropy(system, sample, estimator) for sample in samples])
    seconds = (time.perf_counter() - start) / len(samples)
    loss = np.array([float(system.potential(sample).mean()) for sample in samples])
    # Where noise flips the slope of the loss there is no temperature: counts as T = 0, an error of 100 %.
    temperature = np.nan_to_num(temperature_curve(controls, loss, entropy).temperature)
    ratio = temperature / system.temperature(controls)
    error = np.abs(ratio - 1)
    return CalibrationRow(
        system=system.name,
        dim=system.dim,
        n=len(samples[0]),
        estimator=name,
        studies=1,
        median_ratio=float(np.median(ratio)),
        median_error=float(np.median(error)),
        worst_error=float(np.max(error)),
        worst_inner_error=float(np.max(error[1:-1])),
        bias_per_dim=float(np.mean(entropy - system.entropy(controls))) / system.dim,
        seconds=seconds,
    )


def median_row(rows: Sequence[CalibrationRow]) -> CalibrationRow:
    """One row from those of several studies of the same system with the same estimator."""
    numbers: dict[str, Any] = {
        name: float(np.median([getattr(row, name) for row in rows]))
        for name, kind in get_type_hints(CalibrationRow).items()
        if kind is float
    }
    return replace(rows[0], **{**numbers, "studies": sum(row.studies for row in rows)})


def sample_entropy(system: System, sample: FloatArray, estimator: EntropyEstimator) -> float:
    """Entropy of a sample in nats; on the sphere in the tangent space, except for the paper's graph of chords."""
    if system.on_sphere and not isinstance(estimator, KNNGraphEntropy):
        tangent = tangent_space(sample)
        return float(estimator.fit(tangent.coordinates).entropy_) + tangent.log_volume_correction
    return float(estimator.fit(sample).entropy_)


COLUMNS = (
    "system",
    "D",
    "N",
    "estimator",
    "studies",
    "T̂/T",
    "median error",
    "worst error",
    "inner",
    "bias/D (nats)",
    "s",
)


def table_row(row: CalibrationRow) -> tuple[str, ...]:
    """The row as text under `COLUMNS`."""
    errors = (f"{row.median_error:.2%}", f"{row.worst_error:.1%}", f"{row.worst_inner_error:.1%}")
    return (
        row.system, str(row.dim), str(row.n), row.estimator, str(row.studies), f"{row.median_ratio:.3f}", *errors,
        f"{row.bias_per_dim:+.4f}", f"{row.seconds:.3f}",
    )  # fmt: skip
