"""Runs of several chains: where they part, what each of them sees, and when a run has enough."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mlflow_thermo import SnapshotRecorder
from mlflow_thermo.store import read_index, read_weights
from projects.fixed_lr.config import resolve
from projects.fixed_lr.loop import Observer, run_loop
from projects.fixed_lr.need import Need
from projects.fixed_lr.phases import Phases, schedules
from projects.fixed_lr.stack import ModelStack
from projects.fixed_lr.training_setup import TrainingSetup, prepare

CPU = torch.device("cpu")
OPTIONS = {"steps": 60, "burn_in": 20, "forget": 10, "chains": 3, "log_points": 2, "noise_batches": 4, "seed": 3}


def setup(lr, **options):
    one = prepare(resolve({"lr": lr, "preset": "digits", **OPTIONS, **options}), CPU)
    data = replace(one.data, x_train=one.data.x_train.double(), x_test=one.data.x_test.double())
    return TrainingSetup(one.config, data, one.model.double())


class Rows(Observer):
    """Keeps the weights and losses of one model of a stack, by step, and ends it early if told to."""

    def __init__(self, stack, ends=()):
        self.stack, self.ends = stack, dict(ends)
        self.names = list(range(len(stack.rows)))
        self.weights = {name: [] for name in self.names}
        self.losses = {name: [] for name in self.names}
        self.last = {}

    def step(self, losses):
        for position, name in enumerate(self.names):
            self.weights[name].append(self.stack.weights[position].clone())
            self.losses[name].append(losses[position].clone())

    def log(self, rows, step):
        self.last |= {self.names[position]: row for position, row in rows.items()}

    def ending(self, step):
        return [position for position, name in enumerate(self.names) if self.ends.get(name) == step]

    def kept(self, positions):
        self.names = [self.names[position] for position in positions]


def trained(lrs, ends=(), **options):
    stack = ModelStack(setup(lrs[0], **options), len(lrs))
    rows = Rows(stack, ends)
    run_loop(stack, torch.tensor(lrs, dtype=torch.float64).unsqueeze(1), rows)
    return rows


def test_a_stack_trains_as_each_run_alone_whichever_leave_it():
    together = trained((0.02, 0.1, 0.2), ends={1: 40})
    assert [len(together.weights[i]) for i in range(3)] == [60, 40, 60]
    for i, lr in enumerate((0.02, 0.1, 0.2)):
        alone = trained((lr,), ends={0: 40} if i == 1 else {})
        for a, b in zip(alone.weights[0], together.weights[i], strict=True):
            torch.testing.assert_close(b, a, rtol=0, atol=1e-10)
        for a, b in zip(alone.losses[0], together.losses[i], strict=True):
            torch.testing.assert_close(b, a, rtol=0, atol=1e-8)
        sums = [name for name in alone.last[0] if name.startswith("sums/")]
        assert {name: together.last[i][name] for name in sums} == pytest.approx(
            {name: alone.last[0][name] for name in sums}, rel=1e-6, abs=1e-9
        )
        # Thirty steps of one chain before the window, and three chains in it.
        assert alone.last[0]["sums/window_steps"] == 3 * ((40 if i == 1 else 60) - 30)


def test_chains_part_after_the_burn_in_and_the_first_goes_on_as_one_would():
    rows = trained((0.1,))
    one = prepare(resolve({"lr": 0.1, **OPTIONS, "chains": 1, "forget": 0}), CPU)
    assert all(w.ndim == 1 for w in rows.weights[0][:20])
    assert all(w.shape == (3, 90) for w in rows.weights[0][20:])
    at_branch = rows.weights[0][20]
    assert torch.equal(at_branch[0], at_branch[1])
    later = rows.weights[0][30]
    distances = torch.cdist(later, later)[np.triu_indices(3, 1)]
    assert float(distances.min()) > 0.01
    # Each unit keeps its norm.
    units = later.reshape(3, 10, 9).norm(dim=-1)
    torch.testing.assert_close(units, torch.full_like(units, 10**-0.5))
    single = ModelStack(setup(0.1, chains=1, forget=0), 1)
    alone = Rows(single)
    run_loop(single, torch.tensor([[0.1]], dtype=torch.float64), alone)
    torch.testing.assert_close(alone.weights[0][59], rows.weights[0][59][0], rtol=0, atol=1e-10)
    assert one.config.burn_in == 20


def test_the_difficulty_of_a_batch_changes_no_expectation_and_takes_the_noise():
    one = setup(0.1, chains=1, forget=0)
    stack = ModelStack(one, 2)
    difficulty = stack.difficulty()
    assert difficulty.shape == (2, 1500)
    torch.testing.assert_close(difficulty[0], one.difficulty(), rtol=0, atol=1e-10)
    assert float(difficulty.mean(dim=-1).abs().max()) < 1e-12
    rows = trained((0.02,), steps=800, burn_in=400, forget=10)
    losses = torch.stack(rows.losses[0][420:])
    assert losses.shape == (380, 3)
    # Bare minibatch losses of 128 of these samples scatter by 0.06.
    assert float(losses.std()) < 0.03


def test_recorders_follow_models_that_stay_when_others_leave(tmp_path):
    stack = ModelStack(setup(0.1), 2)
    series = schedules(stack.config)
    recorder = SnapshotRecorder(stack.chains_of(1), series=series, directory=tmp_path, lr=0.2, protocol="spheres")

    class Recording(Rows):
        def step(self, losses):
            super().step(losses)
            stack.show()
            if 1 in self.names:
                loss = losses[self.names.index(1)]
                recorder.step(loss.expand(3) if loss.ndim == 0 else loss)

    rows = Recording(stack, ends={0: 35})
    run_loop(stack, torch.tensor([[0.1], [0.2]], dtype=torch.float64), rows)
    recorder.close()
    index, weights = read_index(tmp_path / "spaced"), read_weights(tmp_path / "spaced")
    assert index.complete
    for row, step in enumerate(index.steps[::3]):
        expected = rows.weights[1][step - 1].numpy()
        np.testing.assert_allclose(weights[3 * row : 3 * row + 3], expected)


class TestNeed:
    PHASES = Phases(branch=0, record=100, spacing=2, first=200, last=2000)

    def test_goes_on_until_there_is_enough(self):
        """Autoregressive chains of a known correlation time: it stops where n_eff is reached, and not far beyond."""
        rng = torch.Generator().manual_seed(0)
        need = Need(self.PHASES, 400.0)
        state = torch.randn(8, 5, generator=rng, dtype=torch.float64)
        step, looks = 0, []
        while not need.satisfied(step):
            if step == need.next_look:
                looks.append(step)
            step += 1
            state = 0.9 * state + (1 - 0.81) ** 0.5 * torch.randn(8, 5, generator=rng, dtype=torch.float64)
            need.step(step, state, torch.randn(8, generator=rng, dtype=torch.float64))
        # Correlation time (1 + φ)/(1 − φ) = 19 steps: 400 need 950 steps of 8 chains.
        assert 0.8 * 950 < step - 100 < 1.3 * 950
        assert need.n_eff >= 400
        assert need.missing(step) == 0

    def test_what_cannot_be_reached_ends_at_the_last_step_and_says_what_is_missing(self):
        need = Need(replace(self.PHASES, last=300), 1e6)
        rng = torch.Generator().manual_seed(0)
        step = 0
        while not need.satisfied(step):
            step += 1
            need.step(step, torch.randn(4, 3, generator=rng), torch.randn(4, generator=rng))
        assert step == 300
        assert need.n_eff == pytest.approx(400, rel=0.3)
        assert need.missing(step) == pytest.approx(200 * 1e6 / need.n_eff, rel=0.01)
        assert "1000000 were asked for: about" in need.words(step)
        assert "steps are missing, raise max_steps" in need.words(step)

    def test_a_fixed_length_keeps_nothing(self):
        need = Need(self.PHASES, None)
        need.step(150, torch.zeros(2, 2), torch.zeros(2))
        assert [need.satisfied(step) for step in (200, 1999, 2000)] == [False, False, True]
        assert np.isnan(need.n_eff)
