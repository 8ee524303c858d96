"""Free-energy curves on a family whose minimum is known."""

import numpy as np
import pytest

from analysis.free_energy import free_energy_curves


def test_minimum_is_at_the_curve_s_own_learning_rate():
    lr = np.geomspace(1e-3, 1e-1, 15)
    temperature = 2e-3 * lr**0.8
    entropy = 40 * np.log(lr)
    loss = 40 * temperature / 0.8
    curves = free_energy_curves(loss, entropy, temperature)
    assert curves.argmin(axis=1).tolist() == list(range(15))
    assert curves[3, 7] == pytest.approx(loss[7] - temperature[3] * entropy[7])


def test_unknown_temperature():
    curves = free_energy_curves([1, 2], [3, 4], [np.nan, 1.0])
    assert np.isnan(curves[0]).all()
    assert curves[1].tolist() == [-2.0, -2.0]


def test_lengths():
    with pytest.raises(ValueError, match="make them equal"):
        free_energy_curves([1, 2], [1, 2], [1])
