"""Differential entropy of weight snapshots: one estimator family per module, scikit-learn's estimator API.

``fit(X)`` with X of shape (n_snapshots, n_weights) sets ``entropy_`` (nats), ``entropy_stderr_`` (delete-block
jackknife) and ``status_``.
"""

from analysis.entropy.gaussian import GaussianEntropy
from analysis.entropy.kernel_density import KernelDensityEntropy
from analysis.entropy.knn_graph import KNNGraphEntropy, SlidingKNNGraph, knn_graph_entropies
from analysis.entropy.kozachenko_leonenko import KozachenkoLeonenkoEntropy
from analysis.entropy.mixture import GaussianMixtureEntropy
from analysis.entropy.ppca import ProbabilisticPCAEntropy

__all__ = [
    "GaussianEntropy",
    "GaussianMixtureEntropy",
    "KNNGraphEntropy",
    "KernelDensityEntropy",
    "KozachenkoLeonenkoEntropy",
    "ProbabilisticPCAEntropy",
    "SlidingKNNGraph",
    "knn_graph_entropies",
]
