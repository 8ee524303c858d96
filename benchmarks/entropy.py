"""The nearest-neighbour entropy kernel against the libraries and against the bare matrix product."""

from __future__ import annotations

import time

import numpy as np
import torch
from scipy.linalg.blas import dsyrk
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from analysis.entropy import PAPER_KS, knn_graph_entropies
from analysis.geometry import squared_distances
from benchmarks.table import Table
from benchmarks.timing import medians

#: The paper's window of iterates of its smallest network.
N, D = 1000, 24_408
ROUNDS = 7


def main(quick: bool) -> None:
    """Write entropy.md and entropy.json."""
    n, d, rounds = (300, 2000, 3) if quick else (N, D, ROUNDS)
    threads = torch.get_num_threads()
    table = Table(
        "entropy",
        "Entropies of the kNN graph",
        f"N = {n} snapshots in d = {d} dimensions, {len(PAPER_KS)} numbers of neighbours from one pass, {threads} "
        f"threads, medians of {rounds} rounds in which the rows take turns (the last two were run once). `of syrk`: "
        "over the time of the bare float64 symmetric product of the same shape; `of cdist`: over that of torch.cdist "
        "in float64 and a full sort. `error`: largest relative deviation from entropies of explicit differences.",
        ("what", "seconds", "of syrk", "of cdist", "error"),
        ("numpy", "scipy", "scikit-learn", "torch"),
    )
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    ks = [k for k in PAPER_KS if k < n]
    tensor, single = torch.from_numpy(X), torch.from_numpy(X.astype(np.float32))
    single_numpy = single.numpy()
    most = max(ks)
    actions = {
        "bare syrk, float64": lambda: dsyrk(1.0, X.T, trans=1),
        "torch.cdist and sort, float64": lambda: torch.sort(torch.cdist(tensor, tensor), dim=1),
        "torch.cdist and sort, float32": lambda: torch.sort(torch.cdist(single, single), dim=1),
        "knn_graph_entropies, float64": lambda: knn_graph_entropies(X, ks),
        "knn_graph_entropies, float64 products of float32 snapshots": lambda: knn_graph_entropies(single_numpy, ks),
        "knn_graph_entropies, float32 products": lambda: knn_graph_entropies(single_numpy, ks, precision=np.float32),
    }
    found = medians(actions, rounds)
    start = time.perf_counter()
    explicit = np.sort(cdist(X, X), axis=1)
    slow = {"scipy cdist and sort": time.perf_counter() - start}
    start = time.perf_counter()
    NearestNeighbors(n_neighbors=most).fit(X).kneighbors()
    slow["scikit-learn NearestNeighbors"] = time.perf_counter() - start
    exact = entropies_of(explicit, ks, d)
    exact_single = entropies_of(cdist(single_numpy.astype(float), single_numpy.astype(float)), ks, d)
    errors = {
        "knn_graph_entropies, float64": worst(knn_graph_entropies(X, ks), exact),
        "knn_graph_entropies, float64 products of float32 snapshots": worst(
            knn_graph_entropies(single_numpy, ks), exact_single
        ),
        "knn_graph_entropies, float32 products": worst(
            knn_graph_entropies(single_numpy, ks, precision=np.float32), exact_single
        ),
        "torch.cdist and sort, float32": worst(
            entropies_of(torch.cdist(single, single).numpy().astype(float), ks, d), exact_single
        ),
    }
    syrk, rival = found["bare syrk, float64"], found["torch.cdist and sort, float64"]
    for name, seconds in {**found, **slow}.items():
        table.add(name, seconds, seconds / syrk, seconds / rival, errors.get(name, "-"))
    for name, exponent in growth(rng, quick).items():
        table.notes.append(f"Growth of the time in {name}: exponent {exponent:.2f}.")
    if not quick:
        table.write()


def entropies_of(distances: np.ndarray, ks: list[int], d: int) -> np.ndarray:
    """The formula written out on a full matrix of distances."""
    edges = np.sort(distances, axis=1)[:, 1:]
    n = len(distances)
    return np.array([d * (np.log(edges[:, :k].sum()) - (d - 1) / d * np.log(n)) for k in ks])


def worst(ours: np.ndarray, exact: np.ndarray) -> float:
    """Largest relative deviation."""
    return float(np.max(np.abs(ours / exact - 1)))


def growth(rng: np.random.Generator, quick: bool) -> dict[str, float]:
    """Exponents of the time in N and in d."""
    sizes = {"N": [(n, 8000) for n in (500, 1000, 2000)], "d": [(1000, d) for d in (8000, 16_000, 32_000)]}
    out = {}
    for name, shapes in sizes.items():
        if quick:
            shapes = [(n // 10, d // 10) for n, d in shapes]
        data = [rng.normal(size=shape) for shape in shapes]
        seconds = medians({str(i): (lambda x=x: squared_distances(x)) for i, x in enumerate(data)}, 3)
        along = [np.log(shape[0 if name == "N" else 1]) for shape in shapes]
        out[name] = float(np.polyfit(along, np.log(list(seconds.values())), 1)[0])
    return out
