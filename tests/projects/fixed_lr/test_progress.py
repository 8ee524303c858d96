"""How long a training will still take, by a clock that the tests move."""

import json
import math
from dataclasses import replace

import pytest
import torch

from analysis.cli import Display
from projects.common import Outcome
from projects.fixed_lr import progress
from projects.fixed_lr.config import resolve
from projects.fixed_lr.need import Need
from projects.fixed_lr.phases import phases_of
from projects.fixed_lr.progress import Pace, RunProgress, StepShape
from projects.fixed_lr.sweep_progress import CLOSING, SweepProgress, work_of
from projects.fixed_lr.training_setup import prepare


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Machine:
    """A stack whose steps, log points and endings take known times, and which notes what its pace says before each."""

    FIXED, EACH, LOG, END = 0.002, 0.0003, 0.3, 0.8

    def __init__(self, configs, ends, shape, slower=1.0, end=END, beyond=0.0):
        self.clock, self.busy = Clock(), Clock()
        self.pace = Pace(configs, shape, clock=self.clock, busy=self.busy)
        self.said = []
        branch, chains = phases_of(configs[0]).branch, configs[0].chains
        points = set(self.pace._points)
        for done in range(max(ends) + 1):
            ending = ends.count(done)
            if done in points or ending:
                self.pass_time(self.LOG, slower)
                self.pace.logged()
            if ending:
                self.pass_time(ending * end, slower)
                self.pace.ended(ending)
            open_now = [end for end in ends if end > done]
            if not open_now:
                break
            vectors = len(open_now) * (chains if done >= branch else 1)
            self.pass_time(beyond + self.FIXED + self.EACH * vectors, slower)
            self.pace.step(len(open_now))
            if done % 50 == 0:
                self.said.append((self.clock.now, self.pace.left([e for e in ends if e > done + 1])))

    def pass_time(self, computed, slower):
        self.busy.now += computed
        self.clock.now += slower * computed

    def ratios(self):
        """Of the time that was told to the time that was left, but for the last second."""
        told = [(left, self.clock.now - when) for when, left in self.said if left is not None]
        return [left / really for left, really in told if really > 1.0]


def shape(fixed, each, chains=16):
    return StepShape((fixed, each), (fixed, each * chains))


TRUE = shape(Machine.FIXED, Machine.EACH)


def chained(lr):
    return resolve({"lr": lr})


class TestPace:
    @pytest.mark.parametrize("slower", [1.0, 30.0])
    def test_models_that_leave_a_stack_which_parts_into_chains(self, slower):
        """From the first word on, which comes before the chains part: their cost is known from the trial."""
        machine = Machine([chained(lr) for lr in (0.1, 0.05, 0.02)], [3300, 4500, 9000], TRUE, slower)
        ratios = machine.ratios()
        first = next(when for when, left in machine.said if left is not None)
        assert first - 100.0 < 0.2 * (machine.clock.now - 100.0)
        assert min(ratios) > 0.85
        assert max(ratios) < 1.15

    def test_what_steps_take_beyond_their_gradients(self):
        """Before the chains part it is most of a step, afterwards little."""
        machine = Machine([chained(lr) for lr in (0.1, 0.05, 0.02)], [3300, 4500, 9000], TRUE, 3.0, beyond=0.004)
        assert min(machine.ratios()) > 0.85
        assert max(machine.ratios()) < 1.15

    def test_a_trial_that_is_wrong_by_half_is_forgiven_within_a_factor_of_two(self):
        wrong = shape(Machine.FIXED, 1.5 * Machine.EACH)
        ratios = Machine([chained(lr) for lr in (0.1, 0.05, 0.02)], [3300, 4500, 9000], wrong).ratios()
        assert min(ratios) > 0.5
        assert max(ratios) < 2

    def test_a_fixed_length(self):
        config = resolve({"lr": 0.01, "preset": "digits-up", "steps": 3000, "full_gradients": 0})
        # All runs end at once: how long that takes is known of none before.
        ratios = Machine([config] * 4, [3000] * 4, shape(1.0, 0.25, 1), end=0.5).ratios()
        assert min(ratios) > 0.5
        assert max(ratios) < 1.3

    def test_what_comes_before_the_first_step_does_not_count(self):
        clock = Clock()
        pace = Pace([resolve({"lr": 0.01, "preset": "digits-up"})], shape(1.0, 1.0, 1), clock=clock, busy=clock)
        clock.now += 50
        pace.step(1)
        assert pace.left([100.0]) is None
        for _ in range(20):
            clock.now += 0.1
            pace.step(1)
        assert pace.left([121.0]) == pytest.approx(10.0, abs=0.3)

    def test_nobody_can_tell_where_the_end_of_one_model_is_unknown(self):
        machine = Machine([chained(0.1)], [3000], TRUE)
        assert machine.pace.left([math.nan, 5000.0]) is None

    def test_models_that_stay_in_a_compiled_program_cost_what_they_did(self):
        pace = Machine([chained(0.1)] * 2, [3000, 3000], TRUE).pace
        stays, leaves = pace.left([4000.0, 8000.0], shrinks=False), pace.left([4000.0, 8000.0])
        assert stays > leaves

    @pytest.mark.parametrize("in_turns", [False, True])
    def test_a_trial_finds_what_a_step_costs(self, monkeypatch, in_turns):
        seconds = {False: 0.002 + 3 * 0.0003, True: 0.003 if in_turns else 0.002 + 3 * 16 * 0.0003}
        monkeypatch.setattr(progress, "_trial", lambda setup, parted: seconds[parted])

        class Setup:
            config = chained(0.1)

            @staticmethod
            def try_step(parted):
                pass

        Setup.in_turns = in_turns
        found = StepShape.timed(Setup, 3)
        for parted in (False, True):
            assert found(3, parted) == pytest.approx(seconds[parted])
        # A program for one model costs each of them the same; together they share what a step costs anyway.
        assert found(1, True) == pytest.approx(0.001 if in_turns else 0.002 + 16 * 0.0003)


class TestExpectedEnd:
    """Of a run that goes on until it has enough independent snapshots."""

    def walk(self, correlation, config):
        """Autoregressive chains: what was expected at every 50th step, and the step at which the run ended."""
        phases = phases_of(config)
        need = Need(phases, config.needed(1))
        rng = torch.Generator().manual_seed(0)
        state = torch.randn(config.chains, 5, generator=rng, dtype=torch.float64)
        step, said = 0, []
        while not need.satisfied(step):
            if step % 50 == 0:
                said.append((step, need.expected_end(step, config)))
            step += 1
            state = correlation * state + (1 - correlation**2) ** 0.5 * torch.randn(state.shape, generator=rng).double()
            need.step(step, state, torch.randn(config.chains, generator=rng, dtype=torch.float64))
        return phases, said, step

    def test_it_is_the_end_from_the_first_step_on(self):
        # Correlation time (1 + φ)/(1 − φ) = 3/lr, as in the middle of what the preset knows.
        config = replace(chained(0.1), until="800")
        phases, said, end = self.walk(29 / 31, config)
        assert len(said) > 20
        for step, expected in said:
            assert expected > step
            assert 0.6 < (expected - phases.record) / (end - phases.record) < 1.6
            assert expected <= phases.last

    def test_correlations_that_the_preset_does_not_know(self):
        """Four times as fast: what is left is right within a factor of two in the second half."""
        config = replace(chained(0.05), until="1600", steps=2000 + 300 + 400)
        phases, said, end = self.walk(14 / 16, config)
        late = [(step, expected) for step, expected in said if step > (phases.record + end) / 2]
        assert late
        for step, expected in late:
            assert 0.5 < (expected - step) / (end - step) < 2

    def test_looking_ahead_changes_no_plan(self):
        config = replace(chained(0.1), until="800")
        phases = phases_of(config)
        seen, blind = Need(phases, 800.0), Need(phases, 800.0)
        rng = torch.Generator().manual_seed(0)
        for step in range(1, phases.first + 1):
            weights, losses = torch.randn(16, 3, generator=rng), torch.randn(16, generator=rng)
            for need in (seen, blind):
                need.step(step, weights, losses)
            seen.expected_end(step, config)
            assert seen.satisfied(step) == blind.satisfied(step)
        assert (seen.n_eff, seen.next_look) == (blind.n_eff, blind.next_look)

    def test_a_fixed_length_is_known(self):
        config = resolve({"lr": 0.1, "preset": "digits-up", "steps": 3000})
        assert Need(phases_of(config), None).expected_end(0, config) == 3000

    def test_nobody_knows_the_correlations_of_phases_that_the_user_sets(self):
        config = resolve({"lr": 0.1, "steps": 3000, "until": "1600"})
        need = Need(phases_of(config), 1600.0)
        assert math.isnan(need.expected_end(0, config))
        assert work_of({"lr": 0.1, "steps": 3000, "until": "1600"}) == 3000
        assert work_of({"lr": -1.0}) == 0


def outcome(lr=0.1, ok=True):
    return Outcome(lr, 0, "abc", ok, "stationary", "", 12.0)


class TestSweep:
    """The longest of what runs side by side, and what waits for a place."""

    @pytest.fixture
    def clock(self):
        return Clock()

    def sweep(self, works, jobs, clock):
        return SweepProgress(works, len(works), jobs, Display(clock=clock), clock)

    def say(self, sweep, number, spent, left):
        sweep.update(number, {"event": "progress", "fraction": 0.1, "spent": spent, "left": left})

    def test_the_longest_counts_not_the_sum(self, clock):
        sweep = self.sweep([1.0, 1.0], 2, clock)
        sweep.began(0), sweep.began(1)
        clock.now += 5
        assert sweep.left() is None
        self.say(sweep, 0, 1.0, 30.0)
        self.say(sweep, 1, 1.0, 50.0)
        assert sweep.left() == pytest.approx(50 + CLOSING)
        clock.now += 10
        assert sweep.left() == pytest.approx(40 + CLOSING)
        self.say(sweep, 1, 11.0, 20.0)
        assert sweep.left() == pytest.approx(20 + CLOSING)

    def test_what_is_too_early_to_tell_does_not_count(self, clock):
        sweep = self.sweep([1.0], 1, clock)
        sweep.began(0)
        self.say(sweep, 0, 1.0, None)
        assert sweep.left() is None
        self.say(sweep, 0, 1.0, 10.0)
        clock.now += 2
        self.say(sweep, 0, 3.0, None)
        assert sweep.left() == pytest.approx(8 + CLOSING)

    def test_queued_processes_start_up_too(self, clock):
        """Three processes of 4 s start-up and 10 s for each unit of work, two at a time."""
        sweep = self.sweep([1.0, 1.0, 2.0], 2, clock)
        sweep.began(0), sweep.began(1)
        clock.now += 5
        self.say(sweep, 0, 1.0, 9.0)
        self.say(sweep, 1, 1.0, 9.0)
        assert sweep.left() == pytest.approx(9 + 4 + 20 + CLOSING)

    def test_processes_that_say_nothing_until_they_end(self, clock):
        sweep = self.sweep([1.0] * 5, 2, clock)
        sweep.began(0), sweep.began(1)
        clock.now += 20
        assert sweep.left() is None
        sweep.ended(0, [outcome()])
        sweep.began(2)
        # The second is about to end, the third has begun, two wait: 20 s each.
        assert sweep.left() == pytest.approx(40 + CLOSING)

    def test_a_process_that_broke_off_tells_nothing(self, clock, capsys):
        sweep = self.sweep([1.0, 1.0], 1, clock)
        sweep.began(0)
        clock.now += 1
        sweep.ended(0, [outcome(ok=False)])
        assert sweep.left() is None
        assert capsys.readouterr().err == "[1/2] lr=0.1 seed=0 FAILED in 12 s\n"

    def test_the_end(self, clock, capsys):
        sweep = self.sweep([1.0], 1, clock)
        sweep.began(0)
        clock.now += 12
        sweep.ended(0, [outcome()])
        assert capsys.readouterr().err == "[1/1] lr=0.1 seed=0 stationary in 12 s, about 2 s left\n"

    def test_lines_come_every_ten_seconds(self, clock, capsys):
        sweep = self.sweep([1.0], 1, clock)
        sweep.began(0)
        clock.now += 5
        sweep.show()
        self.say(sweep, 0, 1.0, 95.0 - CLOSING)
        for _ in range(25):
            clock.now += 1
            sweep.show()
        assert capsys.readouterr().err.splitlines() == [
            "10% done, about 90 s left", "20% done, about 80 s left", "30% done, about 70 s left",
        ]  # fmt: skip


class TestSingleRun:
    class Run:
        config = resolve({"lr": 0.1, "preset": "digits-up", "steps": 3000})
        need = Need(phases_of(config), None)

    def test_it_reports_every_few_seconds(self, monkeypatch):
        clock, reports = Clock(), []
        monkeypatch.setattr(progress.time, "monotonic", clock)
        run = RunProgress(self.Run, Pace([self.Run.config], shape(1.0, 1.0, 1), clock=clock), reports.append)
        for _ in range(300):
            clock.now += 0.01
            run.step()
        (report,) = reports
        assert report.fraction == pytest.approx(0.067, abs=0.001)
        assert report.spent + report.left == pytest.approx(30.0, abs=0.5)

    def test_a_sweep_hears_of_it(self, monkeypatch, capsys):
        monkeypatch.setenv(progress.SWEEP_VARIABLE, "s")
        monkeypatch.setattr(progress, "EVENT_EVERY", -1.0)

        setup = prepare(self.Run.config, torch.device("cpu"))
        with progress.progress_of(self.Run, setup) as run:
            run.step()
        event = json.loads(capsys.readouterr().out)
        assert event.pop("spent") >= 0
        assert event == {"event": "progress", "fraction": pytest.approx(1 / 3000), "left": None, "doing": ""}
