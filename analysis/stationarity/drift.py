"""Drift of the whole cloud: mean-squared displacement, trend, the slowest cosine mode, a changing spread.

All use all weights at once, through the Gram matrix of the snapshots. Single principal components would not do: the
leading one of any strongly correlated process is a half cosine, whether the process is stationary or not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.special import fdtrc, ndtr

from analysis.geometry import recentred
from analysis.results import FloatArray
from analysis.stationarity.correlation import SOKAL_WINDOW, integrated_time, time_from_correlation

#: Cosine modes 2 … MODES are what the first one is compared with.
MODES = 8
#: Allowance for the error of a long-run variance from 50 independent snapshots; in 200 directions the F-test alone
#: would call an excess of a tenth significant.
SYSTEMATIC = 1.5
#: A trend with a smaller share of the variance moves the entropy by less than 0.005 nats per direction.
SMALLEST_TREND = 0.01

#: Snapshots for each direction whose spread is looked at: the spread of fewer would be set by single snapshots.
DRAWS_A_DIRECTION = 20


def msd_slope(sq_distances: FloatArray) -> float:
    """Slope of ln(mean-squared displacement) against ln(lag) at lag n/2: 0 when stationary, 1 when diffusive.

    The slope is that of a least-squares line over lags n/3 … 3n/4; at longer lags too few pairs are left.

    Parameters
    ----------
    sq_distances : (n, n) squared distances between the snapshots in time order, n >= 8.
    """
    n = len(sq_distances)
    lags = np.unique(np.geomspace(n / 3, 3 * n / 4, 25).astype(int))
    msd = np.array([np.diagonal(sq_distances, lag).mean() for lag in lags])
    if np.any(msd <= 0):
        return 0.0
    return float(np.polyfit(np.log(lags), np.log(msd), 1)[0])


@dataclass(frozen=True)
class DriftTest:
    """Whether the slowest cosine mode is too strong for a stationary process.

    Attributes
    ----------
    p_value : of a stationary process.
    dims : number of independent directions that the slow modes appear to span.
    """

    p_value: float
    dims: float


def drift_test(gram: FloatArray) -> DriftTest:
    """Test for a drift of the mean by its half-cosine mode.

    The energies of the cosine modes j = 1, 2, … of a stationary process follow its spectrum, here A/(1 + (j·c)²) with
    A and c by Whittle's likelihood from the modes 2 … `MODES`. A drift puts its energy in the first mode. The test is
    an F-test with as many degrees of freedom per mode as directions that the modes appear to span.

    Parameters
    ----------
    gram : (n, n) Gram matrix of the centred snapshots in time order, n >= 16.
    """
    n = len(gram)
    j = np.arange(1, MODES + 1)
    modes = np.sqrt(2 / n) * np.cos(np.pi * (np.arange(n)[None, :] + 0.5) * j[:, None] / n)
    products = modes @ gram @ modes.T
    energy = np.diag(products)
    others = energy[1:]
    if np.any(others <= 0):
        return DriftTest(1.0, 1.0)
    # E[(v_j·v_l)²] = tr Σ² and E|v_j|² = tr Σ: the overlap of different modes counts the dimensions that take part.
    overlap = products[1:, 1:] ** 2 / np.outer(others, others)
    count = len(others)
    dims = 1 / max(float((overlap.sum() - count) / (count * (count - 1))), 1e-12)
    best, first = -np.inf, 1.0
    for rate in np.concatenate([[0.0], np.geomspace(0.05, 5.0, 25)]):
        shape = 1 / (1 + (j * rate) ** 2)
        level = float(np.mean(others / shape[1:]))
        likelihood = -float(np.sum(np.log(level * shape[1:])))
        if likelihood > best:
            best, first = likelihood, level * float(shape[0])
    # Two fitted parameters cost about half of the degrees of freedom of the seven modes.
    return DriftTest(float(fdtrc(dims, dims * count / 2, max(float(energy[0]), 0.0) / first)), dims)


def trend_p_value(gram: FloatArray, dims: float) -> float:
    """p-value of no linear trend, from its energy against the long-run variance of the residuals.

    The expected energy of a unit vector slow against the correlation is tr Σ·τ, τ the integrated time of the
    autocorrelation summed over all directions. 1 where the trend holds less than `SMALLEST_TREND` of the variance, or
    where fewer than about 50 of the snapshots are independent.

    Parameters
    ----------
    gram : (n, n) Gram matrix of the centred snapshots in time order.
    dims : number of independent directions that move, of `drift_test`.
    """
    n = len(gram)
    line = np.arange(n) - (n - 1) / 2
    line /= np.linalg.norm(line)
    along = gram @ line
    energy = float(line @ along)
    rest = gram - np.outer(line, along) - np.outer(along, line) + energy * np.outer(line, line)
    correlation = np.array([np.trace(rest, lag) for lag in range(n)])
    if correlation[0] <= 0 or energy < SMALLEST_TREND * float(np.trace(gram)):
        return 1.0
    tau = time_from_correlation(correlation)
    # Removing the mean and the trend takes 2/n of the long-run variance from every lag of the summed window.
    left = 1 - 2 * (2 * SOKAL_WINDOW * tau + 1) / n
    if left < 0.5:
        return 1.0
    expected = SYSTEMATIC * float(correlation[0]) / n * tau / left
    return float(fdtrc(dims, dims * n / (2 * SOKAL_WINDOW * tau), energy / expected))


def spread_p_value(gram: FloatArray) -> float:
    """p-value of an equal spread of the weights in the two halves of the window.

    A rank test (Mann & Whitney 1947) of the squared distance from the mean, each principal direction in units of its
    own spread: a state that widens does so in all of them, and in plain units the widest alone would count. Ranks
    assume no shape, as gradient noise has heavy tails. Correlated snapshots count by the correlation of the ranks about
    a line and a step: a spread that changes would look like a correlation.

    Parameters
    ----------
    gram : (n, n) Gram matrix of the centred snapshots in time order.
    """
    # Imported here: it takes half a second, and a training that begins needs none of it.
    from scipy.stats import rankdata

    n = len(gram)
    values, vectors = eigh(gram, subset_by_index=[n - max(1, n // DRAWS_A_DIRECTION), n - 1])
    moving = vectors[:, values > 100 * np.finfo(float).eps * n * values[-1]]
    if not moving.size:
        return 1.0
    squares = np.sum(moving**2, axis=1)
    half = n // 2
    ranks = rankdata(squares)
    statistic = float(ranks[:half].sum()) - half * (half + 1) / 2
    changes = np.column_stack([np.ones(n), np.arange(n) - (n - 1) / 2, np.arange(n) < half])
    rest = ranks - changes @ np.linalg.lstsq(changes, ranks)[0]
    variance = half * (n - half) * (n + 1) / 12 * integrated_time(rest)
    return float(2 * ndtr(-abs(statistic - half * (n - half) / 2) / np.sqrt(variance)))


def tail_weight(sq_distances: FloatArray) -> float:
    """Relative variance of the squared steps: 2/dims for a Gaussian in that many directions, more with heavy tails.

    Steps are used because on a diffusing path the distances from the mean vary as well.

    Parameters
    ----------
    sq_distances : (n, n) squared distances between the snapshots in time order.
    """
    squares = np.diagonal(sq_distances, 1)
    mean = float(squares.mean())
    return float(squares.var()) / mean**2 if mean > 0 else 0.0


def goes_on(gram: FloatArray, cut: int) -> bool:
    """Whether the movement before `cut` goes on after it, at more than a third of the speed.

    A transient is over when it is cut off; a drift is not, and each half of it looks more stationary than the whole.
    The slope after the cut is compared with the distance between the two parts' means, of which it is independent.

    Parameters
    ----------
    gram : (n, n) inner products of the snapshots in time order about any point.
    cut : snapshots in the first part.
    """
    n = len(gram)
    left = n - cut
    apart = np.concatenate([np.full(cut, -1 / cut), np.full(left, 1 / left)])
    line = np.arange(left) - (left - 1) / 2
    slope = np.concatenate([np.zeros(cut), line / float(line @ line)])
    after = recentred(gram, np.arange(cut, n))
    # What the means' own noise adds to their distance, as if snapshots were independent: no more than a correction.
    noise = float(np.trace(after)) / left * (1 / cut + 1 / left)
    distance = float(apart @ gram @ apart) - noise
    # The centres of the two parts are n/2 snapshots apart.
    return distance > 0 and float(slope @ gram @ apart) * n / 2 > distance / 3
