"""Differential entropy of weight snapshots: one estimator family per module, scikit-learn's estimator API.

``fit(X)`` with X of shape (n_snapshots, n_weights) sets ``entropy_`` (nats), ``entropy_stderr_`` (delete-block
jackknife) and ``status_``.
"""

from analysis.entropy.base import (
    EntropyEstimator,
    correlation_with_mean,
    jackknife_stderr,
)
from analysis.entropy.edgeworth import EdgeworthEntropy
from analysis.entropy.gaussian import GaussianEntropy
from analysis.entropy.identifiability import RunEntropies, compare_runs, subspace_dimension, summarise_run
from analysis.entropy.kernel_density import KernelDensityEntropy
from analysis.entropy.knn_graph import PAPER_KS, KNNGraphEntropy, knn_graph_entropies
from analysis.entropy.kozachenko_leonenko import KozachenkoLeonenkoEntropy
from analysis.entropy.mixture import GaussianMixtureEntropy
from analysis.entropy.of_trajectory import PAPER_K, entropy_of, flat, paper_entropy, paper_estimator
from analysis.entropy.ppca import ProbabilisticPCAEntropy
from analysis.entropy.select import ESTIMATOR_NAMES, choose_estimator, make_estimator
from analysis.entropy.uniform import uniform_baseline, uniform_entropy

__all__ = [
    "ESTIMATOR_NAMES",
    "PAPER_K",
    "PAPER_KS",
    "EdgeworthEntropy",
    "EntropyEstimator",
    "GaussianEntropy",
    "GaussianMixtureEntropy",
    "KNNGraphEntropy",
    "KernelDensityEntropy",
    "KozachenkoLeonenkoEntropy",
    "ProbabilisticPCAEntropy",
    "RunEntropies",
    "choose_estimator",
    "compare_runs",
    "correlation_with_mean",
    "entropy_of",
    "flat",
    "jackknife_stderr",
    "knn_graph_entropies",
    "make_estimator",
    "paper_entropy",
    "paper_estimator",
    "subspace_dimension",
    "summarise_run",
    "uniform_baseline",
    "uniform_entropy",
]
