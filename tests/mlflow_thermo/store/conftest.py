"""Seeded random numbers, and series to damage."""

import shutil

import numpy as np
import pytest

from benchmarks.sample import STORAGES, write_sample
from mlflow_thermo.store import SeriesWriter
from tests.mlflow_thermo.store.samples import begin, go_on


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    """A series in each storage form, to be copied."""
    root = tmp_path_factory.mktemp("samples")
    for storage in STORAGES:
        write_sample(root / storage, storage)
    return root


@pytest.fixture(params=STORAGES)
def series(request, samples, tmp_path):
    return shutil.copytree(samples / request.param, tmp_path / "spaced")


@pytest.fixture
def full(samples, tmp_path):
    return shutil.copytree(samples / "full", tmp_path / "spaced")


@pytest.fixture
def pairs(monkeypatch):
    """Parts of two chunks."""
    monkeypatch.setattr(SeriesWriter, "chunks_per_part", 2)


@pytest.fixture
def parted(pairs, tmp_path):
    """A series of seven chunks: three parts, and one chunk in the index."""
    go_on(begin(tmp_path / "spaced")).close(complete=True)
    return tmp_path / "spaced"
