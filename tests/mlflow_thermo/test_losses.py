"""Losses between two snapshots."""

import numpy as np
import pytest
import torch

from mlflow_thermo.losses import DeviceLosses, HostLosses


@pytest.mark.parametrize("losses", [HostLosses(3), DeviceLosses(3, torch.device("cpu"))])
def test_losses(losses):
    for value in (1.0, 2.0, 6.0):
        losses.add(torch.tensor(value))
    losses.keep(0, torch.tensor(6.0))
    losses.add(4.0)
    losses.keep(1, 4.0)
    losses.keep(2, None)
    np.testing.assert_array_equal(losses.read(3), [[6, 3], [4, 4], [np.nan, np.nan]])
    losses.add(5.0)
    losses.keep(0, 5.0)
    np.testing.assert_array_equal(losses.read(2), [[5, 5], [np.nan, np.nan]])
