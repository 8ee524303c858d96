"""A small training and its plain loop, against which trainers are held. Nothing here imports a trainer."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from mlflow_thermo import SnapshotRecorder
from mlflow_thermo.store import read_index, read_weights

#: Marks of tests in which Lightning trains, with what it warns of in trainings as short as these.
LIGHTNING = [
    pytest.mark.slow,
    pytest.mark.xdist_group("lightning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval"),
    pytest.mark.filterwarnings("ignore:.*litlogger"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


LR, BATCH = 0.1, 8
#: Environment of a program that imports from the tests.
WITH_TESTS = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


def network():
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def samples(n=64):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 3, generator=generator), torch.randn(n, 1, generator=generator)


def plain_loop(folder, epochs, accumulate=1, n=64, **options):
    """What a recorder in a loop of one's own has of the training."""
    net, (x, y) = network(), samples(n)
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    batches = [(x[k : k + BATCH], y[k : k + BATCH]) for k in range(0, n, BATCH)]
    windows = [batches[k : k + accumulate] for k in range(0, len(batches), accumulate)]
    with SnapshotRecorder(net, epochs * len(windows), lr=LR, directory=folder, **options) as recorder:
        for window in epochs * windows:
            losses = [nn.functional.mse_loss(net(a), b) for a, b in window]
            (torch.stack(losses).sum() / accumulate).backward()
            recorder.step(torch.stack(losses).mean())
            optimizer.step()
            optimizer.zero_grad()
    return recorded(folder)


def recorded(folder, series="consecutive"):
    """Index of a series, and its weights."""
    return read_index(folder / series), read_weights(folder / series)


def same(one, other):
    """Whether two recordings are of one training."""
    assert (one[0].steps, one[0].complete, one[0].lr) == (other[0].steps, other[0].complete, other[0].lr)
    torch.testing.assert_close(torch.tensor(one[0].loss), torch.tensor(other[0].loss))
    torch.testing.assert_close(torch.tensor(one[1]), torch.tensor(other[1]))
    return True
