"""Distances, Gram matrices and maps of many-dimensional snapshots: the ground floor of all that follows."""
