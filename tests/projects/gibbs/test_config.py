"""The parameters of a ladder, and the surfaces of the presets."""

import pytest
import torch

from mlflow_thermo.errors import ThermoError
from projects.gibbs.config import resolve
from projects.gibbs.presets import PRESETS
from projects.gibbs.surfaces import make_surface


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_whole(preset):
    config = resolve({"preset": preset, "draws": ""})
    assert config.ladder == sorted(config.ladder)
    assert len(config.ladder) >= 8
    surface = make_surface(preset, torch.float64)
    assert sum(surface.sizes) in (0, surface.d)
    weights = torch.randn(3, surface.d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    losses, gradients = surface.energy(weights)
    assert losses.shape == (3,)
    assert gradients.shape == weights.shape
    mean, std = surface.uniform_loss(torch.float64, torch.Generator().manual_seed(0))
    assert (mean is None) == (surface.sizes == ())
    assert mean is None or 0 < std < mean


def test_what_is_given_overrides_the_preset():
    config = resolve({"preset": "smooth", "temperatures": "1e-3,2e-3", "draws": "1e2", "dtype": "float32"})
    assert config.ladder == [1e-3, 2e-3]
    assert (config.draws, config.dtype, config.every) == (100, "float32", PRESETS["smooth"]["every"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperatures", "0"), ("temperatures", "-1e-3"), ("temperatures", "warm"), ("temperatures", "0:1e-3:4"),
        ("temperatures", "nan"), ("temperatures", ","), ("chains", "1"), ("draws", "3"), ("every", "0"),
        ("leapfrogs", "none"), ("burn_in", "2"), ("seed", "-1"), ("seed", str(2**63)), ("dtype", "float16"),
        ("preset", "unknown"),
    ],
)  # fmt: skip
def test_bad_input(name, value):
    with pytest.raises(ThermoError, match=name) as caught:
        resolve({name: value})
    assert len(str(caught.value).splitlines()) == 1
    assert "lr" not in str(caught.value)
