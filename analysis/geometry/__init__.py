"""Distances, Gram matrices and maps of many-dimensional snapshots, on which all that follows is built."""

from analysis.geometry.distances import (
    NeighbourFinder,
    squared_distances,
)
from analysis.geometry.duplicates import count_duplicates
from analysis.geometry.embedding import isometric_embedding
from analysis.geometry.gram import (
    centred_columns,
    centred_gram,
    column_chunks,
    recentred,
)
from analysis.geometry.shared_subspace import SharedBasis, fit_shared_basis
from analysis.geometry.tangent import TangentSpace, tangent_space

__all__ = [
    "NeighbourFinder",
    "SharedBasis",
    "TangentSpace",
    "centred_columns",
    "centred_gram",
    "column_chunks",
    "count_duplicates",
    "fit_shared_basis",
    "isometric_embedding",
    "recentred",
    "squared_distances",
    "tangent_space",
]
