"""Models side by side against the same models alone."""

import json
import logging
import signal
from dataclasses import replace

import pytest
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from analysis.stationarity.regime import Regime
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.recorder import Schedule, SnapshotRecorder
from mlflow_thermo.store import StoreError, read_weights
from projects.fixed_lr import batched, members, memory
from projects.fixed_lr.config import resolve
from projects.fixed_lr.engine import choose_engine, deal
from projects.fixed_lr.loop import Diverged, Observer, run_loop
from projects.fixed_lr.memory import models_that_fit
from projects.fixed_lr.recording import recording_bytes
from projects.fixed_lr.stack import ModelStack
from projects.fixed_lr.training_setup import TrainingSetup, prepare, uniform_baseline

CPU = torch.device("cpu")
LRS = (1e-3, 5e-3, 1e-2)


class Rows(Observer):
    """Keeps what a training yields."""

    def __init__(self, weights):
        self._weights = weights
        self.weights, self.losses, self.rows = [], [], []

    def step(self, losses):
        self.weights.append(self._weights.clone())
        self.losses.append(losses.clone())

    def log(self, rows, step):
        self.rows.append([rows[position] for position in sorted(rows)])


def config(**options):
    given = {
        "preset": "digits-up",
        "lr": 0.01,
        "steps": 100,
        "log_points": 2,
        "noise_batches": 4,
        "seed": 3,
        "width": 1,
        **options,
    }
    return resolve(given)


@pytest.mark.parametrize(
    "options",
    [
        {"width": 2},
        {"protocol": "fixed_lr", "weight_decay": 0.1, "sampling": "epochs"},
        {"protocol": "fixed_elr", "weight_decay": 0.1, "model": "mlp", "width": 8},
        {"loss": "mse", "model": "resnet18"},
        pytest.param({"dataset": "random", "label_noise": 0.0, "batch_size": 32, "steps": 30}, marks=pytest.mark.slow),
    ],
    ids=["sphere", "fixed_lr", "mlp", "resnet18", "convolutions"],
)
def test_the_same_trajectory_as_a_run_that_is_trained_alone(options):
    """In float64, where a difference is a difference of the method.

    In float32 too, but there, and in float64 at lr = 0.05, rounding errors grow to the size of the weights within 100
    steps, batched or not: a unit of the network that is switched on or off for one sample is enough.
    """
    stack = ModelStack(wide(prepare(config(**options), CPU)), len(LRS))
    together = Rows(stack.weights)
    lrs = torch.tensor(LRS, dtype=torch.float64).unsqueeze(1)
    run_loop(stack, lrs, together)
    for i, lr in enumerate(LRS):
        one = wide(prepare(config(**options, lr=lr), CPU))
        alone = Rows(one.weights)
        run_loop(one, lr, alone)
        assert not torch.equal(alone.weights[-1], alone.weights[0])
        for a, b in zip(alone.weights, together.weights, strict=True):
            torch.testing.assert_close(b[i], a, rtol=0, atol=1e-9)
        torch.testing.assert_close(torch.stack(together.losses)[:, i], torch.stack(alone.losses), rtol=1e-7, atol=1e-9)
        for a, b in zip(alone.rows, together.rows, strict=True):
            assert b[i] == pytest.approx(a[0], rel=1e-6, abs=1e-8)


def test_the_same_trajectory_in_float32_where_it_is_stable():
    stack = ModelStack(prepare(config(width=2), CPU), 2)
    together = Rows(stack.weights)
    run_loop(stack, torch.tensor([[1e-3], [1e-2]]), together)
    for i, lr in enumerate((1e-3, 1e-2)):
        one = prepare(config(width=2, lr=lr), CPU)
        alone = Rows(one.weights)
        run_loop(one, lr, alone)
        for a, b in zip(alone.weights[:51], together.weights, strict=False):
            torch.testing.assert_close(b[i], a, rtol=1e-4, atol=1e-5)


def wide(setup):
    """The same setup in float64."""
    data = setup.data
    data = replace(data, x_train=data.x_train.double(), x_test=data.x_test.double())
    return TrainingSetup(setup.config, data, setup.model.double())


def test_uniform_baseline_is_the_one_of_a_run_that_is_trained_alone():
    one = prepare(config(), CPU)
    alone = uniform_baseline(one, one.noise_generator)
    for n in (1, 5, 32, 40):
        stack = ModelStack(prepare(config(), CPU), n)
        before = stack.weights.clone()
        assert uniform_baseline(stack, stack.noise_generator) == pytest.approx(alone, rel=1e-4)
        assert torch.equal(stack.weights, before)
        assert stack.noise_generator.get_state().equal(one.noise_generator.get_state())


def test_a_recorder_sees_its_row(tmp_path):
    stack = ModelStack(prepare(config(), CPU), 3)
    recorder = SnapshotRecorder(stack.named_views(1), series=[Schedule("every", (1, 2))], directory=tmp_path, lr=0.1)
    alone = SnapshotRecorder(stack.model, series=[Schedule("every", (1,))], directory=tmp_path / "alone", lr=0.1)
    with recorder:
        for k in (1, 2):
            stack.weights.copy_(torch.arange(3.0).unsqueeze(1).expand(3, stack.d) + 10 * k)
            recorder.step(torch.tensor(1.0))
    assert recorder.index("every").layout == alone.index("every").layout
    weights = read_weights(tmp_path / "every")
    assert (weights == [[11.0], [21.0]]).all()
    alone.close()


class TestCompiling:
    def stack(self, **options):
        return ModelStack(prepare(config(model="mlp", width=4, batch_size=16, **options), CPU), 2)

    def test_short_trainings_are_not_worth_it(self):
        assert self.stack().compile_if_worth_it("auto") is False

    def test_no_compiler_no_compiling(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("CXX", raising=False)
        assert self.stack(steps=10**9).compile_if_worth_it("auto") is False

    def test_never(self):
        assert self.stack(steps=10**9).compile_if_worth_it("never") is False

    @pytest.mark.slow
    def test_compiled_and_eager_gradients_agree(self):
        stack = self.stack(steps=10**9)
        trial = stack._trial(1)
        eager, metrics = stack.weighted_gradient(*trial)
        if not stack.compile_if_worth_it("auto"):
            pytest.skip("no compiler here")
        compiled, again = stack.weighted_gradient(*trial)
        torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(again, metrics)

    @pytest.mark.slow
    def test_models_may_leave_a_compiled_program_of_chains(self):
        """Compiled before the chains part, by the program of one model."""
        stack = ModelStack(prepare(config(model="mlp", width=4, batch_size=16, steps=10**9, chains=3), CPU), 3)
        if not stack.compile_if_worth_it("auto", 10**9):
            pytest.skip("no compiler here")
        assert stack.in_turns
        assert stack.can_shrink
        one_batch = stack._trial(1)
        whole = stack.weighted_gradient(*one_batch)[0]
        assert whole.shape == (3, stack.d)
        stack.branch()
        stack.weights += 0.1 * torch.randn(stack.weights.shape, generator=torch.Generator().manual_seed(0))
        x, y, weight = stack._trial(3)
        y = (y + torch.arange(3).unsqueeze(1)) % 10
        eager = ModelStack(prepare(stack.config, CPU), 3)
        eager.branch()
        eager.weights.copy_(stack.weights)
        for rows in ([0, 1, 2], [0, 2], [1]):
            stack.keep(rows)
            eager.keep(rows)
            found, expected = (one.weighted_gradient(x, y, weight) for one in (stack, eager))
            assert found[0].shape == (len(rows), 3, stack.d)
            for ours, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        ("text", "shown"), [("cc1plus: out of memory", "cc1plus: out of memory"), ("", "RuntimeError")]
    )
    def test_a_broken_compiler_does_not_cost_the_training(self, monkeypatch, caplog, text, shown):
        def broken(*args, **kwargs):
            def call(*inputs):
                raise RuntimeError(text)

            return call

        monkeypatch.setattr(torch, "compile", broken)
        stack = self.stack()
        with caplog.at_level(logging.WARNING):
            assert stack.compile_if_worth_it("always") is False
        assert f"compiling failed, going on without: {shown}" in caplog.text
        assert torch.isfinite(stack.weighted_gradient(*stack._trial(1))[0]).all()


def test_stacks_are_sized_to_memory(monkeypatch):
    one = prepare(config(), CPU)
    monkeypatch.setattr(memory, "_free_bytes", lambda device: 10**12)
    assert models_that_fit(one, 13) == 13
    small = prepare(config(batch_size=16), CPU)
    for free in (10**8, 10**7):
        monkeypatch.setattr(memory, "_free_bytes", lambda device, free=free: free)
        assert models_that_fit(one, 10**6) < models_that_fit(small, 10**6)
        assert models_that_fit(one, 10**6) == pytest.approx(2 * models_that_fit(one, 10**6, shares=2), abs=2)
    monkeypatch.setattr(memory, "_free_bytes", lambda device: 1)
    assert models_that_fit(one, 13) == 1


def test_chains_that_do_not_fit_are_refused_with_the_number_that_does(monkeypatch):
    one = prepare(config(chains=64, steps=1000), CPU)
    monkeypatch.setattr(memory, "_free_bytes", lambda device: 10**12)
    alone = models_that_fit(prepare(config(steps=1000), CPU), 10**9)
    assert models_that_fit(one, 10**9) == pytest.approx(alone / 64, rel=0.01)
    monkeypatch.setattr(memory, "_free_bytes", lambda device: 10**12 // alone * 10)
    with pytest.raises(ThermoError, match=r"chains=64 of one model do not fit into memory: take at most (9|10)$"):
        models_that_fit(one, 3)


def test_stacks_leave_room_for_their_recordings(monkeypatch):
    one = prepare(config(steps=20_000, storage="full"), CPU)
    recording = recording_bytes(one.config, one.weights)
    # Two blocks of a quarter of a thousand snapshots each, for two of three series.
    assert recording > 2 * 2 * 250 * one.d * 4
    free = 100 * recording
    monkeypatch.setattr(memory, "_free_bytes", lambda device: free)
    assert models_that_fit(one, 1000, recording=recording) < 50 < models_that_fit(one, 1000)


class TestMember:
    """One learning rate of a stack against a server that answers or does not."""

    class Run:
        def __init__(self, store, close=None):
            self.run_id = store.create_run(store.get_experiment_by_name("study").experiment_id).info.run_id
            self.tagged, self._close = [], close

        lacks = False

        def finish(self):
            return Regime("stationary", 1.0)

        def tag_diverged(self):
            self.tagged.append("diverged")

        def close(self):
            if self._close is not None:
                raise self._close

    def member(self, store, **options):
        run = self.Run(store, **options)
        member = members.StackMember(config(), run.run_id)
        member.run = run
        return member, run

    def events(self, capsys):
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    def test_a_server_that_does_not_take_the_end(self, store, capsys, monkeypatch):
        def gone(*_):
            raise MlflowException("no route to host")

        member, _ = self.member(store)
        monkeypatch.setattr(MlflowClient, "set_terminated", gone)
        member.finish()
        assert (member.open, member.ok) == (False, False)
        event = self.events(capsys)[0]
        assert (event["event"], event["ok"]) == ("ended", False)
        assert event["message"] == "MlflowException: no route to host"

    def test_a_diverged_one_that_cannot_be_closed(self, store, capsys):
        member, run = self.member(store, close=StoreError("the disk is full"))
        member.fail(Diverged("lr=1 diverged"))
        assert run.tagged == ["diverged"]
        event = self.events(capsys)[0]
        assert (event["regime"], event["message"]) == ("diverged", "lr=1 diverged; the disk is full")
        assert store.get_run(run.run_id).info.status == "FAILED"

    def test_an_error_without_words(self, store, capsys):
        member, _ = self.member(store, close=ConnectionError())
        member.abandon("KILLED", "asked to stop")
        assert self.events(capsys)[0]["message"] == "asked to stop; ConnectionError: ConnectionError"


def test_turns_count_as_one_training(store, monkeypatch, capsys):
    """Two stacks one after the other are two halves of what there is to do."""
    from click.testing import CliRunner

    monkeypatch.setattr(batched, "models_that_fit", lambda *_: 1)
    monkeypatch.setattr(members, "PROGRESS_EVERY", -1.0)
    before = signal.getsignal(signal.SIGTERM)
    try:
        quick = ["--steps=401", "--log_points=2", "--noise_batches=2", "--width=1", "--compile=never"]
        result = CliRunner().invoke(batched.main, ["--lrs=0.001,0.01", "--experiment=study", *quick])
    finally:
        signal.signal(signal.SIGTERM, before)
        torch.set_num_threads(1)
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    progress = [event["fraction"] for event in events if event["event"] == "progress"]
    assert progress == pytest.approx([step / 802 for step in (0, 200, 400, 401, 601, 801)])
    assert [event["ok"] for event in events if event["event"] == "ended"] == [True, True]


@pytest.mark.parametrize(("n", "seeds", "jobs"), [(13, [0], 2), (13, [0, 1, 2], 2), (2, [0], 8), (5, [0, 1], 2)])
def test_every_run_is_dealt_once_and_evenly(n, seeds, jobs):
    lrs = [float(i) for i in range(n)]
    stacks = deal(lrs, seeds, jobs)
    assert sorted((lr, seed) for part, seed in stacks for lr in part) == sorted(
        (lr, seed) for lr in lrs for seed in seeds
    )
    sizes = [len(part) for part, _ in stacks]
    assert max(sizes) - min(sizes) <= 1
    assert len(stacks) % jobs == 0 or len(stacks) == n


def test_auto_takes_the_engine_that_fits():
    assert choose_engine("auto", config(width=2), 13, 2) == "batched"
    # One run for each core: nothing is left to stack.
    assert choose_engine("auto", config(width=2), 2, 2) == "process"
    large = config(dataset="random", label_noise=0.0, width=8)
    assert choose_engine("auto", large, 13, 2) == "process"
    assert choose_engine("batched", large, 13, 2) == "batched"


def test_a_stack_that_cannot_shrink_still_checks_those_that_go_on():
    """The models that have ended keep their rows, and their losses, which nobody looks at."""

    class Member:
        def __init__(self, is_open):
            self.config, self.run, self.open, self.failed = config(), None, is_open, None

        def fail(self, error):
            self.open, self.failed = False, error

    class Watch:
        def check(self):
            pass

    all_members = [Member(True), Member(False), Member(True)]
    stack = ModelStack(prepare(config(), CPU), 3)
    observer = members.StackObserver(stack, all_members, Watch(), 0, 1)
    observer.check(torch.tensor([1.0, float("nan"), float("inf")]), 200)
    assert [member.open for member in all_members] == [True, False, False]
    assert isinstance(all_members[2].failed, Diverged)
    assert all_members[1].failed is None
