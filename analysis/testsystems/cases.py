"""The systems and grids that the accuracy table is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import FloatArray
from analysis.testsystems._base import System
from analysis.testsystems.directional import VonMisesFisher, VonMisesProduct, random_rotation
from analysis.testsystems.quadratic import GibbsQuadratic
from analysis.testsystems.sgd import QuadraticSGD


@dataclass(frozen=True)
class CalibrationCase:
    """A system with the values of its control parameter at which it is measured.

    Attributes
    ----------
    system : with exact answers.
    controls : (m,) temperatures or learning rates, rising.
    """

    system: System
    controls: FloatArray


def calibration_systems(d: int, rng: np.random.Generator, n_controls: int = 9) -> list[CalibrationCase]:
    """Every system with an exact temperature in d weights, over the range that makes it hard.

    Raises
    ------
    ValueError
        For d < 2 or fewer than 3 controls.
    """
    if d < 2 or n_controls < 3:
        raise ValueError(f"calibration_systems needs d >= 2 and n_controls >= 3, got {d} and {n_controls}")
    decade = np.geomspace(0.1, 1.0, n_controls)
    spread = np.geomspace(1.0, 10.0, d)
    return [
        CalibrationCase(GibbsQuadratic(np.ones(d)), decade),
        CalibrationCase(GibbsQuadratic(spread), decade),
        CalibrationCase(QuadraticSGD(spread / 10, noise=spread / 10), np.geomspace(0.01, 0.1, n_controls)),
        # k/T from 0.2 to 200: some angles are nearly uniform, others nearly Gaussian, and each changes at its own T.
        CalibrationCase(VonMisesProduct(np.geomspace(0.2, 20.0, d), random_rotation(d, rng)), decade),
        # κ/d from 10 to 1: the mean cosine falls from 0.95 to 0.62.
        CalibrationCase(VonMisesFisher(d), decade / d),
    ]
