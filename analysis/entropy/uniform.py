"""What an estimator gives for weights drawn uniformly from the sphere, in its own units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from analysis.results import FloatArray, InsufficientData
from analysis.trajectory import Trajectory
from mlflow_thermo.schema import SPHERE, SPHERES

#: Draws of the uniform state; the entropies of two of them differ by far less than anything they are compared with.
REPEATS = 3


def uniform_points(n: int, d: int, rng: np.random.Generator) -> FloatArray:
    """`n` independent uniform points of the unit sphere S^(d−1), up to a rotation of the whole space.

    For d > n they are given in their own Gram–Schmidt basis (Bartlett 1933): normals below the
    diagonal, χ with d − i degrees of freedom on it. Norms, angles and distances are those of points with d coordinates,
    at a cost that does not depend on d.

    Returns
    -------
    (n, min(n, d)) coordinates.

    Raises
    ------
    ValueError
        For n below 1 or d below 2.
    """
    if n < 1 or d < 2:
        raise ValueError(f"uniform_points needs n >= 1 and d >= 2, got n={n} and d={d}")
    if d <= n:
        rows = rng.standard_normal((n, d))
    else:
        rows = np.tril(rng.standard_normal((n, n)), -1)
        rows[np.diag_indices(n)] = np.sqrt(rng.chisquare(d - np.arange(n)))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def uniform_entropy(d: int, radius: float = 1.0) -> float:
    """Entropy of the uniform state on S^(d−1)(r) in nats: ln 2 + (d/2) ln π − lnΓ(d/2) + (d − 1) ln r.

    Raises
    ------
    ValueError
        For a radius that is not a finite positive number.
    """
    if not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"radius must be a finite positive number, got {radius!r}")
    return float(np.log(2) + d / 2 * np.log(np.pi) - gammaln(d / 2) + (d - 1) * np.log(radius))


@dataclass(frozen=True)
class Baseline:
    """The entropy of the uniform state by an estimator.

    Attributes
    ----------
    mean : over the draws, in the estimator's units.
    stderr : of the mean, from the scatter of the draws; NaN for a single one.
    """

    mean: float
    stderr: float


def uniform_on_spheres(n: int, units: Sequence[int], rng: np.random.Generator) -> FloatArray:
    """`n` independent points, uniform on a sphere for each unit; all have one radius, and the whole point norm 1.

    Returns
    -------
    (n, Σ units) coordinates.
    """
    parts = [rng.standard_normal((n, size)) for size in units]
    return np.hstack([part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]) / math.sqrt(len(units))


def uniform_baseline(
    estimate: Callable[[Trajectory], float],
    n: int,
    d: int,
    rng: np.random.Generator,
    repeats: int = REPEATS,
    units: Sequence[int] = (),
) -> float | None:
    """The mean of `drawn_baseline`; None where that is None."""
    found = drawn_baseline(estimate, n, d, rng, repeats, units)
    return None if found is None else found.mean


def drawn_baseline(
    estimate: Callable[[Trajectory], float],
    n: int,
    d: int,
    rng: np.random.Generator,
    repeats: int = REPEATS,
    units: Sequence[int] = (),
) -> Baseline | None:
    """`estimate` of n uniform points of S^(d−1), or of the spheres of `units`, over `repeats` draws.

    None where the estimator does not apply: without a mean direction, or to so few points.

    Raises
    ------
    ValueError
        For fewer than one draw, or an n or d that `uniform_points` refuses.
    """
    if repeats < 1:
        raise ValueError(f"a baseline needs at least 1 draw, got repeats={repeats}")
    found = []
    for _ in range(repeats):
        points = uniform_on_spheres(n, units, rng) if units else uniform_points(n, d, rng)
        run = Trajectory(
            steps=np.arange(1, n + 1), weights=points, loss=np.full(n, np.nan),
            protocol=SPHERES if units else SPHERE, run_id="uniform", n_weights=d, units=tuple(units),
        )  # fmt: skip
        try:
            found.append(estimate(run))
        except InsufficientData:
            return None
    if not np.isfinite(found).all():
        return None
    stderr = float(np.std(found, ddof=1)) / math.sqrt(repeats) if repeats > 1 else math.nan
    return Baseline(float(np.mean(found)), stderr)
