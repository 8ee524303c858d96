"""Fits that are linear in their data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import FloatArray


@dataclass(frozen=True)
class Linear:
    """A smooth curve through data: its values and derivatives at the points, as matrices that act on the data.

    Attributes
    ----------
    level, slope : (n, n) matrices that give the values, and the derivatives, from the data.
    """

    level: FloatArray
    slope: FloatArray

    @classmethod
    def nothing(cls, n: int) -> Linear:
        """Zero, whatever the data are."""
        return cls(np.zeros((n, n)), np.zeros((n, n)))

    def then(self, rest: Linear) -> Linear:
        """This fit, followed by `rest` fitted to its residuals."""
        left = np.eye(len(self.level)) - self.level
        return Linear(self.level + rest.level @ left, self.slope + rest.slope @ left)

    def degrees_of_freedom(self) -> float:
        """Degrees of freedom of the residuals, tr (I − H)ᵀ(I − H)."""
        return float(len(self.level) - 2 * np.trace(self.level) + np.sum(self.level**2))


def least_squares(basis: FloatArray, derivative: FloatArray, weight: FloatArray) -> Linear:
    """Weighted least squares on the columns of `basis`, (n, p), whose derivatives are `derivative`, (n, p)."""
    root = np.sqrt(weight)
    coefficients = np.linalg.pinv(basis * root[:, None]) * root
    return Linear(basis @ coefficients, derivative @ coefficients)


def polynomial(x: FloatArray, degree: int, weight: FloatArray) -> Linear:
    """Polynomial of this degree by weighted least squares; centre x for high degrees."""
    powers = np.arange(degree + 1)
    return least_squares(x[:, None] ** powers, powers * x[:, None] ** np.maximum(powers - 1, 0), weight)


def local_polynomial(x: FloatArray, weight: FloatArray, bandwidth: float, degree: int) -> Linear:
    """A polynomial about each point, weighted by a Gaussian kernel.

    Parameters
    ----------
    x : (n,)
    weight : (n, n) of each point (column) in the fit about each point (row).
    bandwidth : standard deviation of the kernel; infinite for none.
    degree : of the polynomials.
    """
    z = x[None, :] - x[:, None]
    kernel = np.ones_like(z) if np.isinf(bandwidth) else np.exp(-0.5 * (z / bandwidth) ** 2)
    root = np.sqrt(kernel * weight)
    design = z[:, :, None] ** np.arange(degree + 1)
    solution = np.linalg.pinv(design * root[:, :, None]) * root[:, None, :]
    return Linear(np.asarray(solution[:, 0, :], dtype=float), np.asarray(solution[:, 1, :], dtype=float))
