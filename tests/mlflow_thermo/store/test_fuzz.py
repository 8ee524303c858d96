"""Damage and forgery in every place: refused in one line, or read as it was. benchmarks/fuzz.md has thousands more."""

import random
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings, strategies as st

from benchmarks.fuzz import FORGED, NO_EFFECT, REFUSED, original, outcome
from benchmarks.mutations import MUTATIONS, mutations_of
from benchmarks.sample import STORAGES, write_sample

#: Those that take a second each are in the benchmark alone.
SLOW = ("index: bomb",)


@pytest.mark.parametrize("storage", STORAGES)
def test_no_change_is_read_as_something_else(tmp_path, storage):
    write_sample(tmp_path / "spaced", storage, parts=True)
    expected = original(tmp_path / "spaced")
    names = [name for name in mutations_of(tmp_path / "spaced") if name not in SLOW]

    @given(seed=st.integers(0, 2**63), name=st.sampled_from(names))
    @settings(max_examples=80, deadline=None, database=None)
    def check(seed, name):
        with TemporaryDirectory(dir=tmp_path) as study:
            folder = Path(study) / "run" / "spaced"
            shutil.copytree(tmp_path / "spaced", folder)
            forged = MUTATIONS[name][0](random.Random(seed), folder)
            result, said = outcome(folder, expected, forged)
        assert result in (REFUSED, NO_EFFECT, FORGED), f"{name} {seed}: {result} {said}"

    check()
