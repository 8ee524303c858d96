"""Distances, Gram matrices and maps of many-dimensional snapshots: the ground floor of all that follows."""

from analysis.geometry.distances import (
    NEAR_CANCELLING,
    NEAR_CANCELLING_SINGLE,
    NeighbourFinder,
    distances_of_gram,
    distances_of_products,
    squared_distances,
)
from analysis.geometry.embedding import isometric_embedding
from analysis.geometry.gram import (
    centred_columns,
    centred_gram,
    column_chunks,
    gram_about,
    provisional_centre,
    recentred,
)
from analysis.geometry.shared_subspace import SharedBasis, fit_shared_basis, shared_subspace
from analysis.geometry.tangent import TangentSpace, tangent_space

__all__ = [
    "NEAR_CANCELLING",
    "NEAR_CANCELLING_SINGLE",
    "NeighbourFinder",
    "SharedBasis",
    "TangentSpace",
    "centred_columns",
    "centred_gram",
    "column_chunks",
    "distances_of_gram",
    "distances_of_products",
    "fit_shared_basis",
    "gram_about",
    "isometric_embedding",
    "provisional_centre",
    "recentred",
    "shared_subspace",
    "squared_distances",
    "tangent_space",
]
