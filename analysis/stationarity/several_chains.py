"""The verdict on several chains of one run, which test each other without a model of their correlation.

A chain's mean over a part of its window moves with the correlation in it, whatever that is. The movements between the
parts of a chain show how far the means of chains may lie apart (analysis of variance), and those that all chains share
are a drift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.special import fdtrc, stdtr

from analysis.geometry import centred_gram
from analysis.results import (
    AUTOCORRELATED,
    NOT_STATIONARY,
    OK,
    AnyArray,
    Evidence,
    FloatArray,
    Status,
)
from analysis.stationarity.correlation import (
    SLOW_COMPONENTS,
    SOKAL_WINDOW,
    correlation_time,
    effective_size,
    integrated_time,
    leading_scores,
)
from analysis.stationarity.spectrum import floor_of, spectrum_of
from analysis.stationarity.thinning import FEWEST_SNAPSHOTS, evenly_spaced
from analysis.stationarity.verdict import LARGEST_MATRIX, TEST_LEVEL, Diagnosis, repeated, too_few, unresolved

#: Correlation times that a chain must last: what is slower than a chain cannot be seen in it.
SHORTEST_CHAIN = 5.0
#: Parts that a chain is cut into: few, so that each is long against the correlation, and yet a measure of its noise.
PARTS = 4
#: A smaller share of the variance between the chains moves the entropy by less than 0.0025 nats per direction.
SMALLEST = 0.005


def slow_scores(x: AnyArray) -> list[FloatArray]:
    """Scores (n_chains/2, n) of each half of the chains on the slow principal components of the other half.

    Directions that are found in one half of the chains are not selected for what they happen to do in the other.

    Parameters
    ----------
    x : (n_chains, n, d).
    """
    out = []
    for here, there in ((0, 1), (1, 0)):
        found, scored = x[here::2], x[there::2]
        rows = found.reshape(-1, x.shape[-1]).astype(np.float64)
        centre = rows.mean(axis=0)
        directions = _leading_directions(rows - centre)
        projected = (scored.reshape(-1, x.shape[-1]) - centre) @ directions
        out += [column.reshape(scored.shape[:2]) for column in projected.T]
    return out


def _leading_directions(centred: FloatArray) -> FloatArray:
    """The leading principal directions (d, count) of centred rows (n, d)."""
    n, d = centred.shape
    count = min(SLOW_COMPONENTS, d, n - 1)
    if d <= n:
        return np.asarray(eigh(centred.T @ centred, subset_by_index=(d - count, d - 1))[1][:, ::-1])
    scores = leading_scores(centred_gram(centred))[:count]
    # Scores are inner products with unit directions: direction = rowsᵀ·scores/|scores|².
    return np.asarray(centred.T @ (scores / np.sum(scores**2, axis=1, keepdims=True)).T)


def _varies(loss: FloatArray) -> bool:
    """Whether losses were recorded, and say anything."""
    return bool(np.isfinite(loss).all() and np.ptp(loss) > 0)


def slow_observables(x: AnyArray, loss: FloatArray) -> tuple[list[FloatArray], float]:
    """The slow observables of some chains, and the independent snapshots in the slowest of them.

    Parameters
    ----------
    x : (n_chains, n, d).
    loss : (n_chains, n); left out where some are not recorded.

    Returns
    -------
    observables : scores of each half of the chains on the components of the other, |w − mean|², losses.
    n_eff : over all chains.
    """
    centre = x.reshape(-1, x.shape[-1]).mean(axis=0, dtype=np.float64)
    whole = [np.sum((x - centre) ** 2, axis=-1), *([loss] if _varies(loss) else [])]
    scores = slow_scores(x)
    # A score exists for one half of the chains: its two halves together count for all of them.
    pairs = zip(scores[: len(scores) // 2], scores[len(scores) // 2 :], strict=True)
    sizes = [effective_size(a) + effective_size(b) for a, b in pairs] + [effective_size(one) for one in whole]
    return scores + whole, min(sizes)


def independent_draws(x: AnyArray, loss: FloatArray) -> float:
    """Independent snapshots among those of all chains: the number behind every verdict.

    Parameters
    ----------
    x : (n_chains, n, d), n at least 4.
    loss : (n_chains, n).
    """
    if len(x) > 1:
        return slow_observables(x, loss)[1]
    times = [correlation_time(x[0])] if x.shape[1] >= FEWEST_SNAPSHOTS else [float(x.shape[1])]
    return float(x.shape[1] / max(*times, integrated_time(loss[0])))


@dataclass(frozen=True)
class PartsTest:
    """What the parts of the chains say about their stationarity.

    Attributes
    ----------
    between_p_value : of all chains having one mean.
    drift_p_value : of no movement along the window that all chains share.
    spread_p_value : of one spread in both halves.
    dims : independent directions that the means move in.
    far : number of the chain whose mean lies farthest from that of the others.
    far_share : its share of the variance between the chains.
    """

    between_p_value: float
    drift_p_value: float
    spread_p_value: float
    dims: float
    far: int
    far_share: float


def _neighbours_correlation(x: AnyArray, size: int) -> float:
    """Correlation between the means of neighbouring parts of `size` snapshots, from the autocorrelation within chains.

    A relaxation in many directions has a long tail, of which one correlation time says too little.
    """
    n = x.shape[1]
    centred = x - x.mean(axis=1, keepdims=True, dtype=np.float64)
    lags = np.arange(max(1, min(2 * size, n // 4)))
    found = np.array([float(np.sum(centred[:, : n - lag] * centred[:, lag:])) / (n - lag) for lag in lags])
    sums = 2 * np.cumsum(found) - found[0]
    enough = lags >= SOKAL_WINDOW * sums / found[0]
    window = int(np.argmax(enough)) if enough.any() else len(lags) - 1
    # Centring takes the variance of a chain's mean from every lag.
    taken = sums[window] / max(n - 2 * window - 1, n / 4)
    covariance = np.maximum(found[: window + 1] + taken, 0.0)
    k = lags[: window + 1]
    variance = size * covariance[0] + 2 * float(np.sum(np.maximum(size - k[1:], 0) * covariance[1:]))
    between = float(np.sum(np.maximum(np.minimum(k, 2 * size - k), 0) * covariance))
    return min(0.5, between / variance) if variance > 0 else 0.0


def parts_test(x: AnyArray) -> PartsTest:
    """Test chains by the means and the spreads of their parts.

    Parameters
    ----------
    x : (n_chains, n, d), n at least `PARTS`.
    """
    chains, n = x.shape[:2]
    size = n // PARTS
    parts = x[:, n - PARTS * size :].astype(np.float64).reshape(chains, PARTS, size, -1)
    means = parts.mean(axis=2)
    centres = means.mean(axis=1)
    apart = np.sum((centres - centres.mean(axis=0)) ** 2, axis=1)
    own = (means - centres[:, None]).reshape(chains * PARTS, -1)
    within = float(np.sum(own**2)) / (chains * (PARTS - 1))
    if within <= 0:
        stuck = float(apart.sum()) > 0
        return PartsTest(0.0 if stuck else 1.0, 1.0, 1.0, 1.0, int(np.argmax(apart)), 1.0)
    # E[(a·b)²] = tr Σ² for two independent vectors, E|a|² = tr Σ: the overlap of the movements of different chains
    # counts the directions that take part.
    products = (own @ own.T).reshape(chains, PARTS, chains, PARTS)
    different = ~np.eye(chains, dtype=bool)
    overlap = float(np.sum(products**2, axis=(1, 3))[different].mean()) / (PARTS - 1) ** 2
    dims = float(np.clip(within**2 / max(overlap, 1e-300), 1.0, x.shape[-1]))
    # Half of all pairs of parts are neighbours.
    shared = _neighbours_correlation(x, size)
    inflation = (1 + (PARTS - 1) * shared / 2) / (1 - shared / 2)
    allowed = SMALLEST * float(np.mean(np.sum((parts - centres.mean(axis=0)) ** 2, axis=-1)))
    ratio = PARTS * float(apart.sum()) / (chains - 1) / (within * inflation + PARTS * allowed)
    # Each part of the second half against that of the first: two values from each chain, where single chains would
    # leave few degrees of freedom. Where neighbouring parts go together these two do as well.
    together = (1 + shared) / (1 - shared)
    moved = (means[:, PARTS // 2 :] - means[:, : PARTS // 2]).reshape(chains * PARTS // 2, -1)
    common = moved.mean(axis=0)
    scatter = float(np.sum((moved - common) ** 2)) / (len(moved) - 1)
    drift = len(moved) * float(np.sum(common**2)) / (scatter * together) if scatter > 0 else np.inf
    # The mean over the directions: the entropy takes them alike, however wide they are.
    widths = np.log(np.maximum(parts.var(axis=2), 1e-300)).mean(axis=-1)
    wider = (widths[:, PARTS // 2 :] - widths[:, : PARTS // 2]).ravel()
    error = float(wider.std(ddof=1)) / np.sqrt(len(wider)) * np.sqrt(together)
    spread = float(wider.mean()) / error if np.ptp(wider) > 0 else 0.0
    return PartsTest(
        float(fdtrc(dims * (chains - 1), dims * chains * (PARTS - 1), ratio)),
        float(fdtrc(dims, dims * (len(moved) - 1), drift)),
        float(2 * stdtr(len(wider) - 1, -abs(spread))),
        dims,
        int(np.argmax(apart)),
        float(apart.max() / apart.sum()),
    )


def judge_chains(x: AnyArray, loss: FloatArray, dim: int, duplicates: int, stays: int) -> Diagnosis:
    """Verdict on the chains of a run.

    Parameters
    ----------
    x : (n_chains, n, d) finite snapshots.
    loss : (n_chains, n); NaN where none was recorded.
    dim : D of the entropy formulas.
    duplicates, stays : snapshots that repeat an earlier one, and of those the ones that repeat the one before them.
    """
    from arviz_stats.base import array_stats

    chains, n, d = x.shape
    rows = x.reshape(-1, d)
    observables, n_eff = slow_observables(x, loss)
    tau = chains * n / n_eff
    tests = [parts_test(x)] + ([parts_test(loss[:, :, None])] if _varies(loss) else [])
    rhat = max(float(array_stats.rhat(one, chain_axis=0, draw_axis=1, method="split")) for one in observables)
    span = rows if len(rows) <= LARGEST_MATRIX else rows[evenly_spaced(len(rows), LARGEST_MATRIX)]
    active, share, rank = floor_of(spectrum_of(centred_gram(span), d), correlated=False)
    worst = min(tests, key=lambda test: test.between_p_value)
    evidence = Evidence(
        n=float(len(rows)), chains=float(chains), dim=float(dim), tau=tau, n_eff=n_eff, burn_in=0.0,
        between_p_value=worst.between_p_value, far_chain=float(worst.far), far_share=worst.far_share,
        drift_p_value=min(test.drift_p_value for test in tests), drift_dims=tests[0].dims,
        spread_p_value=min(test.spread_p_value for test in tests), split_rhat=rhat,
        duplicates=float(duplicates), stays=float(stays), rank=float(rank), columns=float(d),
        active_directions=float(active), active_share=share,
    )  # fmt: skip
    status, reason = _status(evidence)
    return Diagnosis(status, tau, n_eff, 0, evidence, reason)


def _status(e: Evidence) -> tuple[Status, str]:
    chains, draws = int(e.chains), e.n / e.chains
    if problem := repeated(e):
        return problem
    if e.drift_p_value < TEST_LEVEL:
        return NOT_STATIONARY, f"all chains drift through the window (p = {e.drift_p_value:.1e})"
    if e.spread_p_value < TEST_LEVEL:
        return NOT_STATIONARY, f"the two halves of the window differ in spread (p = {e.spread_p_value:.1e})"
    if e.between_p_value < TEST_LEVEL:
        who = f": chain {int(e.far_chain)} is not where the others are" if e.far_share > 0.5 else ""
        return NOT_STATIONARY, f"the chains differ in their means (p = {e.between_p_value:.1e}){who}"
    if draws < SHORTEST_CHAIN * e.tau:
        return AUTOCORRELATED, (
            f"the {chains} chains last {draws / e.tau:.1f} correlation times each, at least {SHORTEST_CHAIN:g} are "
            "needed"
        )
    return unresolved(e) or too_few(e) or (OK, "")
