"""Power laws T = a·lr^b, fitted with statsmodels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import statsmodels.api as sm
from numpy.typing import ArrayLike

from analysis.results import FloatArray, InsufficientData, IntArray, PowerLaw
from analysis.temperature.resampling import slopes_over_groups


@dataclass(frozen=True)
class PowerLawFit(PowerLaw):
    """A power law with the regression behind it.

    Attributes
    ----------
    fit : results object of statsmodels; the others are those of `PowerLaw`.
    """

    fit: Any = field(repr=False, compare=False)

    def summary(self) -> str:
        """The regression table of statsmodels."""
        with warnings.catch_warnings():
            # Earlier versions test the residuals for normality, whatever their number, and SciPy then warns.
            warnings.filterwarnings("ignore", "`kurtosistest`", UserWarning)
            return str(self.fit.summary(slim=True))


def power_law(
    lr: ArrayLike,
    temperature: ArrayLike,
    stderr: ArrayLike | None = None,
    *,
    covariance: ArrayLike | None = None,
    robust: bool = False,
) -> PowerLawFit:
    """Weighted least squares of ln T on ln lr with HC3 standard errors (MacKinnon & White 1985).

    Parameters
    ----------
    lr, temperature : (n,); temperatures that are not finite and positive are left out and counted.
    stderr : (n,) standard errors of the temperatures, for the weights; without them all points have equal weight.
        ``stderr/temperature`` is taken for the standard error of ln T.
    covariance : (n, n) of the temperatures, as of a `TemperatureCurve`. Points of a smooth curve scatter
        about a line by less than their errors; the law's errors are then at least those that the covariance gives.
    robust : Huber's M-estimator (statsmodels RLM) instead, against outliers.

    Returns
    -------
    PowerLawFit
        Exponent and prefactor (loss units per nat, at lr = 1) with standard errors; ``summary()`` is the regression
        table.

    Raises
    ------
    ValueError
        Lists of different length.
    InsufficientData
        Fewer than three usable points at different learning rates.

    Examples
    --------
    >>> from analysis import power_law
    >>> law = power_law([0.01, 0.02, 0.04, 0.08], [0.005, 0.0102, 0.0199, 0.04])
    >>> f"T = {law.prefactor:.2f}·lr^({law.exponent:.3f} ± {law.exponent_stderr:.3f})"
    'T = 0.50·lr^(0.996 ± 0.011)'
    """
    points = _usable(lr, temperature, stderr)
    if covariance is not None and np.shape(covariance) != (np.size(temperature),) * 2:
        raise ValueError(f"covariance has shape {np.shape(covariance)}, temperature has {np.shape(temperature)}")
    y, design = np.log(points.t), sm.add_constant(np.log(points.lr))
    # Of points exactly on a line RLM finds no scale to weigh residuals by, and warns; there is nothing to weigh.
    exact = float(np.ptp(y - design @ np.linalg.lstsq(design, y, rcond=None)[0])) < 1e-12 * float(np.abs(y).max())
    if robust and not exact:
        # RLM takes no weights: dividing the rows by their errors makes all weights equal.
        root = np.sqrt(points.weight)
        fit = sm.RLM(y * root, design * root[:, None]).fit()
    else:
        model = sm.WLS(y, design, weights=points.weight)
        # HC3 divides by 1 - leverage: a point that alone fixes the line would make it infinite.
        leverage = np.sum(np.linalg.qr(model.wexog)[0] ** 2, axis=1)
        fit = model.fit(cov_type="HC3") if len(y) > 3 and float(np.max(leverage)) < 0.99 else model.fit()
    (log_a, b), (log_a_err, b_err) = fit.params, fit.bse
    if covariance is not None:
        # The weighted fit is a matrix acting on ln T, whose covariance is that of T divided by T_i·T_j.
        matrix = np.linalg.pinv(design * np.sqrt(points.weight)[:, None]) * np.sqrt(points.weight)
        known = np.asarray(covariance, dtype=float)[np.ix_(points.kept, points.kept)] / np.outer(points.t, points.t)
        propagated = np.sqrt(np.diag(matrix @ known @ matrix.T))
        log_a_err, b_err = (max(float(e), float(p)) for e, p in zip((log_a_err, b_err), propagated, strict=True))
    a = float(np.exp(log_a))
    return PowerLawFit(
        float(b), float(b_err), a, a * float(log_a_err), float(points.lr.min()), float(points.lr.max()), len(y),
        points.n_excluded, fit,
    )  # fmt: skip


@dataclass(frozen=True)
class _Usable:
    """Positive temperatures with their weights, normalised to mean 1; `kept` says which of the points they are."""

    lr: FloatArray
    t: FloatArray
    weight: FloatArray
    kept: IntArray
    n_excluded: int


def _usable(lr: ArrayLike, temperature: ArrayLike, stderr: ArrayLike | None) -> _Usable:
    x, t = (np.atleast_1d(np.asarray(values, dtype=float)) for values in (lr, temperature))
    error = np.full_like(t, 1.0) if stderr is None else np.atleast_1d(np.asarray(stderr, dtype=float))
    if not x.shape == t.shape == error.shape:
        raise ValueError(
            f"lr, temperature and stderr have shapes {x.shape}, {t.shape} and {error.shape}: make them equal"
        )
    usable = np.isfinite(x) & (x > 0) & np.isfinite(t) & (t > 0) & np.isfinite(error) & (error > 0)
    n = int(usable.sum())
    if len(np.unique(x[usable])) < 3:
        raise InsufficientData(f"a power law needs positive temperatures at 3 different learning rates, got {n}")
    x, t, error = x[usable], t[usable], error[usable]
    weight = np.ones(n) if stderr is None else (t / error) ** 2
    return _Usable(x, t, weight / weight.mean(), np.nonzero(usable)[0], int((~usable).sum()))


@dataclass(frozen=True)
class SeedExponent:
    """Exponent of a power law over several seeds; errors within one seed may be correlated.

    Attributes
    ----------
    exponent, exponent_stderr : of the learning rate.
    lower, upper : 95 % interval.
    n_seeds : number of clusters.
    """

    exponent: float
    exponent_stderr: float
    lower: float
    upper: float
    n_seeds: int


#: Fewest seeds for a bootstrap over them.
FEWEST_SEEDS = 5
_RESAMPLES = 1000


def power_law_over_seeds(
    lr: ArrayLike, temperature: ArrayLike, seed: ArrayLike, *, rng: np.random.Generator | None = None
) -> SeedExponent:
    """Exponent with an error that allows for runs of one seed sharing their data and initial weights.

    Whole seeds are drawn with replacement (Cameron, Gelbach & Miller 2008).

    Parameters
    ----------
    lr, temperature, seed : (n,) one entry per run.
    rng : of the bootstrap; by default one with a fixed seed.

    Raises
    ------
    ValueError
        Lists of different length.
    InsufficientData
        Fewer than five seeds, or than three different learning rates, with positive temperatures.
    """
    seeds = np.atleast_1d(np.asarray(seed))
    points = _usable(lr, temperature, None)
    if seeds.shape != np.shape(np.atleast_1d(np.asarray(lr))):
        raise ValueError(f"seed has shape {seeds.shape}, lr has {np.shape(lr)}: give one seed for each run")
    seeds = seeds[points.kept]
    names = np.unique(seeds)
    if len(names) < FEWEST_SEEDS:
        raise InsufficientData(
            f"runs of {len(names)} seed{'s' * (len(names) != 1)} with positive temperatures: an error over seeds needs "
            f"at least {FEWEST_SEEDS}, run the sweep with more seeds"
        )
    x, y = np.log(points.lr), np.log(points.t)
    rng = np.random.default_rng(0) if rng is None else rng
    drawn = rng.integers(len(names), size=(_RESAMPLES, len(names)))
    counts = np.array([np.bincount(draw, minlength=len(names)) for draw in drawn])
    slopes = slopes_over_groups([(x[seeds == name] - x.mean(), y[seeds == name]) for name in names], counts)
    low, high = np.nanquantile(slopes, [0.025, 0.975])
    exponent = float(np.polyfit(x, y, 1)[0])
    return SeedExponent(exponent, float(np.nanstd(slopes, ddof=1)), float(low), float(high), len(names))
