"""Snapshots to compress, indexes to forge, and a reader without rights."""

import hashlib
import json
import os
import re
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlflow_thermo.schema import SeriesIndex
from mlflow_thermo.store import SeriesWriter, StoreError, read_index, read_snapshots

N, D = 60, 2000


def walk(rng, n=N, d=D, step=1e-4):
    """Consecutive iterates on the unit sphere, much closer to each other than to the origin."""
    points = rng.normal(size=d) / np.sqrt(d) + step / np.sqrt(d) * np.cumsum(rng.normal(size=(n, d)), axis=0)
    return (points / np.linalg.norm(points, axis=1)[:, None]).astype(np.float32)


def pieces(X, width=700):
    return lambda: (X[:, i : i + width] for i in range(0, X.shape[1], width))


def relative(found, exact):
    return float(np.max(np.abs(found / exact - 1)))


def write(folder, weights, chunks=3, **index):
    given = SeriesIndex(series="spaced", d=weights.shape[1], dtype="float32", protocol="sphere")
    writer = SeriesWriter.create(folder, replace(given, **index))
    for part in np.array_split(np.arange(len(weights)), chunks):
        losses = np.full(len(part), 0.5)
        writer.append(part + 1, weights[part], losses, losses)
    writer.close(complete=True)


#: Snapshots of a series of so many chunks with two snapshots each.
CHUNKS = 7
WEIGHTS = np.random.default_rng(0).normal(size=(2 * CHUNKS, 40)).astype(np.float32)


def begin(folder):
    return SeriesWriter.create(folder, SeriesIndex("spaced", WEIGHTS.shape[1], "float32", "fixed_lr"))


def go_on(writer, chunks=CHUNKS):
    """Write the chunks after those that are there."""
    for k in range(len(writer.index.chunks), chunks):
        loss = np.array([k + 0.5, np.nan])
        writer.append([2 * k + 1, 2 * k + 2], WEIGHTS[2 * k : 2 * k + 2], loss, loss[::-1])
    return writer


def sign(raw):
    """As docs/format.md tells others to do."""
    rest = {key: value for key, value in raw.items() if key != "checksum"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return {**rest, "checksum": hashlib.sha256(canonical.encode()).hexdigest()}


def rewrite(folder, change, **dumps):
    raw = json.loads((folder / "index.json").read_text())
    change(raw)
    (folder / "index.json").write_text(json.dumps(sign(raw), **dumps))


def refused(folder, words):
    with pytest.raises(StoreError, match=words) as caught:
        read_snapshots(folder, read_index(folder))
    said = str(caught.value)
    assert "\n" not in said
    assert said.isprintable()
    assert re.search(r"index(-\d+)?\.json|\.safetensors", said)


@contextmanager
def shared_folder():
    """A folder that everybody may look into; pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def unprivileged():
    """Read without rights of one's own, also where the tests run as root, who has all."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
