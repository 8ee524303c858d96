"""Where the regimes change along the learning rates: branch points with their uncertainty, bistable learning rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.results import BoolArray, Boundary, Branches, FloatArray, IntArray, RunResult
from mlflow_thermo.schema import CONVERGING, STATIONARY, UNIFORM

#: Smallest share of runs whose regime is misjudged: the level of the test for a slope of the loss.
ERROR_FLOOR = 0.01
#: Order of the regimes by rising learning rate.
_ORDER = (CONVERGING, STATIONARY, UNIFORM)


def find_branches(lr: Sequence[float], regimes: Sequence[str], hopping: Collection[int] = ()) -> Branches:
    """Branch points from the regimes that the runs of a study ended in.

    Each boundary is a change point in ln lr with a flat prior over the learning rates of the study. A run is on the
    right side with probability 1 − ε, where ε is the share of runs on the wrong side at the best place, (misplaced + ½)
    / (n + 1), and at least `ERROR_FLOOR`. The posterior of each gap between neighbouring learning rates is its
    likelihood times its width in ln lr, spread evenly over the gap, about which nothing more is known: a boundary
    without a misplaced run and with several seeds is as uncertain as its gap is wide. The interval has equal tails: it
    is then the same in lr and in ln lr, which the densest 95 % are not, and in one piece.

    Parameters
    ----------
    lr, regimes : (n,) of the runs, in any order; runs of another regime (diverged, unread) are left out.
    hopping : indices of runs that changed their branch within their window.

    Raises
    ------
    ValueError
        Lists of different length, or a learning rate that is not a finite positive number.
    """
    at, rates, rank = _ranked(lr, regimes)
    names = [regimes[i] for i in at]
    to_stationary, to_uniform = (_named(_boundary(rates, rank >= k), rates, names, rank >= k) for k in (1, 2))
    groups: dict[float, list[str]] = {}
    for value, name in zip(rates.tolist(), names, strict=True):
        groups.setdefault(value, []).append(name)
    hops = {float(rates[k]) for k, i in enumerate(at) if i in hopping}
    bistable = sorted({value for value, own in groups.items() if len(set(own)) > 1} | hops)
    low = to_stationary.lr if to_stationary is not None else -np.inf
    high = to_uniform.lr if to_uniform is not None else np.inf
    inside = [value for value, own in groups.items() if low < value < high and Counter(own)[STATIONARY] * 2 > len(own)]
    return Branches(
        to_stationary,
        to_uniform,
        tuple(bistable),
        (min(inside), max(inside)) if inside else None,
        one_sided(lr, regimes),
    )


def strays(lr: Sequence[float], regimes: Sequence[str], found: Branches) -> tuple[int, ...]:
    """Indices of the stationary runs outside of the stationary range."""
    between = found.stationary_range
    return tuple(
        i
        for i, (rate, regime) in enumerate(zip(lr, regimes, strict=True))
        if regime == STATIONARY and (between is None or not between[0] <= rate <= between[1])
    )


@dataclass(frozen=True)
class StudyBranches:
    """Branch points of a study, ids of its stationary runs outside of the stationary range, and notes."""

    found: Branches
    strays: frozenset[str]
    notes: list[str]


def branches_of(runs: Sequence[RunResult]) -> StudyBranches:
    """Branch points of the runs, with notes for the reader."""
    rates, regimes = [run.lr for run in runs], [run.regime for run in runs]
    found = find_branches(rates, regimes, [i for i, run in enumerate(runs) if run.hops])
    outside = [runs[i] for i in strays(rates, regimes, found)]
    notes = []
    if found.bistable:
        notes.append(f"bistable: runs of one learning rate end on different branches at lr = {_listed(found.bistable)}")
    if outside:
        far = _listed(sorted({run.lr for run in outside}))
        notes.append(f"{len(outside)} stationary runs lie outside of the stationary range: lr = {far}")
    if found.stationary_range is not None:
        low, high = found.stationary_range
        notes.append(f"the stationary range is lr from {low:.3g} to {high:.3g}")
    return StudyBranches(found, frozenset(run.run_id for run in outside), notes)


def _listed(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:.3g}" for rate in rates)


def one_sided(lr: Sequence[float], regimes: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each change of regime that lies outside of the learning rates of the study, lowest first.

    Parameters and errors are those of `find_branches`.
    """
    _, rates, rank = _ranked(lr, regimes)
    if not len(rates):
        return ()
    said = []
    for name, above in ((f"away from {CONVERGING}", rank >= 1), (f"to {UNIFORM}", rank >= 2)):
        if above.all():
            said.append(f"the change {name} lies below the smallest lr = {rates.min():.3g}")
        elif not above.any():
            said.append(f"the change {name} lies above the largest lr = {rates.max():.3g}")
    return tuple(said)


def _ranked(lr: Sequence[float], regimes: Sequence[str]) -> tuple[list[int], FloatArray, IntArray]:
    """Indices of the runs whose regime is known, with their learning rates and places in `_ORDER`."""
    rates = np.asarray(lr, dtype=float)
    if len(rates) != len(regimes):
        raise ValueError(f"lr and regimes have {len(rates)} and {len(regimes)} entries: give one regime for each run")
    at = [i for i, regime in enumerate(regimes) if regime in _ORDER]
    rates = rates[at]
    if not (np.isfinite(rates).all() and (rates > 0).all()):
        raise ValueError("lr must hold finite positive numbers")
    return at, rates, np.array([_ORDER.index(regimes[i]) for i in at], dtype=int)


def _named(
    found: tuple[float, float, float, int] | None, lr: FloatArray, names: list[str], above: BoolArray
) -> Boundary | None:
    """The boundary with the regimes of most runs next to it on either side."""
    if found is None:
        return None
    place = found[0]

    def nearest(side: BoolArray, kind: BoolArray) -> str:
        # Strays next to the boundary must not name it: no regime gives way to one that comes before it.
        own = side & kind if (side & kind).any() else kind
        value = lr[own][np.argmin(np.abs(np.log(lr[own] / place)))]
        return Counter(names[i] for i in np.nonzero(own & (lr == value))[0]).most_common(1)[0][0]

    return Boundary(nearest(lr <= place, ~above), nearest(lr > place, above), *found)


def _boundary(lr: FloatArray, above: BoolArray) -> tuple[float, float, float, int] | None:
    """Median, 95 % interval and misplaced runs of the change point from `above` False to True; None on one side."""
    if above.all() or not above.any():
        return None
    grid, where = np.unique(lr, return_inverse=True)
    if len(grid) < 2:
        return None
    n_above, n_below = np.bincount(where, above), np.bincount(where, ~above)
    # Change point in the gap after grid[j]: everything up to j should lie below, the rest above.
    wrong = np.cumsum(n_above)[:-1] + (n_below.sum() - np.cumsum(n_below)[:-1])
    error = max(ERROR_FLOOR, (float(wrong.min()) + 0.5) / (len(lr) + 1))
    if error >= 0.5:
        return None
    log_likelihood = wrong * np.log(error) + (len(lr) - wrong) * np.log1p(-error)
    edges = np.log(grid)
    mass = np.exp(log_likelihood - log_likelihood.max()) * np.diff(edges)
    cumulative = np.concatenate([[0.0], np.cumsum(mass) / mass.sum()])
    low, middle, high = (float(np.exp(np.interp(q, cumulative, edges))) for q in (0.025, 0.5, 0.975))
    return middle, low, high, int(wrong.min())
