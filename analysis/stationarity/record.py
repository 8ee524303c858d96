"""What must hold for any honest record of free weights, whatever trained them."""

from __future__ import annotations

import numpy as np

from analysis.geometry import column_chunks
from analysis.results import AnyArray
from analysis.trajectory import Trajectory

#: Two weights whose movements agree to this relative precision are one: float32 keeps seven digits.
_ALIKE = 1e-5


def count_stays(weights: AnyArray) -> int:
    """Snapshots that repeat the one before them in their chain: rejected moves, or calls that were no updates.

    Parameters
    ----------
    weights : (n_chains, n, d).
    """
    first = weights[:, 1:, 0] == weights[:, :-1, 0]
    chains, draws = np.nonzero(first)
    same = [bool(np.array_equal(weights[k, t], weights[k, t + 1])) for k, t in zip(chains, draws, strict=True)]
    return sum(same)


def record_problem(run: Trajectory) -> str:
    """What is wrong with the record of a run, in words; empty where nothing is.

    Looked for are a number of weights that is not the layout's, weights that never move while others do, and weights
    that are recorded twice, up to a factor. Snapshots that were kept as inner products or as sketches have no columns
    that are weights: of them only the first is looked for.
    """
    known = sum(part.size for part in run.layout)
    if known and known != run.n_weights:
        return f"the layout names {known} weights, the snapshots count {run.n_weights}: D is not that of the model"
    if run.shared is not None or run.sketch_error is not None or run.points.shape[1] != run.n_weights:
        return ""
    centred, scale = _unit_columns(run.points)
    if not scale.any():
        return ""
    still = np.nonzero(scale == 0)[0]
    if len(still):
        return (
            f"{len(still)} of {run.n_weights} weights never move ({_name(run, int(still[0]))} and such): record those "
            "that are trained only"
        )
    pair = _twins(centred)
    if pair is not None:
        a, b = (_name(run, one) for one in pair)
        return (
            f"{a} and {b} move in proportion: one weight under two names, or weights without a gradient: record each "
            "trained weight once"
        )
    return ""


def _unit_columns(points: AnyArray) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], AnyArray]:
    """A few numbers for each column that agree where columns are proportional, (4, d), and their spreads (d,)."""
    n, d = points.shape
    probe = np.random.default_rng(0).normal(size=(4, n))
    seen, scale = np.zeros((4, d)), np.zeros(d)
    for columns in column_chunks(n, d):
        part = points[:, columns].astype(np.float64)
        part -= part.mean(axis=0)
        size = np.sqrt(np.sum(part**2, axis=0))
        # Rounding of a constant that is not zero leaves a spread too.
        size[size <= 1e-7 * np.sqrt(n) * np.abs(points[:, columns]).max(axis=0)] = 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = np.where(size > 0, part / size, 0.0)
        # A factor may be negative: the first snapshot has a positive sign in all.
        seen[:, columns] = probe @ (unit * np.where(unit[0] < 0, -1.0, 1.0))
        scale[columns] = size
    return seen, scale


def _twins(seen: AnyArray) -> tuple[int, int] | None:
    """Two columns that agree in all numbers; None where there are none."""
    order = np.argsort(seen[0])
    close = np.nonzero(np.all(np.abs(np.diff(seen[:, order], axis=1)) < _ALIKE, axis=0))[0]
    if not len(close):
        return None
    a, b = sorted((int(order[close[0]]), int(order[close[0] + 1])))
    return a, b


def _name(run: Trajectory, column: int) -> str:
    """Which weight a column is."""
    for part in run.layout:
        if part.offset <= column < part.offset + part.size:
            place = [int(i) for i in np.unravel_index(column - part.offset, part.shape)] if part.shape else []
            return f"{part.name}{place}"
    return f"weight {column}"
