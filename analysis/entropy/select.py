"""Estimators by short name, and the choice among them that ``--entropy auto`` makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.entropy.base import EntropyEstimator
from analysis.entropy.edgeworth import EdgeworthEntropy
from analysis.entropy.gaussian import GaussianEntropy
from analysis.entropy.kernel_density import KernelDensityEntropy
from analysis.entropy.knn_graph import KNNGraphEntropy
from analysis.entropy.kozachenko_leonenko import KozachenkoLeonenkoEntropy
from analysis.entropy.mixture import GaussianMixtureEntropy
from analysis.entropy.ppca import ProbabilisticPCAEntropy
from analysis.stationarity import FEWEST_SNAPSHOTS, SNAPSHOTS_PER_DIMENSION

_REGISTRY: dict[str, tuple[type[EntropyEstimator], dict[str, Any]]] = {
    "knn-graph": (KNNGraphEntropy, {}),
    "kl": (KozachenkoLeonenkoEntropy, {}),
    "gaussian-ml": (GaussianEntropy, {"covariance": "ml"}),
    "edgeworth": (EdgeworthEntropy, {}),
    "ledoit-wolf": (GaussianEntropy, {"covariance": "ledoit-wolf"}),
    "oas": (GaussianEntropy, {"covariance": "oas"}),
    "nonlinear": (GaussianEntropy, {"covariance": "nonlinear"}),
    "ppca": (ProbabilisticPCAEntropy, {}),
    "mixture": (GaussianMixtureEntropy, {}),
    "kde": (KernelDensityEntropy, {}),
}

ESTIMATOR_NAMES: tuple[str, ...] = tuple(_REGISTRY)

#: Nearest neighbours follow any shape of density up to about this many dimensions.
FEW_DIMENSIONS = 5
#: From so many snapshots for each dimension on the correction for skewness removes more bias from dU/dS than it adds
#: noise: in a network 0.8 % become 0.4 % at 20 (benchmarks/network.md), of exact Gaussians 0.2 % 0.8 % at 10.
SKEWNESS_PER_DIMENSION = 15
#: Nearest neighbours in few dimensions need at least this many snapshots.
_ENOUGH_FOR_NEIGHBOURS = 50


@dataclass(frozen=True)
class Choice:
    """An estimator and why it was chosen.

    Attributes
    ----------
    name : short name, one of `ESTIMATOR_NAMES`.
    estimator : unfitted, with its ``dim`` set.
    reason : one sentence for the result and the report.
    """

    name: str
    estimator: EntropyEstimator
    reason: str


def make_estimator(name: str, **params: Any) -> EntropyEstimator:
    """The estimator with this short name and these parameters.

    Raises
    ------
    ValueError
        For an unknown name or a parameter that the estimator does not have; the message lists the valid ones.
    """
    if name not in _REGISTRY:
        raise ValueError(f"unknown entropy estimator {name!r}: choose one of {', '.join(ESTIMATOR_NAMES)}")
    cls, fixed = _REGISTRY[name]
    estimator = cls(**fixed)
    allowed = sorted(set(estimator.get_params()) - set(fixed))
    for key in params:
        if key not in allowed:
            raise ValueError(f"estimator {name!r} has no parameter {key!r}: choose from {', '.join(allowed)}")
    estimator.set_params(**params)
    return estimator


def choose_estimator(n_eff: float, dim: int, on_sphere: bool) -> Choice:
    """The estimator to trust with n_eff independent snapshots in D dimensions.

    Parameters
    ----------
    n_eff : independent snapshots per run.
    dim : D of the formulas: the number of weights, one less on a sphere.
    on_sphere : whether the weights live on a sphere; the estimator then needs the coordinates of
        `analysis.geometry.tangent_space`, and its entropy the volume correction.

    Raises
    ------
    ValueError
        For a dim below 1 or an n_eff that is not positive.
    """
    if dim < 1 or not n_eff > 0:
        raise ValueError(f"choose_estimator needs dim >= 1 and n_eff > 0, got dim={dim} and n_eff={n_eff}")
    numbers = f"{n_eff:.0f} independent snapshots in D={dim} dimensions"
    if dim <= FEW_DIMENSIONS and n_eff >= _ENOUGH_FOR_NEIGHBOURS:
        name, why = "kl", f"{numbers}: few enough dimensions for nearest neighbours, which assume no shape"
    elif n_eff >= SKEWNESS_PER_DIMENSION * dim:
        name = "edgeworth"
        why = f"{numbers}: at least {SKEWNESS_PER_DIMENSION} per dimension tell how far from a Gaussian they are"
    elif n_eff >= SNAPSHOTS_PER_DIMENSION * dim:
        name = "gaussian-ml"
        why = f"{numbers}: at least {SNAPSHOTS_PER_DIMENSION} per dimension determine the full covariance"
    else:
        name = "oas"
        why = (
            f"{numbers}: fewer than {SNAPSHOTS_PER_DIMENSION} per dimension, so the covariance is shrunk and only "
            "checked differences between learning rates mean anything"
        )
    if n_eff < FEWEST_SNAPSHOTS:
        why += f"; fewer than {FEWEST_SNAPSHOTS} independent snapshots are too few for any estimator"
    if on_sphere:
        why += "; in the tangent space of the sphere"
    return Choice(name, make_estimator(name, dim=dim), why)
