"""Recorders that step together write what each would write alone."""

import numpy as np
import pytest
import torch

from mlflow_thermo import Schedule, SnapshotRecorder, consecutive, spaced
from mlflow_thermo.losses import DeviceLosses
from mlflow_thermo.store import read_index, read_snapshots
from mlflow_thermo.together import Together

MODELS, CHAINS, STEPS = 3, 2, 60
SERIES = {
    "one series": [[spaced(STEPS, n=4 + 3 * model)] for model in range(MODELS)],
    "from the first step on": [[Schedule("spaced", tuple(range(1, STEPS + 1)))]] * MODELS,
    "one after the other": [
        [Schedule("consecutive", tuple(range(10, 20)), False), Schedule("spaced", tuple(range(30, 61, 5 + model)))]
        for model in range(MODELS)
    ],
    "at once": [[spaced(STEPS, n=5), Schedule("bursts", (7, 8, 31, 32, 50), False)]] * MODELS,
    "of another length": [[spaced(20 * (model + 1), n=3)] for model in range(MODELS)],
    "the last steps": [[consecutive(STEPS, 9 + model)] for model in range(MODELS)],
}


def _recorders(folder, series, resume=False):
    rng = torch.Generator().manual_seed(0)
    weights = [[{"w": torch.randn(3, generator=rng).requires_grad_()} for _ in range(CHAINS)] for _ in range(MODELS)]
    recorders = [
        SnapshotRecorder(weights[model], series=series[model], directory=folder / str(model), resume=resume)
        for model in range(MODELS)
    ]
    return weights, recorders


def _train(weights, steps, call):
    for step in steps:
        losses = torch.sin(torch.arange(MODELS * CHAINS) + 0.1 * step).reshape(MODELS, CHAINS)
        for model in weights:
            for chain in model:
                chain["w"].data.add_(0.1)
        call(losses)


def _written(folder, series):
    found = {}
    for model in range(MODELS):
        for one in series[model]:
            place = folder / str(model) / one.name
            index = read_index(place)
            found[model, one.name] = [index.steps, read_snapshots(place).weights, index.loss, index.loss_mean]
    return found


def _same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        for ours, theirs in zip(one[key], other[key], strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(params=SERIES)
def alone(request, tmp_path):
    series = SERIES[request.param]
    weights, recorders = _recorders(tmp_path / "alone", series)

    def one_by_one(losses):
        for recorder, row in zip(recorders, losses, strict=True):
            recorder.step(row)

    _train(weights, range(1, STEPS + 1), one_by_one)
    for recorder in recorders:
        recorder.close()
    return series, _written(tmp_path / "alone", series)


def test_the_same_is_written(alone, tmp_path):
    series, expected = alone
    weights, recorders = _recorders(tmp_path / "both", series)
    together = Together(recorders)
    _train(weights, range(1, STEPS + 1), together.step)
    together.settle()
    for recorder in recorders:
        assert recorder.steps_taken == STEPS
        recorder.close()
    _same(_written(tmp_path / "both", series), expected)


@pytest.mark.parametrize("at", [3, 19, 30, 47])
def test_the_same_is_written_after_a_checkpoint(alone, tmp_path, at):
    series, expected = alone
    weights, recorders = _recorders(tmp_path / "both", series)
    together = Together(recorders)
    _train(weights, range(1, at + 1), together.step)
    together.settle()
    states = [recorder.state_dict() for recorder in recorders]
    _train(weights, range(at + 1, at + 2), together.step)
    fresh, resumed = _recorders(tmp_path / "both", series, resume=True)
    for recorder, state in zip(resumed, states, strict=True):
        recorder.load_state_dict(state)
    _train(fresh, range(1, at + 1), lambda losses: None)
    together = Together(resumed)
    _train(fresh, range(at + 1, STEPS + 1), together.step)
    together.settle()
    for recorder in resumed:
        recorder.close()
    _same(_written(tmp_path / "both", series), expected)


def test_losses_of_a_device_go_on_from_a_sum():
    losses = DeviceLosses(4, torch.device("cpu"), CHAINS)
    losses.add(torch.tensor([1.0, 2.0]))
    total = losses.total()
    total += torch.tensor([0.5, 0.5])
    losses.go_on(total, 1)
    losses.add(torch.tensor([1.0, 0.0]))
    losses.keep(0, torch.tensor([1.0, 0.0]))
    np.testing.assert_allclose(losses.read(2), [[1.0, 2.5 / 3], [0.0, 2.5 / 3]])
