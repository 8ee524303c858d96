"""Which learning rate a trainer has, and whether its scheduler leaves it there. No trainer is needed for that."""

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

from mlflow_thermo import ThermoError
from mlflow_thermo.integrations.adapter import Adapter
from mlflow_thermo.integrations.rates import learning_rate, plain_optimizer, warmup_of
from mlflow_thermo.store import read_index


def optimizer(**options):
    return torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=0.1, **options)


@pytest.mark.parametrize(
    ("rule", "updates"),
    [
        (lambda step: 1.0, 0),
        (lambda step: min(1.0, step / 7), 7),
        (lambda step: 0.1 if step < 1234 else 1.0, 1234),
        (lambda step: min(1.0, (step + 1) / 4999), 4998),
    ],
)
def test_a_warmup(rule, updates):
    schedule = schedulers.LambdaLR(optimizer(), rule)
    assert warmup_of(schedule, 10_000) == updates
    before = [group["lr"] for group in schedule.optimizer.param_groups]
    # A look does not move it.
    assert before == [0.1 * rule(0)]


@pytest.mark.parametrize("rule", [lambda step: 1 - step / 10_001, lambda step: 0.5 ** (step // 3000)])
def test_a_schedule_of_the_whole_training(rule):
    with pytest.raises(ThermoError, match="a scheduler changes the learning rate"):
        warmup_of(schedulers.LambdaLR(optimizer(), rule), 10_000)


@pytest.mark.parametrize(
    "make",
    [
        lambda one: schedulers.CosineAnnealingLR(one, 10),
        lambda one: schedulers.ExponentialLR(one, 0.9),
        lambda one: schedulers.PolynomialLR(one),
        lambda one: schedulers.OneCycleLR(one, 1.0, 10),
    ],
)
def test_schedules_that_always_move(make):
    with pytest.raises(ThermoError, match="LR changes the learning rate"):
        warmup_of(make(optimizer(momentum=0.9)), 10)


def test_what_only_time_can_tell():
    assert warmup_of(schedulers.StepLR(optimizer(), 10), 100) is None
    assert warmup_of(None, 100) == 0


def test_the_rate_of_what_is_recorded():
    first, second = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))
    two = torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 0.5}], lr=0.1)
    assert (learning_rate(two, [first]), learning_rate(two, [second])) == (0.1, 0.5)
    with pytest.raises(ThermoError, match="the learning rates 0.1, 0.5"):
        learning_rate(two, [first, second])
    assert learning_rate(torch.optim.SGD([first], lr=torch.tensor(0.25)), [second]) == 0.25


def test_no_optimizer_of_pytorch():
    with pytest.raises(ThermoError, match="the optimizer is object"):
        plain_optimizer(object())


class TestAdapter:
    """What no trainer has to be there for."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((0, None, None, {}), "total_steps must be at least 1"),
            ((None, -1, None, {}), "warmup must be at least 0"),
            ((None, None, None, {"lr": 0.1}), "'lr' is no argument"),
            ((None, None, None, {"resume": True}), "'resume' is no argument"),
        ],
    )
    def test_arguments(self, arguments, said):
        with pytest.raises(ThermoError, match=said):
            Adapter(*arguments)

    def test_a_warmup_as_long_as_the_training(self, tmp_path):
        net = nn.Linear(1, 1)
        with pytest.raises(ThermoError, match="warmup=10 leaves nothing to record of 10 updates"):
            Adapter(None, 10, tmp_path, {}).begin(net, torch.optim.SGD(net.parameters(), lr=0.1), total=10)

    def test_a_training_that_is_resumed_where_it_had_ended(self, tmp_path, caplog):
        net = nn.Linear(1, 1)
        adapter = Adapter(None, None, tmp_path, {})
        adapter.begin(net, torch.optim.SGD(net.parameters(), lr=0.1), total=10, done=10)
        adapter.end()
        assert (adapter.recorder, adapter.error, caplog.messages) == (None, "", [])

    def test_a_fused_optimizer_looks_at_the_gradients_itself(self, tmp_path):
        net = nn.Linear(2, 1)
        fused = torch.optim.SGD(net.parameters(), lr=0.1, fused=True)
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        adapter = Adapter(None, None, tmp_path, {})
        adapter.begin(net, fused, total=10)
        adapter.watch(fused)
        for step in range(10):
            loss = net(torch.ones(4, 2)).square().mean() * (float("inf") if step == 3 else 1.0)
            adapter.add_loss(loss)
            scaler.scale(loss).backward()
            adapter.attempt()
            scaler.step(fused)
            scaler.update()
            fused.zero_grad()
        adapter.end()
        index = read_index(tmp_path / "consecutive")
        assert (adapter.error, index.n_snapshots, index.complete) == ("", 9, True)
        # It leaves no hook behind.
        assert not fused._optimizer_step_pre_hooks

    def test_a_server_that_is_away_when_the_training_begins(self, store, tmp_path, caplog):
        net = nn.Linear(1, 1)
        adapter = Adapter(None, None, tmp_path / "series", {})
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        adapter.begin(net, sgd, total=10, run_id="no-such-run")
        assert "the training goes on, its recording ends at update 0: " in caplog.text
        assert "no-such-run" in adapter.error
        adapter.update()
        adapter.end()
