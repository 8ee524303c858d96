"""Free-energy curves F(lr'; T(lr)) = U(lr') − T(lr)·S(lr')."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from analysis._typing import FloatArray


def free_energy_curves(loss: ArrayLike, entropy: ArrayLike, temperature: ArrayLike) -> FloatArray:
    """All free-energy curves of a study.

    Parameters
    ----------
    loss, entropy, temperature : (n,) by learning rate, in loss units, nats and loss units per nat.

    Returns
    -------
    (n, n) array: row i is the curve at temperature T_i over the states j, F_ij = U_j − T_i·S_j. SGD minimises
    its free energy when row i has its minimum at j = i. Rows of a NaN temperature are NaN.

    Raises
    ------
    ValueError
        Lists of different length.
    """
    u, s, t = (np.atleast_1d(np.asarray(values, dtype=float)) for values in (loss, entropy, temperature))
    if not u.shape == s.shape == t.shape or u.ndim != 1:
        raise ValueError(f"loss, entropy and temperature have shapes {u.shape}, {s.shape}, {t.shape}: make them equal")
    return np.asarray(u[None, :] - t[:, None] * s[None, :])
