"""A model that is changed while it is recorded: never a snapshot of weights that are not those trained."""

import pytest
import torch
from torch import nn

from mlflow_thermo import Schedule, SnapshotRecorder
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.store import read_index, read_weights

EVERY = (Schedule("spaced", tuple(range(1, 13))), Schedule("consecutive", (10, 11, 12)))


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def weights_of(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def record(net, folder, change, at=6, parameters=None):
    """Twelve steps that count up the weights, with a change before one of them; what was trained at each."""
    trained = []
    with SnapshotRecorder(net if parameters is None else parameters, series=EVERY, directory=folder) as recorder:
        for step in range(1, 13):
            if step == at:
                change(net)
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter += 1
            trained.append(weights_of(net))
            recorder.step(0.5)
    return torch.stack(trained).numpy()


def new_parameter(net):
    net[1].weight = nn.Parameter(torch.full((2, 4), 7.0))


def assigned_state(net):
    net.load_state_dict({name: torch.full_like(t, 3.0) for name, t in net.state_dict().items()}, assign=True)


def new_layer(net):
    net[0] = nn.Linear(3, 4)


def in_another_order(net):
    weight = net[0].weight
    del net[0].weight
    net[0].register_parameter("weight", weight)


@pytest.mark.parametrize("change", [new_parameter, assigned_state, new_layer])
@pytest.mark.parametrize("at", [1, 6])
def test_a_parameter_that_takes_the_place_of_another_is_followed(tmp_path, change, at):
    trained = record(model(), tmp_path, change, at)
    assert read_index(tmp_path / "spaced").complete
    assert (read_weights(tmp_path / "spaced") == trained).all()
    assert (read_weights(tmp_path / "consecutive") == trained[-3:]).all()


def test_the_layout_stays_when_the_model_lists_its_parameters_in_another_order(tmp_path):
    net = model()
    record(net, tmp_path, in_another_order)
    index = read_index(tmp_path / "spaced")
    assert next(iter(dict(net.named_parameters()))) == "0.bias"
    assert index.layout[0].name == "0.weight"
    assert (read_weights(tmp_path / "spaced")[-1, :12] == net[0].weight.detach().reshape(-1).numpy()).all()


def test_chains_are_followed_one_by_one(tmp_path):
    nets = [model(), model()]
    with SnapshotRecorder(nets, series=EVERY, directory=tmp_path) as recorder:
        for step in range(1, 13):
            if step == 5:
                new_parameter(nets[1])
            recorder.step([0.5, 0.5])
    rows = read_weights(tmp_path / "spaced").reshape(12, 2, -1)
    assert (rows[-1] == torch.stack([weights_of(net) for net in nets]).numpy()).all()
    assert (rows[3, 1] != rows[4, 1]).any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda net: net.double(), r"'0.weight' was torch.float32 and is torch.float64 now"),
        (lambda net: net.half(), r"'0.weight' was torch.float32 and is torch.float16 now"),
        (lambda net: setattr(net[1], "weight", nn.Parameter(torch.ones(1, 4))), r"'1.weight' was \(2, 4\) and is \(1,"),
        (lambda net: net[0].bias.requires_grad_(False), "'0.bias' no longer requires a gradient"),
        (lambda net: net.append(nn.Linear(2, 2)), "'2.weight' is trained now and was not"),
        (lambda net: setattr(net[1], "bias", None), "'1.bias' is no longer in the model"),
    ],
)  # fmt: skip
def test_any_other_change_is_refused_by_name(tmp_path, change, said):
    with pytest.raises(ThermoError, match=f"parameter {said}.*change the model first"):
        record(model(), tmp_path, change)
    for series in ("spaced", "consecutive"):
        assert not read_index(tmp_path / series).complete


def test_a_layer_that_is_trained_only_later_is_not_left_out(tmp_path):
    net = model()
    net[0].requires_grad_(False)
    with pytest.raises(ThermoError, match="'0.weight' is trained now and was not"):
        record(net, tmp_path, lambda net: net[0].requires_grad_(True))
    # What was written before is of all weights that were trained.
    assert max(read_index(tmp_path / "spaced").steps) < 6
    assert not read_index(tmp_path / "spaced").complete


def test_pairs_too_are_never_narrowed(tmp_path):
    net = model()
    with pytest.raises(ThermoError, match=r"'0.weight' was torch.float32 and is torch.float64 now"):
        record(net, tmp_path, lambda net: net.double(), parameters=net.named_parameters())


def test_double_precision_is_recorded_as_it_is(tmp_path):
    trained = record(model().double(), tmp_path, lambda net: None)
    assert read_index(tmp_path / "spaced").dtype == "float64"
    assert (read_weights(tmp_path / "spaced") == trained).all()


def test_a_refusal_that_is_survived_leaves_no_complete_series(tmp_path):
    net = model()
    recorder = SnapshotRecorder(net, series=EVERY, directory=tmp_path)
    for step in range(1, 13):
        if step == 6:
            net.double()
        try:
            recorder.step(0.5)
        except ThermoError:
            assert step >= 6
    recorder.end_here()
    recorder.close(complete=True)
    assert not read_index(tmp_path / "spaced").complete
