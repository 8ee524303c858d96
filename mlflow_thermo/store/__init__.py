"""Snapshot series on disk, whole or compressed: what the recorder writes and the analysis reads."""

from mlflow_thermo.store.series import (
    MAX_CHUNK_BYTES,
    SeriesWriter,
    StoreError,
    read_index,
    read_weights,
    rows_per_chunk,
    sha256_of,
    write_json,
)

__all__ = [
    "MAX_CHUNK_BYTES",
    "SeriesWriter",
    "StoreError",
    "read_index",
    "read_weights",
    "rows_per_chunk",
    "sha256_of",
    "write_json",
]
