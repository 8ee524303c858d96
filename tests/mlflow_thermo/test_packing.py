"""Parameters as one vector and back."""

import pytest
import torch
from torch import nn

from mlflow_thermo.errors import ThermoError
from mlflow_thermo.packing import ChainsPacker, Packer, flatten_parameters, trainable


def model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))
    net[0].bias.requires_grad_(False)
    return net


def test_packs_the_trainable_parameters_in_layout_order():
    net = model()
    packer = Packer(net)
    row = torch.empty(packer.d)
    packer.pack_into(row)
    assert packer.d == 12 + 8
    assert [(p.name, p.shape, p.offset) for p in packer.layout] == [("0.weight", (4, 3), 0), ("1.weight", (2, 4), 12)]
    torch.testing.assert_close(row, torch.cat([net[0].weight.flatten(), net[1].weight.flatten()]).detach())


def test_unpack_is_the_inverse():
    net = model()
    packer = Packer(net)
    packer.unpack(torch.arange(20.0))
    torch.testing.assert_close(net[1].weight.detach(), torch.arange(12.0, 20.0).view(2, 4))
    with pytest.raises(ThermoError, match=r"shape \(20,\)"):
        packer.unpack(torch.zeros(19))


def test_flattened_parameters_share_one_storage_and_train():
    net = model()
    x = torch.ones(2, 3)
    expected = net(x).detach()
    weights, gradient = flatten_parameters(net)
    torch.testing.assert_close(net(x).detach(), expected)
    torch.autograd.backward(net(x).square().sum())
    assert gradient.abs().sum() > 0
    assert net[1].weight.grad.data_ptr() == gradient[12:].data_ptr()
    weights.zero_()
    assert net[1].weight.abs().sum() == 0
    row = torch.empty(20)
    weights.copy_(torch.arange(20.0))
    Packer(net).pack_into(row)
    torch.testing.assert_close(row, torch.arange(20.0))


def test_a_replaced_parameter_is_still_found():
    net = model()
    flatten_parameters(net)
    packer = Packer(net)
    net[1].weight.data = torch.full((2, 4), 7.0)
    row = torch.empty(20)
    packer.pack_into(row)
    assert (row[12:] == 7).all()


def test_tied_parameters_are_refused():
    a, b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    pairs = nn.Sequential(a, b)
    b.weight = a.weight
    # named_parameters() lists a tied parameter once; a list of pairs may hold it twice.
    assert len(trainable(pairs)) == 1

    class Twice(nn.Module):
        def named_parameters(self, *args, **kwargs):
            return iter([("a", a.weight), ("b", b.weight)])

    with pytest.raises(ThermoError, match="tied"):
        flatten_parameters(Twice())


def test_nothing_to_record():
    with pytest.raises(ThermoError, match="none requires a gradient"):
        Packer([("w", torch.zeros(3))])


def test_mixed_types_are_refused_by_name():
    pairs = [("w", nn.Parameter(torch.zeros(3))), ("v", nn.Parameter(torch.zeros(3, dtype=torch.float64)))]
    with pytest.raises(ThermoError, match="'v' is torch.float64"):
        Packer(pairs)


def test_complex_weights_are_refused():
    with pytest.raises(ThermoError, match=r"'c' is torch\.complex64: only real weights"):
        Packer([("c", nn.Parameter(torch.zeros(2, dtype=torch.complex64)))])


class TestChains:
    def views(self, weights):
        """Two parameters of each chain, as views of its row."""
        return [
            [("a", row[:2].view(2).requires_grad_(True)), ("b", row[2:6].view(2, 2).requires_grad_(True))]
            for row in weights.detach()
        ]

    @pytest.mark.parametrize("width", [6, 9])
    def test_rows_of_one_tensor_are_copied_at_once(self, width):
        weights = torch.arange(4.0 * width).view(4, width)
        packer = ChainsPacker([Packer(view) for view in self.views(weights)])
        rows = torch.empty(4, 6)
        for _ in range(2):
            packer.pack_into(rows)
            torch.testing.assert_close(rows, weights[:, :6])
            assert packer._joint is not None
            weights.mul_(-2)

    def test_models_of_their_own_and_one_that_moves(self):
        models = [model() for _ in range(3)]
        packer = ChainsPacker([Packer(one) for one in models])
        rows = torch.empty(3, 20)
        packer.pack_into(rows)
        assert packer._joint is None
        torch.testing.assert_close(rows[2, 12:], models[2][1].weight.detach().reshape(-1))
        models[1][1].weight.data = torch.full((2, 4), 7.0)
        packer.pack_into(rows)
        assert (rows[1, 12:] == 7).all()

    def test_a_chain_that_leaves_the_common_tensor_is_still_found(self):
        weights = torch.zeros(3, 6)
        views = self.views(weights)
        packer = ChainsPacker([Packer(view) for view in views])
        rows = torch.empty(3, 6)
        packer.pack_into(rows)
        views[1][1][1].data = torch.full((2, 2), 5.0)
        packer.pack_into(rows)
        assert (rows[1, 2:] == 5).all()
        assert (rows[[0, 2]] == 0).all()

    def test_rows_in_another_order_are_not_taken_for_even_ones(self):
        weights = torch.arange(18.0).view(3, 6)
        views = self.views(weights)
        packer = ChainsPacker([Packer(views[k]) for k in (2, 0, 1)])
        rows = torch.empty(3, 6)
        packer.pack_into(rows)
        torch.testing.assert_close(rows, weights[[2, 0, 1]])
