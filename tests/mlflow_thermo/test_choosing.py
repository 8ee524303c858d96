"""What a recorder takes as parameters: each weight once, under a name, with values that can be read."""

import copy
import re

import numpy as np
import pytest
import torch
from torch import nn

from mlflow_thermo import Schedule, SnapshotRecorder, ThermoError
from mlflow_thermo.choosing import selected
from mlflow_thermo.packing import Packer
from mlflow_thermo.store import read_index, read_weights

EVERY = (Schedule("spaced", tuple(range(1, 5))),)


def model():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    return nn.ModuleDict({"body": body, "head": nn.Linear(4, 2)})


def tied():
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    net[1].weight = net[0].weight
    return net


def layout(parameters, select=None):
    return [place.name for place in Packer(parameters, select).layout]


def parameter(*shape, **options):
    return nn.Parameter(torch.zeros(*shape, **options))


W = parameter(6)


class TestForms:
    @pytest.mark.parametrize(
        "form",
        [
            lambda net: net,
            lambda net: net.named_parameters(),
            lambda net: list(net.named_parameters()),
            lambda net: dict(net.named_parameters()),
            lambda net: dict(net.named_parameters()).items(),
            lambda net: [list(pair) for pair in net.named_parameters()],
            lambda net: net.state_dict(keep_vars=True),
            lambda net: [net],
            lambda net: [dict(net.named_parameters())],
        ],
    )
    def test_all_of_them_record_the_same(self, tmp_path, form):
        net = model()
        with SnapshotRecorder(form(net), series=EVERY, directory=tmp_path) as recorder:
            for _ in range(4):
                recorder.step(0.5)
        index = read_index(tmp_path / "spaced")
        assert [place.name for place in index.layout] == [name for name, _ in net.named_parameters()]
        expected = torch.cat([p.detach().reshape(-1) for p in net.parameters()]).numpy()
        np.testing.assert_array_equal(read_weights(tmp_path / "spaced")[-1], expected)

    @pytest.mark.parametrize(
        ("form", "said"),
        [
            (model().parameters(), "model.named_parameters"),
            (list(model().parameters()), "model.named_parameters"),
            (W, "a tensor without a name"),
            (iter([W]), "a tensor without a name"),
            ([[W, W]], "a tensor without a name"),
            (torch.optim.SGD([W], lr=0.1), "not torch.optim.sgd.SGD"),
            (torch.optim.SGD([W], lr=0.1).param_groups, "'params' is list, no tensor"),
            (None, "not NoneType"),
            ("model", "not str"),
            (3, "not int"),
            ([], "none requires a gradient"),
            ({}, "none requires a gradient"),
            (model().state_dict(), "keep_vars=True"),
            ([("w", None)], "'w' is NoneType, no tensor: leave it out"),
            ([("w", W), ("v", np.zeros(3))], "'v' is numpy.ndarray, no tensor"),
            ([("w", W), (1, W)], "must be a string, got 1"),
            ([("w", W), ("w", parameter(2))], "two tensors have the name 'w'"),
        ],
    )
    def test_anything_else_is_one_line(self, tmp_path, form, said):
        with pytest.raises(ThermoError, match=re.escape(said)):
            SnapshotRecorder(form, 10, directory=tmp_path)
        assert not list(tmp_path.iterdir())

    def test_what_a_state_dict_keeps_besides_tensors_is_left_out(self):
        assert layout({"w": W, "_extra_state": {"scale": 1}}) == ["w"]


class TestOnce:
    @pytest.mark.parametrize(
        "form",
        [
            tied(),
            tied().named_parameters(remove_duplicate=False),
            tied().state_dict(keep_vars=True).items(),
            tied().state_dict(keep_vars=True),
        ],
    )
    def test_tied_weights_count_once(self, form):
        packer = Packer(form)
        assert (packer.d, [place.name for place in packer.layout]) == (16, ["0.weight"])

    @pytest.mark.parametrize("other", [W, W.view(6), nn.Parameter(W.data), W.data.requires_grad_(True)])
    def test_the_same_memory_counts_once(self, other):
        assert layout([("w", W), ("alias", other)]) == ["w"]

    def test_a_module_that_holds_one_tensor_as_two_parameters(self, tmp_path):
        net = tied()
        net[1].weight = nn.Parameter(net[0].weight.data)
        with SnapshotRecorder(net, series=EVERY, directory=tmp_path) as recorder:
            for _ in range(4):
                recorder.step(0.5)
        assert read_index(tmp_path / "spaced").d == 16

    @pytest.mark.parametrize(
        "other", [nn.Parameter(W.data[2:]), nn.Parameter(W.data.view(2, 3)), nn.Parameter(W.data[::2])]
    )
    def test_parts_of_another_one_are_refused(self, other):
        with pytest.raises(ThermoError, match=r"'(w|part)' and '(w|part)' share weights"):
            Packer([("w", W), ("part", other)])

    def test_columns_of_one_matrix_have_nothing_in_common(self):
        matrix = torch.arange(6.0).view(3, 2)
        columns = [(f"c{k}", nn.Parameter(matrix[:, k])) for k in range(2)]
        row = torch.empty(6)
        Packer(columns).pack_into(row)
        assert row.tolist() == [0, 2, 4, 1, 3, 5]

    def test_tying_while_recording(self, tmp_path):
        net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
        with SnapshotRecorder(net, series=EVERY, directory=tmp_path) as recorder:
            recorder.step(0.5)
            net[1].weight = nn.Parameter(net[0].weight.data)
            with pytest.raises(ThermoError, match="'0.weight' and '1.weight' share weights"):
                recorder.step(0.5)
        assert not read_index(tmp_path / "spaced").complete

    @pytest.mark.parametrize("copied", [lambda net: net, copy.copy])
    def test_chains_have_weights_of_their_own(self, tmp_path, copied):
        net = model()
        with pytest.raises(ThermoError, match=r"chains 0 and 1 share 'body.0.weight'.*copy\.deepcopy"):
            SnapshotRecorder([net, copied(net)], 10, directory=tmp_path)


class TestSelect:
    NAMES = ("body.0.weight", "body.0.bias", "body.1.weight", "body.10.weight", "head.weight", "head.bias")

    @pytest.mark.parametrize(
        ("select", "chosen"),
        [
            (None, NAMES),
            ("head.*", NAMES[4:]),
            ("head", NAMES[4:]),
            ("body.1", NAMES[2:3]),
            ("*.bias", (NAMES[1], NAMES[5])),
            (["head.bias", "body.0"], (*NAMES[:2], NAMES[5])),
            (re.compile(r"\.1"), NAMES[2:4]),
            ([re.compile("^head"), "body.10"], NAMES[3:]),
            (1, NAMES[4:]),
            (2, NAMES[3:]),
            (4, NAMES),
        ],
    )
    def test_by_name_and_by_number(self, select, chosen):
        assert selected(self.NAMES, select) == list(chosen)

    @pytest.mark.parametrize(
        ("select", "said"),
        [
            ("tail.*", r"'tail\.\*' matches no trained parameter: there are body\.0\.weight"),
            (["head", "tail"], "'tail' matches no"),
            (re.compile("^weight"), "'.weight' matches no"),
            ([], "nothing matches"),
            (0, "has 4 layers"),
            (5, "has 4 layers"),
            (True, "has 4 layers"),
            (0.5, "not 0.5"),
            ([3], "not 3"),
        ],
    )
    def test_what_selects_nothing(self, select, said):
        with pytest.raises(ThermoError, match=said):
            selected(self.NAMES, select)

    def test_a_recorder_keeps_the_selected_ones(self, tmp_path):
        net = model()
        with SnapshotRecorder(net, series=EVERY, directory=tmp_path, select="head") as recorder:
            for step in range(4):
                with torch.no_grad():
                    net["body"][0].weight += 1
                    net["head"].weight.fill_(step)
                recorder.step(0.5)
            # Not recorded, and so not asked about.
            net["body"][0].weight.requires_grad_(False)
        index = read_index(tmp_path / "spaced")
        assert ([place.name for place in index.layout], index.complete) == (["head.weight", "head.bias"], True)
        assert read_weights(tmp_path / "spaced")[:, 0].tolist() == [0, 1, 2, 3]

    def test_a_parametrized_layer_is_one(self):
        net = nn.Sequential(nn.Linear(2, 2), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
        assert {name.split(".")[0] for name in layout(net, 1)} == {"1"}
        assert len(layout(net, 1)) == 3

    def test_a_selected_layer_that_is_added_is_refused(self, tmp_path):
        net = model()
        with SnapshotRecorder(net, series=EVERY, directory=tmp_path, select="head*") as recorder:
            recorder.step(0.5)
            net["other"] = nn.Linear(2, 2)
            recorder.step(0.5)
            net["head2"] = nn.Linear(2, 2)
            with pytest.raises(ThermoError, match="'head2.weight' is trained now and was not"):
                recorder.step(0.5)


class TestReadable:
    @pytest.mark.parametrize(
        ("tensor", "said"),
        [
            (nn.LazyLinear(3).weight, "has no shape yet: run the model once"),
            (parameter(3, device="meta"), "is on the meta device"),
            (torch.eye(3).to_sparse().requires_grad_(True), "is sparse_coo"),
            (parameter(0), "has no weights here"),
            (torch.zeros(1).expand(4).requires_grad_(True), "shows one number at several places"),
            (W * 2, "is computed from other tensors"),
            (torch.nested.nested_tensor([W, W], layout=torch.jagged, requires_grad=True), "NestedTensor, no plain"),
            (parameter(2, dtype=torch.complex128), "is torch.complex128: only real"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, tmp_path, tensor, said):
        with pytest.raises(ThermoError, match=f"parameter 'v' .*{said}"):
            SnapshotRecorder([("w", W), ("v", tensor)], 10, directory=tmp_path)
        assert not list(tmp_path.iterdir())

    def test_a_fake_tensor(self):
        from torch._subclasses.fake_tensor import FakeTensorMode

        with FakeTensorMode():
            fake = nn.Linear(2, 2)
        with pytest.raises(ThermoError, match="parameter 'weight'"):
            Packer(fake)

    @pytest.mark.parametrize("form", ["float8_e4m3fn", "float8_e5m2"])
    def test_float8_is_kept_exactly(self, form):
        values = torch.tensor([0.5, -1.75, 2.0, 0.0]).to(getattr(torch, form))
        packer = Packer([("w", nn.Parameter(values)), ("v", nn.Parameter(values.clone()))])
        row = torch.empty(8, dtype=packer.dtype)
        packer.pack_into(row)
        assert packer.dtype == torch.float32
        assert row.tolist() == 2 * values.float().tolist()

    def test_a_lazy_layer_that_has_run(self, tmp_path):
        net = nn.LazyLinear(3)
        net(torch.zeros(1, 2))
        assert layout(net) == ["weight", "bias"]
