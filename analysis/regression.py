"""Power laws T = a·lr^b by statsmodels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import statsmodels.api as sm
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class PowerLaw:
    """T = prefactor·lr^exponent.

    Attributes
    ----------
    exponent, exponent_stderr : of the learning rate.
    prefactor, prefactor_stderr : in loss units per nat, at lr = 1.
    lr_min, lr_max : range of the learning rates that were used.
    n, n_excluded : numbers of points used, and left out because ln T does not exist.
    """

    exponent: float
    exponent_stderr: float
    prefactor: float
    prefactor_stderr: float
    lr_min: float
    lr_max: float
    n: int
    n_excluded: int
    fit: Any = field(repr=False)

    def summary(self) -> str:
        """The regression table of statsmodels."""
        return str(self.fit.summary(slim=True))


def power_law(lr: ArrayLike, temperature: ArrayLike, stderr: ArrayLike | None = None) -> PowerLaw:
    """Weighted least squares of ln T on ln lr with HC3 standard errors (MacKinnon & White 1985).

    Parameters
    ----------
    lr, temperature : (n,); temperatures that are not finite and positive are left out and counted.
    stderr : (n,) standard errors of the temperatures, for the weights; all points weigh the same without.
        ``stderr/temperature`` is taken for the standard error of ln T.

    Raises
    ------
    ValueError
        Lists of different length, or fewer than three usable points at different learning rates.
    """
    x, t = (np.atleast_1d(np.asarray(values, dtype=float)) for values in (lr, temperature))
    error = np.full_like(t, 1.0) if stderr is None else np.atleast_1d(np.asarray(stderr, dtype=float))
    if not x.shape == t.shape == error.shape:
        raise ValueError(
            f"lr, temperature and stderr have shapes {x.shape}, {t.shape} and {error.shape}: make them equal"
        )
    usable = np.isfinite(x) & (x > 0) & np.isfinite(t) & (t > 0) & np.isfinite(error) & (error > 0)
    n = int(usable.sum())
    if len(np.unique(x[usable])) < 3:
        raise ValueError(f"a power law needs positive temperatures at 3 different learning rates, got {n}")
    x, t, error = x[usable], t[usable], error[usable]
    weight = np.ones(n) if stderr is None else (t / error) ** 2
    model = sm.WLS(np.log(t), sm.add_constant(np.log(x)), weights=weight / weight.mean())
    plain = model.fit()
    # HC3 divides by 1 - leverage: a point that fixes the line alone would make it infinite.
    leverage = np.sum(np.linalg.qr(model.wexog)[0] ** 2, axis=1)
    fit = model.fit(cov_type="HC3") if n > 3 and float(np.max(leverage)) < 0.99 else plain
    (log_a, b), (log_a_err, b_err) = fit.params, fit.bse
    a = float(np.exp(log_a))
    return PowerLaw(
        float(b), float(b_err), a, a * float(log_a_err), float(x.min()), float(x.max()), n, int((~usable).sum()), fit
    )
