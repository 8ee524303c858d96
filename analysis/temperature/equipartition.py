"""Equipartition: T_i = h_i·C_ii along every direction of a Gibbs state.

The spread of the T_i says whether one temperature exists at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from numpy.typing import ArrayLike
from scipy import stats
from scipy.linalg import eigh

from analysis.geometry import centred_columns, centred_gram, recentred
from analysis.results import AnyArray, FloatArray, InsufficientData, IntArray


@dataclass(frozen=True)
class Equipartition:
    """T_i = h_i·C_ii along the leading principal directions.

    Attributes
    ----------
    temperatures, stderr : (q,) with their standard errors, loss units per nat.
    curvatures, variances : (q,) h_i and C_ii.
    temperature, temperature_stderr : mean of the T_i, weighted by their errors.
    spread : standard deviation of the T_i beyond their errors, relative to the mean: 0 for a Gibbs state of a loss that
        is quadratic about the mean.
    p_value : of all T_i being equal.
    """

    temperatures: FloatArray
    stderr: FloatArray
    curvatures: FloatArray
    variances: FloatArray
    temperature: float
    temperature_stderr: float
    spread: float
    p_value: float


def equipartition(weights: AnyArray, loss: ArrayLike, directions: int = 10) -> Equipartition:
    """Equipartition temperatures from snapshots and their losses alone.

    The directions come from one half of the snapshots, variances and curvatures along them from the other, and vice
    versa. The curvature along each leading principal direction is the regression coefficient of the loss on half the
    squared scores, L = L_0 + ½ Σ h_i z_i² + rest, which needs no Hessian and is exact where the loss is quadratic about
    the mean.

    Parameters
    ----------
    weights : (n, d) independent snapshots.
    loss : (n,) training losses at them; minibatch losses will do, at the price of larger errors.
    directions : q; at most n/10 and d.

    Raises
    ------
    ValueError
        Losses of another length or not finite.
    InsufficientData
        Fewer than 20 snapshots, or snapshots that do not vary.
    """
    y = np.asarray(loss, dtype=float)
    n, d = weights.shape
    if y.shape != (n,) or not np.isfinite(y).all():
        raise ValueError(f"loss must hold one finite number for each of the {n} snapshots, got shape {y.shape}")
    if n < 20:
        raise InsufficientData(f"equipartition needs at least 20 snapshots, got {n}")
    q = max(1, min(directions, d, n // 10))
    first, second = np.arange(0, n, 2), np.arange(1, n, 2)
    halves = [
        _along(scores, y[measured])
        for scores, measured in zip(_crossed_scores(weights, q, first, second), (second, first), strict=True)
    ]
    temperatures, curvatures, variances = (
        np.mean([getattr(half, name) for half in halves], axis=0)
        for name in ("temperatures", "curvatures", "variances")
    )
    stderr, plain = (
        np.sqrt(np.sum([getattr(half, name) ** 2 for half in halves], axis=0)) / 2 for name in ("stderr", "plain")
    )
    # Weights that do not depend on the T_i: errors that grow with the value would pull the mean down.
    weight = plain**-2
    weight /= weight.sum()
    mean = float(np.sum(weight * temperatures))
    chi_square = float(np.sum(((temperatures - mean) / stderr) ** 2))
    excess = float(np.mean((temperatures - mean) ** 2 - stderr**2))
    return Equipartition(
        temperatures, stderr, curvatures, variances, mean, float(np.sqrt(np.sum((weight * stderr) ** 2))),
        float(np.sqrt(max(excess, 0.0)) / abs(mean)) if mean else float("nan"),
        float(stats.chi2.sf(chi_square, q - 1)) if q > 1 else 1.0,
    )  # fmt: skip


@dataclass(frozen=True)
class _Half:
    """T_i = h_i·C_ii measured on one half of the snapshots, (q,) each; `plain` are errors without the part ∝ T_i."""

    temperatures: FloatArray
    stderr: FloatArray
    plain: FloatArray
    curvatures: FloatArray
    variances: FloatArray


def _along(scores: FloatArray, loss: FloatArray) -> _Half:
    """From the scores (m, q) of some snapshots and their losses (m,)."""
    centred = scores - scores.mean(axis=0)
    variances = np.sum(centred**2, axis=0) / (len(centred) - 1)
    # In units of their spread: among squares of very different sizes the regression would drop the small ones. The
    # coefficients are then h_i·C_ii themselves.
    model = sm.OLS(loss, sm.add_constant(0.5 * centred**2 / variances))
    fit = model.fit(cov_type="HC3")
    temperatures = np.asarray(fit.params[1:])
    # The variance has a relative error of sqrt(2/m).
    stderr = np.hypot(np.asarray(fit.bse[1:]), temperatures * np.sqrt(2 / len(centred)))
    return _Half(temperatures, stderr, np.asarray(model.fit().bse[1:]), temperatures / variances, variances)


def _crossed_scores(weights: AnyArray, q: int, first: IntArray, second: IntArray) -> tuple[FloatArray, FloatArray]:
    """Scores (m, q) of the `second` snapshots on the leading principal directions of the `first`, and the reverse.

    Along its own principal directions a sample varies more than the state does, by (1 + √(d/n))² along the leading one
    (Marchenko & Pastur 1967), and its temperature would come out too high by that factor.
    """
    n, d = weights.shape
    columns = centred_columns(weights, slice(0, d)) if d <= n else None
    gram = None if columns is not None else centred_gram(weights)

    def scores(found: IntArray, measured: IntArray) -> FloatArray:
        if columns is not None:
            own = columns[found] - columns[found].mean(axis=0)
            values, vectors = eigh(own.T @ own, subset_by_index=(d - q, d - 1))
            _require_spread(values, q)
            return np.asarray(columns[measured] @ vectors[:, ::-1])
        assert gram is not None
        inner = recentred(gram, found)
        values, vectors = eigh(inner, subset_by_index=(len(found) - q, len(found) - 1))
        _require_spread(values, q)
        # A direction is a sum of weighted centred rows; their products with the other rows are in the Gram matrix.
        between = gram[np.ix_(measured, found)]
        between = between - between.mean(axis=1, keepdims=True)
        return np.asarray((between @ vectors / np.sqrt(values))[:, ::-1])

    return scores(first, second), scores(second, first)


def _require_spread(values: FloatArray, q: int) -> None:
    """Raise InsufficientData unless all of the q largest eigenvalues, in rising order, are above rounding."""
    if values[0] <= 1e-12 * max(float(values[-1]), 1e-300):
        raise InsufficientData(f"the snapshots vary along fewer than {q} directions: lower directions")
