"""The snapshot index's JSON form."""

import json

import pytest

from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import SCHEMA_VERSION, Chunk, ParameterSlice, SeriesIndex

INDEX = SeriesIndex(
    series="spaced",
    d=6,
    dtype="float32",
    protocol="sphere",
    lr=0.1,
    seed=3,
    layout=(ParameterSlice("a", (2, 2), 0, 4), ParameterSlice("b", (2,), 4, 2)),
    steps=(2, 4),
    loss=(1.5, None),
    loss_mean=(1.25, 1.0),
    chunks=(Chunk("weights-2-4.safetensors", 2, 4, 2, 128, "00"),),
    attributes={"uniform_loss": None},
)


def test_survives_json():
    assert SeriesIndex.from_dict(json.loads(json.dumps(INDEX.to_dict(), allow_nan=False))) == INDEX
    assert INDEX.n_snapshots == 2


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, None, "1"])
def test_refuses_versions_it_does_not_know(version):
    with pytest.raises(ThermoError, match="schema_version.*upgrade"):
        SeriesIndex.from_dict({**INDEX.to_dict(), "schema_version": version})


@pytest.mark.parametrize("lacking", ["chunks", "layout", "steps", "d"])
def test_names_what_is_lacking(lacking):
    raw = INDEX.to_dict()
    del raw[lacking]
    with pytest.raises(ThermoError, match=lacking):
        SeriesIndex.from_dict(raw)
