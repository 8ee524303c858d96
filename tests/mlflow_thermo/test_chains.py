"""Several chains in one recorder: their rows, their losses, and what is kept of a run that is cut short."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from mlflow_thermo import SnapshotRecorder
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schedule import Schedule, spaced
from mlflow_thermo.store import SeriesWriter, StoreError, read_index, read_weights


def models(n):
    first = nn.Linear(3, 1)
    return [copy.deepcopy(first) for _ in range(n)]


def train(recorder, chains, steps):
    for step in range(1, steps + 1):
        for number, chain in enumerate(chains):
            with torch.no_grad():
                for parameter in chain.parameters():
                    parameter.fill_(100 * number + step)
        recorder.step([float(number + 10 * step) for number in range(len(chains))])


def test_rows_follow_each_other_in_the_order_of_the_chains(tmp_path):
    chains = models(3)
    series = [Schedule("spaced", (2, 4, 6)), Schedule("consecutive", (5, 6), every_chain=False)]
    with SnapshotRecorder(chains, series=series, directory=tmp_path, lr=0.1) as recorder:
        train(recorder, chains, 6)
    index = read_index(tmp_path / "spaced")
    assert (index.chains, index.complete, index.steps) == (3, True, (2, 2, 2, 4, 4, 4, 6, 6, 6))
    expected = [[100 * chain + step] * 4 for step in (2, 4, 6) for chain in range(3)]
    np.testing.assert_array_equal(read_weights(tmp_path / "spaced"), expected)
    assert index.loss == tuple(float(chain + 10 * step) for step in (2, 4, 6) for chain in range(3))
    assert index.loss_mean[3:6] == (35.0, 36.0, 37.0)
    first = read_index(tmp_path / "consecutive")
    assert (first.chains, first.steps, first.loss) == (1, (5, 6), (50.0, 60.0))


def test_a_chunk_holds_whole_steps(tmp_path):
    chains = models(7)
    with SnapshotRecorder(chains, series=[spaced(20, n=5, start=0.0)], directory=tmp_path, lr=0.1) as recorder:
        train(recorder, chains, 20)
    index = read_index(tmp_path / "spaced")
    assert index.n_snapshots == 35
    assert {chunk.n_snapshots % 7 for chunk in index.chunks} == {0}


def test_a_training_that_ends_early_is_complete_when_it_says_so(tmp_path):
    chains = models(2)
    with SnapshotRecorder(chains, series=[Schedule("spaced", (2, 4, 600))], directory=tmp_path, lr=0.1) as recorder:
        train(recorder, chains, 5)
        recorder.end_here()
    index = read_index(tmp_path / "spaced")
    assert (index.complete, index.steps) == (True, (2, 2, 4, 4))


def test_resume_goes_on_with_all_chains(tmp_path):
    chains, series = models(2), [Schedule("spaced", (2, 4, 6))]
    with SnapshotRecorder(chains, series=series, directory=tmp_path, lr=0.1) as recorder:
        train(recorder, chains, 4)
    with SnapshotRecorder(chains, series=series, directory=tmp_path, lr=0.1, resume=True) as recorder:
        recorder.fast_forward(4)
        recorder.step([0.0, 0.0])
        recorder.step([0.0, 0.0])
    index = read_index(tmp_path / "spaced")
    assert (index.complete, index.steps) == (True, (2, 2, 4, 4, 6, 6))
    with pytest.raises(ThermoError, match="its chains differs"):
        SnapshotRecorder(chains[:1], series=series, directory=tmp_path, lr=0.1, resume=True)


def test_chains_are_copies_of_one_model(tmp_path):
    with pytest.raises(ThermoError, match="chain 1 differs from chain 0"):
        SnapshotRecorder([nn.Linear(3, 1), nn.Linear(4, 1)], total_steps=10, directory=tmp_path)


def test_a_chunk_with_a_chain_missing_is_refused(tmp_path):
    with SnapshotRecorder(models(2), series=[Schedule("spaced", (2,))], directory=tmp_path, lr=0.1):
        pass
    writer = SeriesWriter.resume(tmp_path / "spaced")
    for steps in ((2, 2, 4), (2, 4)):
        with pytest.raises(StoreError, match="each of its 2 chains needs one snapshot at every step"):
            writer.append(steps, np.zeros((len(steps), 4), dtype=np.float32), [0.0] * len(steps), [0.0] * len(steps))
