"""Steps that are no updates of an optimizer, and trainings of another length than was said."""

import copy
import io
import pickle
import re

import numpy as np
import pytest
import torch
from torch import nn

from mlflow_thermo import Schedule, SnapshotRecorder, ThermoError
from mlflow_thermo.losses import DeviceLosses, HostLosses
from mlflow_thermo.moving import Standstill
from mlflow_thermo.store import read_index, read_weights


def loop(folder, calls, total=100, update_every=1, skip=(), parameters=None, **options):
    """A training that calls `step` so often, and updates its weights at some of the calls only."""
    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    given = net if parameters is None else parameters(net)
    with SnapshotRecorder(given, total, directory=folder, **options) as recorder:
        for call in range(1, calls + 1):
            loss = net(torch.randn(8, 3)).square().mean()
            loss.backward()
            recorder.step(loss)
            if call % update_every == 0 and call not in skip:
                optimizer.step()
                optimizer.zero_grad()
    return recorder


class TestLength:
    def test_one_that_fits_says_nothing(self, tmp_path, caplog):
        loop(tmp_path, 100)
        assert caplog.messages == []

    def test_a_longer_one(self, tmp_path, caplog):
        loop(tmp_path, 300)
        assert len(caplog.messages) == 1
        assert f"{tmp_path}: step was called 300 times and total_steps is 100: nothing after step 100" in caplog.text
        index = read_index(tmp_path / "spaced")
        assert (index.complete, index.steps[-1]) == (True, 100)

    def test_one_that_stops_early_keeps_what_it_has(self, tmp_path, caplog):
        loop(tmp_path, 70)
        assert "the training ended at step 70 of 100: spaced has 20 of 50 snapshots" in caplog.text
        index = read_index(tmp_path / "spaced")
        assert (index.complete, index.steps) == (False, tuple(range(51, 71)))
        assert len(read_weights(tmp_path / "spaced")) == 20

    def test_what_it_has_can_be_declared_to_be_all(self, tmp_path, caplog):
        """Afterwards, where nobody said so in time."""
        loop(tmp_path, 70)
        before = read_weights(tmp_path / "spaced")
        recorder = SnapshotRecorder(nn.Linear(3, 1), 100, directory=tmp_path, resume=True)
        recorder.end_here()
        recorder.close()
        index = read_index(tmp_path / "spaced")
        assert (index.complete, index.steps) == (True, tuple(range(51, 71)))
        np.testing.assert_array_equal(read_weights(tmp_path / "spaced"), before)

    def test_one_that_stops_before_the_first_snapshot(self, tmp_path, caplog):
        loop(tmp_path, 40)
        assert "spaced would have begun at step 51" in caplog.text

    def test_one_that_is_meant_to_end(self, tmp_path, caplog):
        w = nn.Parameter(torch.zeros(3))
        with SnapshotRecorder([("w", w)], 100, directory=tmp_path) as recorder:
            for _ in range(70):
                recorder.step(0.5)
            recorder.end_here()
        assert caplog.messages == []
        assert read_index(tmp_path / "spaced").complete

    def test_an_exception_says_it_itself(self, tmp_path, caplog):
        with pytest.raises(RuntimeError), SnapshotRecorder(nn.Linear(1, 1), 10, directory=tmp_path):
            raise RuntimeError
        assert caplog.messages == []


class TestStandstill:
    def test_micro_batches_are_no_steps(self, tmp_path, caplog):
        loop(tmp_path, 100, update_every=4)
        assert "72 of 99 steps that were looked at changed no weight" in caplog.text

    @pytest.mark.parametrize("storage", ["full", "isometric", "sketch"])
    def test_updates_that_were_skipped(self, tmp_path, caplog, storage):
        loop(tmp_path, 100, skip=(31, 60, 61), storage=storage, sketch_columns=2)
        assert "3 of 99 steps" in caplog.text

    def test_a_training_that_has_arrived_is_no_miscount(self, tmp_path, caplog):
        loop(tmp_path, 100, skip=range(60, 101))
        assert caplog.messages == []

    def test_across_blocks_and_gaps_and_for_all_chains(self):
        still = Standstill(2)
        still.add((1, 1, 2, 2), np.array([[0, 0], [1, 1], [0, 0], [1, 1]]))
        still.add((3, 3, 4, 4), np.array([[0, 0], [1, 1], [0, 0], [2, 2]]))
        still.add((9, 9, 10, 10), np.array([[0, 0], [2, 2], [0, 0], [3, 3]]))
        assert (still.steps, still.of) == (2, 4)


class TestLeftBehind:
    @pytest.mark.parametrize(
        "change",
        [
            lambda net: net.load_state_dict({k: v.clone() for k, v in net.state_dict().items()}, assign=True),
            lambda net: setattr(net, "weight", nn.Parameter(net.weight.detach().clone())),
        ],
    )
    @pytest.mark.parametrize("form", [lambda net: net.named_parameters(), lambda net: dict(net.named_parameters())])
    def test_named_tensors_whose_place_another_has_taken(self, tmp_path, change, form):
        net = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        with pytest.raises(ThermoError, match="parameter 'weight' was not updated any more.*give the recorder the mod"):
            with SnapshotRecorder(form(net), 60, directory=tmp_path) as recorder:
                for step in range(60):
                    if step == 40:
                        change(net)
                        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
                    loss = net(torch.randn(8, 3)).square().mean()
                    loss.backward()
                    recorder.step(loss)
                    optimizer.step()
                    optimizer.zero_grad()
        assert not read_index(tmp_path / "spaced").complete

    def test_updates_that_pytorch_does_not_count(self, tmp_path):
        """As those of a CUDA graph, which is replayed after a few ordinary steps."""
        w = nn.Parameter(torch.zeros(3))
        with SnapshotRecorder([("w", w)], 60, directory=tmp_path) as recorder:
            for step in range(60):
                with torch.no_grad():
                    (w if step < 5 else w.data).add_(1.0)
                recorder.step(0.5)
        assert read_index(tmp_path / "spaced").complete

    def test_weights_that_rest_for_a_while(self, tmp_path):
        loop(tmp_path, 100, skip=range(20, 60), parameters=lambda net: net.named_parameters())
        assert read_index(tmp_path / "spaced").complete


class TestLosses:
    @pytest.mark.parametrize("loss", [torch.tensor([1.0, 2.0]), torch.tensor([[1, 2], [2, 1]]), torch.tensor([[1.5]])])
    def test_the_mean_of_several_devices(self, tmp_path, loss):
        series = (Schedule("spaced", (1, 2)),)
        with SnapshotRecorder(nn.Linear(1, 1), series=series, directory=tmp_path) as recorder:
            recorder.step(loss)
            recorder.step(loss.to(torch.bfloat16))
        assert read_index(tmp_path / "spaced").loss == (1.5, 1.5)

    def test_of_each_chain(self, tmp_path):
        chains = [nn.Linear(1, 1), nn.Linear(1, 1)]
        with SnapshotRecorder(chains, series=(Schedule("spaced", (1, 2)),), directory=tmp_path) as recorder:
            recorder.step(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
            recorder.step([torch.tensor([1.0, 3.0]), 5.0])
        assert read_index(tmp_path / "spaced").loss == (2.0, 5.0, 2.0, 5.0)

    @pytest.mark.parametrize("loss", ["0.5", {"loss": 0.5}, object(), [None], [[1.0, 2.0], "a"], 1j])
    def test_no_number(self, tmp_path, loss):
        with SnapshotRecorder(nn.Linear(1, 1), 10, directory=tmp_path) as recorder:
            with pytest.raises(ThermoError, match="give the mean loss of the batch"):
                recorder.step(loss)

    @pytest.mark.parametrize("loss", [torch.tensor([]), [], [1.0, 2.0], np.array([1.0, 2.0])])
    def test_not_one_number(self, tmp_path, loss):
        with SnapshotRecorder(nn.Linear(1, 1), 10, directory=tmp_path) as recorder:
            with pytest.raises(ThermoError, match=f"step got {len(loss)} losses for 1 chains"):
                recorder.step(loss)

    def test_a_loss_on_the_other_side(self):
        """``loss.item()`` of weights on a device, and a loss on a device of weights that are offloaded."""
        for losses, loss in ((DeviceLosses(1, torch.device("cpu")), np.array([2.0])), (HostLosses(1), torch.ones(1))):
            losses.add(loss)
            losses.keep(0, loss)
            assert losses.read(1).tolist() == [[float(loss[0])] * 2]


class TestCopies:
    @pytest.mark.parametrize(
        ("copied", "held"),
        [
            (copy.copy, lambda recorder: recorder),
            (copy.deepcopy, lambda recorder: {"trainer": [recorder]}),
            (pickle.dumps, lambda recorder: {"trainer": [recorder]}),
            (lambda one: torch.save(one, io.BytesIO()), lambda recorder: recorder),
        ],
    )
    def test_a_recorder_is_not_copied(self, tmp_path, copied, held):
        with SnapshotRecorder(nn.Linear(1, 1), 10, directory=tmp_path) as recorder:
            with pytest.raises(ThermoError, match=re.escape("keep its state_dict() in checkpoints")) as caught:
                copied(held(recorder))
            # What Lightning and others expect of an object that cannot be pickled.
            assert isinstance(caught.value, TypeError)
            for _ in range(10):
                recorder.step(0.5)
        assert read_index(tmp_path / "spaced").complete

    def test_its_state_is(self, tmp_path):
        with SnapshotRecorder(nn.Linear(1, 1), 10, directory=tmp_path) as recorder:
            recorder.step(0.5)
            state = pickle.loads(pickle.dumps(copy.deepcopy(recorder.state_dict())))
            recorder.load_state_dict(state)
            assert recorder.steps_taken == 1
