"""One verdict on the snapshots of one run, with its evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from analysis.geometry import (
    centred_columns,
    centred_gram,
    column_chunks,
    count_duplicates,
    recentred,
    squared_distances,
)
from analysis.results import (
    AUTOCORRELATED,
    CONSTANT,
    DIVERGED,
    NOT_STATIONARY,
    OK,
    TOO_FEW,
    AnyArray,
    Evidence,
    FloatArray,
    Status,
)
from analysis.stationarity.burn_in import mser_truncation
from analysis.stationarity.chains import KPSS_RARE, kpss_statistic, split_rhat
from analysis.stationarity.correlation import SLOW_COMPONENTS, correlation_time, integrated_time, leading_scores
from analysis.stationarity.drift import drift_test, goes_on, msd_slope, spread_p_value, tail_weight, trend_p_value
from analysis.stationarity.neighbours import edge_lag
from analysis.stationarity.record import count_stays
from analysis.stationarity.several_chains import judge_chains
from analysis.stationarity.spectrum import floor_of, spectrum_of
from analysis.stationarity.thinning import FEWEST_SNAPSHOTS, evenly_spaced
from analysis.stationarity.verdict import (
    LARGEST_MATRIX,
    TEST_LEVEL,
    Diagnosis,
    repeated,
    short_of,
    too_few,
    unresolved,
)
from analysis.trajectory import Trajectory

#: Random directions onto which more weights than that are projected in longer series.
PROJECTED = 256
#: Slope of the mean-squared displacement above which the weights drift.
MSD_SLOPE = 0.1
#: A slope above that of diffusion means a drift, however few independent snapshots there are.
DIFFUSIVE = 1.0
#: Independent snapshots that must be left for a burn-in to be distinguished from a slow fluctuation.
RESOLVED = 20.0
#: Correlation time above which a run is called autocorrelated; below it the estimate is within its noise of 1.
TAU_LIMIT = 2.0


def diagnose(weights: AnyArray | Trajectory, loss: ArrayLike | None = None) -> Diagnosis:
    """Judge the snapshots of one run.

    Parameters
    ----------
    weights : (n_snapshots, n_weights) in time order at equal spacing, (n_chains, n_snapshots, n_weights) for several
        chains, or a Trajectory.
    loss : training losses, one for each snapshot; those of the Trajectory when not given. NaN means not recorded.

    Returns
    -------
    Diagnosis
        Status, correlation time, independent snapshots and burn-in, with the evidence.

    Raises
    ------
    ValueError
        For weights of another number of axes, or losses of another length. Weights that are not finite are a
        status, not an error.

    Examples
    --------
    Independent snapshots, and a random walk:

    >>> import numpy as np
    >>> from analysis import diagnose
    >>> noise = np.random.default_rng(0).normal(size=(1000, 3))
    >>> found = diagnose(noise)
    >>> found.status, round(found.n_eff, -2)
    ('ok', 900.0)
    >>> diagnose(np.cumsum(noise, axis=0)).status
    'not-stationary'
    """
    run = weights if isinstance(weights, Trajectory) else _trajectory(np.asarray(weights), loss)
    if isinstance(weights, Trajectory) and loss is not None:
        run = replace(weights, loss=np.asarray(loss, dtype=float).reshape(weights.loss.shape))
    x, losses, dim, n = run.points, run.losses, run.dim, len(run)
    if not np.isfinite(x).all() or np.isinf(losses).any():
        return short_of(DIVERGED, n, "weights or losses are not finite")
    if n < FEWEST_SNAPSHOTS:
        return short_of(TOO_FEW, n, f"{n} snapshots, at least {FEWEST_SNAPSHOTS} are needed")
    duplicates = count_duplicates(x)
    stays = duplicates if run.repeats_are_draws else count_stays(run.weights)
    if duplicates == len(x) - 1:
        return short_of(CONSTANT, 1, "all snapshots are the same")
    if n * run.n_chains > LARGEST_MATRIX < x.shape[1]:
        x = _projected(x)
    if run.n_chains > 1:
        return judge_chains(x.reshape(run.n_chains, n, -1), run.loss, dim, duplicates, stays)
    cloud = _Cloud.of(x, losses)
    burn_in = mser_truncation(cloud.series())
    if burn_in:
        rest = cloud.after(burn_in)
        # A slow stationary process looks like a transient too: a burn-in must leave enough independent snapshots.
        resolved = len(rest.x) >= FEWEST_SNAPSHOTS and len(rest.x) / rest.tau() >= RESOLVED
        if resolved and not cloud.goes_on(burn_in):
            return _judge(rest, dim, burn_in, duplicates, stays)
    return _judge(cloud, dim, 0, duplicates, stays)


def _trajectory(x: AnyArray, loss: ArrayLike | None) -> Trajectory:
    """Bare arrays as a run; ValueError for losses of another shape."""
    shape = x.shape[:-1]
    losses = np.full(shape, np.nan) if loss is None else np.asarray(loss, dtype=float)
    if x.ndim not in (2, 3) or losses.shape != shape:
        raise ValueError(
            f"weights must have shape (n_snapshots, n_weights) or (n_chains, n_snapshots, n_weights), got {x.shape}, "
            f"and loss one value for each snapshot, got {losses.shape}"
        )
    return Trajectory(np.arange(shape[-1]), x, losses)


def _projected(x: AnyArray) -> FloatArray:
    """x (n, d) on random directions, which keep distances to a few per cent (Johnson & Lindenstrauss 1984)."""
    rng = np.random.default_rng(0)
    out = np.zeros((len(x), PROJECTED))
    for columns in column_chunks(len(x), x.shape[1]):
        chunk = centred_columns(x, columns)
        out += chunk @ rng.normal(size=(chunk.shape[1], PROJECTED)) / np.sqrt(PROJECTED)
    return out


@dataclass(frozen=True)
class _Cloud:
    """Snapshots with their Gram matrix, which all diagnostics share; None for more than `LARGEST_MATRIX` of them."""

    x: AnyArray
    losses: FloatArray
    gram: FloatArray | None

    @classmethod
    def of(cls, x: AnyArray, losses: FloatArray) -> _Cloud:
        return cls(x, losses, centred_gram(x) if len(x) <= LARGEST_MATRIX else None)

    def after(self, burn_in: int) -> _Cloud:
        kept = np.arange(burn_in, len(self.x))
        gram = None if self.gram is None else recentred(self.gram, kept)
        return _Cloud(self.x[burn_in:], self.losses[burn_in:], gram)

    def goes_on(self, burn_in: int) -> bool:
        """Whether what is dropped as a transient is the beginning of a drift of the weights or of the loss."""
        level = self.losses - self.losses.mean()
        grams = [self.series().T @ self.series() if self.gram is None else self.gram]
        return any(goes_on(gram, burn_in) for gram in grams + ([np.outer(level, level)] if self.has_losses() else []))

    def has_losses(self) -> bool:
        return bool(np.isfinite(self.losses).all())

    def series(self) -> FloatArray:
        """Principal components and, where they are all recorded, the losses; (m, n)."""
        if self.gram is not None:
            scores = leading_scores(self.gram)
        else:
            centred = self.x - self.x.mean(axis=0, dtype=float)
            scores = (centred @ np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :SLOW_COMPONENTS]).T
        return np.vstack([scores, self.losses]) if self.has_losses() else scores

    def tau(self) -> float:
        tau = correlation_time(self.x, self.gram if self.x.shape[1] > len(self.x) // 2 else None)
        return max(tau, integrated_time(self.losses)) if self.has_losses() else tau


def _judge(cloud: _Cloud, dim: int, burn_in: int, duplicates: int, stays: int) -> Diagnosis:
    x, losses = cloud.x, cloud.losses
    n, d = x.shape
    whole = cloud.gram is not None
    span = x if whole else x[evenly_spaced(n, LARGEST_MATRIX)]
    gram = cloud.gram if cloud.gram is not None else centred_gram(span)
    distances = squared_distances(span, gram)
    tau = cloud.tau()
    n_eff = n / tau
    series = cloud.series()
    edges = edge_lag(distances if whole else squared_distances(x[-LARGEST_MATRIX:]))
    drift = drift_test(gram)
    trends = [trend_p_value(gram, drift.dims)]
    if cloud.has_losses():
        level = losses[evenly_spaced(n, min(n, LARGEST_MATRIX))]
        trends.append(trend_p_value(np.outer(level - level.mean(), level - level.mean()), 1.0))
    levels = [kpss_statistic(row) for row in [np.diag(gram)] + ([losses] if cloud.has_losses() else [])]
    active, share, rank = floor_of(spectrum_of(gram, d), edges.flagged)
    evidence = Evidence(
        n=float(n), dim=float(dim), tau=tau, n_eff=n_eff, burn_in=float(burn_in), tail_weight=tail_weight(distances),
        edge_lag_fraction=edges.fraction, edge_lag_independent=edges.expected, msd_slope=msd_slope(distances),
        drift_p_value=drift.p_value, drift_dims=drift.dims, trend_p_value=min(trends),
        spread_p_value=spread_p_value(gram),
        kpss=float(np.nanmax(levels)) if np.isfinite(levels).any() else float("nan"),
        split_rhat=max(split_rhat(row) for row in series), duplicates=float(duplicates), stays=float(stays),
        rank=float(rank), columns=float(d), active_directions=float(active), active_share=share,
    )  # fmt: skip
    status, reason = _status(evidence, edges.flagged)
    return Diagnosis(status, tau, n_eff, burn_in, evidence, reason)


def _status(e: Evidence, edges_flagged: bool) -> tuple[Status, str]:
    n, n_eff, tau = int(e.n), e.n_eff, e.tau
    if problem := repeated(e):
        return problem
    # Noise of the slope: two averages over about n_eff/2 independent pairs, whose variance depends on the tails of the
    # distribution and is at least that of a Gaussian in the directions that move.
    noise = np.sqrt(4 * max(2 / e.drift_dims, e.tail_weight) / n_eff) / np.log(2)
    if e.msd_slope > min(MSD_SLOPE + 2 * noise, DIFFUSIVE):
        return NOT_STATIONARY, f"mean-squared displacement grows with lag to the power {e.msd_slope:.2f} at lag n/2"
    drift = min(e.drift_p_value, e.trend_p_value)
    if drift < TEST_LEVEL:
        return NOT_STATIONARY, f"the weights or the loss drift through the window (p = {drift:.1e})"
    if e.spread_p_value < TEST_LEVEL:
        return NOT_STATIONARY, f"the two halves of the window differ in spread (p = {e.spread_p_value:.1e})"
    if e.kpss > KPSS_RARE:
        return NOT_STATIONARY, f"the loss or |w − mean|² has no constant level (KPSS statistic {e.kpss:.2f})"
    if problem := unresolved(e):
        return problem
    # 4 standard deviations of Sokal's estimate at tau = 1, sqrt(2(2·5 + 1)/n), for short series.
    if edges_flagged or tau > max(TAU_LIMIT, 1 + 4 * np.sqrt(22 / n)):
        return AUTOCORRELATED, (
            f"{e.edge_lag_fraction:.2f} of the nearest neighbours are neighbours in time where independent "
            f"snapshots give {e.edge_lag_independent:.2f}; correlation time {tau:.1f} snapshots"
        )
    return too_few(e) or (OK, "")
