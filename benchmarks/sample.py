"""Small series to be damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mlflow_thermo.schema import FULL, ISOMETRIC, SKETCH, ParameterSlice, SeriesIndex
from mlflow_thermo.store import CountSketch, SeriesWriter, reduce_series, sketch_rows

STORAGES = (FULL, ISOMETRIC, SKETCH)


class _ShortParts(SeriesWriter):
    """Writes the index of six chunks in two parts and a rest."""

    chunks_per_part = 2


def write_sample(folder: Path, storage: str, seed: int = 0, parts: bool = False) -> None:
    """A small complete series of two chains in one of the storage forms, of three chunks; or of six, with `parts`."""
    rng = np.random.default_rng(seed)
    n, d, chains = 24, 60, 2
    layout = (ParameterSlice("weight", (5, 10), 0, 50), ParameterSlice("bias", (10,), 50, 10))
    index = SeriesIndex("spaced", d, "float32", "fixed_lr", lr=0.1, seed=3, layout=layout, chains=chains)
    index = replace(index, attributes={"uniform_loss": 2.5, "uniform_loss_std": 0.1, "note": "a text", "more": [1, {}]})
    weights = rng.normal(size=(n, d)).astype(np.float32)
    if storage == SKETCH:
        index = replace(index, storage=SKETCH, sketch_dim=16, sketch_error=0.2)
        weights = sketch_rows(CountSketch(d, 16), weights, keep_norms=False)
    writer = (_ShortParts if parts else SeriesWriter).create(folder, index)
    for rows in np.split(np.arange(n), 6 if parts else 3):
        loss = rng.random(len(rows))
        loss[0] = np.nan
        writer.append(rows // chains + 1, weights[rows], loss, rng.random(len(rows)))
    writer.close(complete=True)
    if storage == ISOMETRIC:
        reduce_series(folder, folder)
