"""Snapshot series on disk, full or compressed: what the recorder writes and the analysis reads."""

from mlflow_thermo.store.chunks import MAX_CHUNK_BYTES, rows_per_chunk, sha256_of
from mlflow_thermo.store.files import StoreError, printable, real_file
from mlflow_thermo.store.index import read_index, write_json
from mlflow_thermo.store.isometric import isometric_factor, orthogonalised
from mlflow_thermo.store.modes import DISK_SHARE, SHARED_COLUMNS, SKETCH_COLUMNS, choose_storage
from mlflow_thermo.store.parts import shortened
from mlflow_thermo.store.reduce import reduce_series
from mlflow_thermo.store.series import SeriesWriter, Snapshots, read_snapshots, read_weights
from mlflow_thermo.store.sketch import CountSketch, measured_error, sketch_rows

__all__ = [
    "DISK_SHARE",
    "MAX_CHUNK_BYTES",
    "SHARED_COLUMNS",
    "SKETCH_COLUMNS",
    "CountSketch",
    "SeriesWriter",
    "Snapshots",
    "StoreError",
    "choose_storage",
    "isometric_factor",
    "measured_error",
    "orthogonalised",
    "printable",
    "read_index",
    "read_snapshots",
    "read_weights",
    "real_file",
    "reduce_series",
    "rows_per_chunk",
    "sha256_of",
    "shortened",
    "sketch_rows",
    "write_json",
]
