"""Models inside of what makes them fast or spreads them: the same recording as of the model itself."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from mlflow_thermo import Schedule, SnapshotRecorder, ThermoError
from mlflow_thermo.packing import Packer
from mlflow_thermo.store import read_index, read_weights

EVERY = (Schedule("spaced", tuple(range(1, 7))),)


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


@pytest.fixture
def alone():
    """A process group of this process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def trained(folder, wrap, give=lambda net: net):
    net = wrap(model())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    torch.manual_seed(1)
    with SnapshotRecorder(give(net), series=EVERY, directory=folder) as recorder:
        for _ in range(6):
            loss = net(torch.randn(8, 3)).square().mean()
            loss.backward()
            recorder.step(loss)
            optimizer.step()
            optimizer.zero_grad()
    index = read_index(folder / "spaced")
    assert index.complete
    return index, read_weights(folder / "spaced")


def with_a_compiled_layer(net):
    net[0] = torch.compile(net[0], backend="eager")
    return net


def sharded(net):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (1,))
    for layer in (net[0], net[2], net):
        fully_shard(layer, mesh=mesh)
    return net


def plain_pairs(net):
    return [(name.removeprefix("module."), tensor) for name, tensor in net.named_parameters()]


def same(one, other):
    assert (one[0].layout, one[0].loss) == (other[0].layout, other[0].loss)
    assert (one[1] == other[1]).all()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: torch.compile(net, backend="eager"),
        with_a_compiled_layer,
        nn.DataParallel,
        lambda net: torch.compile(nn.DataParallel(net), backend="eager"),
    ],
)
def test_a_wrapped_model_is_recorded_as_the_model(tmp_path, wrap):
    same(trained(tmp_path / "wrapped", wrap), trained(tmp_path / "plain", lambda net: net))


@pytest.mark.parametrize("wrap", [nn.parallel.DistributedDataParallel, sharded])
@pytest.mark.parametrize(
    "give", [lambda net: net, lambda net: [(n.removeprefix("module."), p) for n, p in net.named_parameters()]]
)
def test_a_model_in_a_process_group(tmp_path, alone, wrap, give):
    same(trained(tmp_path / "wrapped", wrap, give), trained(tmp_path / "plain", lambda net: net))


def test_a_share_of_a_weight_is_refused(alone):
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor, Replicate, Shard

    dist.destroy_process_group()
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    mesh = DeviceMesh("cpu", [0, 1])
    for placement, said in ((Shard(0), "'w' is spread over 2 processes"), (Replicate(), None)):
        weight = nn.Parameter(DTensor.from_local(torch.ones(2, 3), mesh, [placement], run_check=False))
        if said is None:
            assert Packer([("w", weight)]).d == 6
        else:
            with pytest.raises(ThermoError, match=said):
                Packer([("w", weight)])


def test_a_model_that_is_compiled_while_it_is_recorded(tmp_path):
    net = model()
    with SnapshotRecorder(net, series=EVERY, directory=tmp_path) as recorder:
        for step in range(6):
            if step == 3:
                net.compile(backend="eager")
            net(torch.ones(1, 3)).sum().backward()
            recorder.step(0.5)
    assert read_index(tmp_path / "spaced").complete
