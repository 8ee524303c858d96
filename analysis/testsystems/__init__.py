"""Systems whose loss, entropy and temperature are known exactly: what the estimators are checked against.

Gibbs states (`GibbsSystem`) are indexed by their temperature, the stationary states of stochastic gradient descent
(`SGDSystem`) by their learning rate. Both have exact ``loss``, ``entropy`` and ``temperature``, a sampler of
independent states (``sample``) and a simulator of the dynamics (``simulate``), vectorised over their parameter.
`AutoregressiveProcess`, `FrozenFloor` and `DriftingWalk` are negative controls: an analysis must refuse them.

Natural units as in `analysis.results`.
"""

from analysis.testsystems._base import GibbsSystem, SGDSystem, System
from analysis.testsystems.cases import calibration_systems
from analysis.testsystems.controls import AutoregressiveProcess, DriftingWalk, FrozenFloor
from analysis.testsystems.directional import UniformSphere, VonMisesFisher, VonMisesProduct, random_rotation
from analysis.testsystems.potential import DoubleWell, PotentialOnLine
from analysis.testsystems.quadratic import GibbsQuadratic
from analysis.testsystems.regression import RegressionSGD
from analysis.testsystems.sgd import QuadraticSGD
from analysis.testsystems.toy_sphere import SphereToy
from analysis.testsystems.weight_decay import IsotropicNoiseSphere

__all__ = [
    "AutoregressiveProcess",
    "DoubleWell",
    "DriftingWalk",
    "FrozenFloor",
    "GibbsQuadratic",
    "GibbsSystem",
    "IsotropicNoiseSphere",
    "PotentialOnLine",
    "QuadraticSGD",
    "RegressionSGD",
    "SGDSystem",
    "SphereToy",
    "System",
    "UniformSphere",
    "VonMisesFisher",
    "VonMisesProduct",
    "calibration_systems",
    "random_rotation",
]
