"""Systems whose loss, entropy and temperature are known exactly: what the estimators are checked against.

Gibbs states (`GibbsSystem`) are indexed by their temperature, the stationary states of stochastic gradient descent
(`SGDSystem`) by their learning rate. Both have exact ``loss``, ``entropy`` and ``temperature``, a sampler of
independent states (``sample``) and a simulator of the dynamics (``simulate``), vectorised over their parameter.
`AutoregressiveProcess`, `FrozenFloor` and `DriftingWalk` are negative controls: an analysis must refuse them.

Natural units as in `analysis.results`.
"""

from typing import TYPE_CHECKING

from mlflow_thermo.faces import lazy_names

if TYPE_CHECKING:
    from analysis.testsystems._base import GibbsSystem as GibbsSystem, SGDSystem as SGDSystem, System as System
    from analysis.testsystems.accuracy import (
        COLUMNS as COLUMNS,
        ESTIMATORS as ESTIMATORS,
        CalibrationRow as CalibrationRow,
        calibrate as calibrate,
        sample_entropy as sample_entropy,
        table_row as table_row,
    )
    from analysis.testsystems.cases import calibration_systems as calibration_systems
    from analysis.testsystems.controls import (
        AutoregressiveProcess as AutoregressiveProcess,
        DriftingWalk as DriftingWalk,
        FrozenFloor as FrozenFloor,
    )
    from analysis.testsystems.directional import (
        UniformSphere as UniformSphere,
        VonMisesFisher as VonMisesFisher,
        VonMisesProduct as VonMisesProduct,
        random_rotation as random_rotation,
    )
    from analysis.testsystems.potential import DoubleWell as DoubleWell, PotentialOnLine as PotentialOnLine
    from analysis.testsystems.quadratic import GibbsQuadratic as GibbsQuadratic
    from analysis.testsystems.regression import RegressionSGD as RegressionSGD
    from analysis.testsystems.sgd import QuadraticSGD as QuadraticSGD
    from analysis.testsystems.toy_sphere import SphereToy as SphereToy, ToyLines as ToyLines, toys as toys
    from analysis.testsystems.weight_decay import IsotropicNoiseSphere as IsotropicNoiseSphere

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "_base": ["GibbsSystem", "SGDSystem", "System"],
        "accuracy": ["COLUMNS", "CalibrationRow", "calibrate", "sample_entropy", "table_row", "ESTIMATORS"],
        "cases": ["calibration_systems"],
        "controls": ["AutoregressiveProcess", "DriftingWalk", "FrozenFloor"],
        "directional": ["UniformSphere", "VonMisesFisher", "VonMisesProduct", "random_rotation"],
        "potential": ["DoubleWell", "PotentialOnLine"],
        "quadratic": ["GibbsQuadratic"],
        "regression": ["RegressionSGD"],
        "sgd": ["QuadraticSGD"],
        "toy_sphere": ["SphereToy", "ToyLines", "toys"],
        "weight_decay": ["IsotropicNoiseSphere"],
    },
)
