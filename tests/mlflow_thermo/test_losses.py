"""Losses between two snapshots."""

import numpy as np
import pytest
import torch

from mlflow_thermo.errors import ThermoError
from mlflow_thermo.losses import DeviceLosses, HostLosses, step_losses


@pytest.mark.parametrize("losses", [HostLosses(3), DeviceLosses(3, torch.device("cpu"))])
def test_losses(losses):
    def step(value):
        found = step_losses(torch.tensor(value), 1)
        return found if isinstance(losses, HostLosses) else torch.as_tensor(found)

    for value in (1.0, 2.0, 6.0):
        losses.add(step(value))
    losses.keep(0, step(6.0))
    losses.add(step(4.0))
    losses.keep(1, step(4.0))
    losses.keep(2, None)
    np.testing.assert_array_equal(losses.read(3), [[6, 3], [4, 4], [np.nan, np.nan]])
    losses.add(step(5.0))
    losses.keep(0, step(5.0))
    np.testing.assert_array_equal(losses.read(2), [[5, 5], [np.nan, np.nan]])


@pytest.mark.parametrize(
    "loss",
    [torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0], dtype=torch.bfloat16), [1.0, 2.0], np.array([1.0, 2.0]),
     [torch.tensor(1.0), torch.tensor(2.0, requires_grad=True)]],
)  # fmt: skip
def test_one_loss_for_each_chain(loss):
    np.testing.assert_array_equal(step_losses(loss, 2), [1, 2])
    with pytest.raises(ThermoError, match="step got 2 losses for 3 chains"):
        step_losses(loss, 3)
