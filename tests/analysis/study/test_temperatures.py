"""From runs to temperatures: what is said of errors that runs do not know."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.results import (
    DISAGREE,
    IMPRECISE,
    NO_INTERVAL,
    NOT_STATIONARY,
    OK,
    ZERO_TEMPERATURE,
    Estimate,
    RunResult,
    Thermometers,
)
from analysis.study.temperatures import PRECISION, with_temperatures
from mlflow_thermo.schema import STATIONARY

LR = np.geomspace(1e-3, 1e-1, 11)


def runs(seeds=1, known=True):
    rng = np.random.default_rng(0)
    return [
        RunResult(
            f"{lr:g}-{seed}", float(lr), seed, OK, STATIONARY,
            loss=Estimate(float(lr**0.8 + 1e-5 * rng.normal()), 1e-5 if known else None),
            entropy=Estimate(float(40 * np.log(lr) + 0.1 * rng.normal()), 0.1 if known else None),
        )
        for lr in LR
        for seed in range(seeds)
    ]  # fmt: skip


def test_one_run_without_an_error_of_its_entropy():
    results = runs()
    whole = with_temperatures(results, "local-quadratic", None)
    results[5] = replace(results[5], entropy=replace(results[5].entropy, stderr=None))
    found = with_temperatures(results, "local-quadratic", None)
    for a, b in zip(whole.runs, found.runs, strict=True):
        assert b.temperature.upper == pytest.approx(a.temperature.upper)
        assert b.status == a.status
    assert found.power_law.exponent_stderr == pytest.approx(whole.power_law.exponent_stderr)
    assert whole.notes == []
    assert [note.split(":")[0] for note in found.notes] == ["1 of 11 states have no standard error of the entropy"]


@pytest.mark.parametrize("method", ["local-quadratic", "convex", "power-law"])
def test_runs_without_errors_have_temperatures_and_no_interval(method):
    found = with_temperatures(runs(known=False), method, None)
    assert {run.status for run in found.runs} == {NO_INTERVAL}
    assert all(run.temperature.value > 0 and run.temperature.lower is None for run in found.runs)
    assert all("give those of loss and entropy, or run several seeds" in run.note for run in found.runs)
    assert found.power_law.exponent == pytest.approx(0.8, abs=0.05)
    assert found.notes == ["no interval: the standard errors of the loss and the entropy are not known"]
    assert found.checks.convexity_p_value is None


def test_several_seeds_make_up_for_errors_that_no_run_knows():
    found = with_temperatures(runs(seeds=3, known=False), "local-quadratic", None)
    assert all(run.temperature.upper is not None for run in found.runs)
    assert NO_INTERVAL not in {run.status for run in found.runs}
    assert found.notes == []
    assert 0 <= found.checks.convexity_p_value <= 1


class TestSoundNeighbours:
    """A slope is as good as the states that it is taken between."""

    def unsound(self, index, seeds=1, how_many=None):
        results = runs(seeds=seeds)
        of_lr = [i for i, run in enumerate(results) if run.lr == LR[index]]
        for i in of_lr[:how_many]:
            results[i] = replace(results[i], status=NOT_STATIONARY, note="the chains differ in their means")
        return with_temperatures(results, "local-quadratic", None).runs

    def test_both_neighbours_of_an_unsound_state_say_so(self):
        found = self.unsound(5)
        assert [run.status for run in found] == [OK] * 4 + [NOT_STATIONARY] * 3 + [OK] * 4
        assert found[5].note == "the chains differ in their means"
        assert found[4].note.startswith(
            f"T rests on the state at lr={LR[5]:.3g}, which is not-stationary: train longer"
        )
        assert found[4].temperature.status == NOT_STATIONARY

    def test_at_an_end(self):
        assert [run.status for run in self.unsound(0)] == [NOT_STATIONARY] * 2 + [OK] * 9

    def test_most_seeds_of_a_learning_rate_decide(self):
        """One of three does not, two of three do: for the third, whose U and S are averaged with theirs, too."""
        assert [run.status for run in self.unsound(5, seeds=3, how_many=1)].count(NOT_STATIONARY) == 1
        assert [run.status for run in self.unsound(5, seeds=3, how_many=2)].count(NOT_STATIONARY) == 9


def test_a_temperature_with_a_wide_interval_is_imprecise():
    results = [replace(run, loss=replace(run.loss, stderr=1e-3)) for run in runs()]
    statuses = []
    for run in with_temperatures(results, "local-quadratic", None).runs:
        t = run.temperature
        reach = max(t.upper - t.value, t.value - t.lower) / t.value
        if t.lower > 0:
            assert run.status == (IMPRECISE if reach > PRECISION else OK)
        assert run.note.startswith("the interval of T reaches further") == (run.status == IMPRECISE)
        statuses.append(run.status)
    # The loss changes by less from one state to the next where the learning rate is small.
    assert statuses == sorted(statuses, key=[ZERO_TEMPERATURE, IMPRECISE, OK].index)
    assert {IMPRECISE, OK} <= set(statuses)


def test_thermometers_that_disagree_hide_no_other_status():
    wrong = Thermometers(virial=Estimate(10.0, 0.1, 9.8, 10.2))
    results = [replace(run, set_temperature=run.lr, thermometers=wrong) for run in runs()]
    results[0] = replace(results[0], status=NOT_STATIONARY, note="the chains differ in their means")
    found = with_temperatures(results, "local-quadratic", None).runs
    assert [run.status for run in found] == [NOT_STATIONARY] * 2 + [DISAGREE] * 9
    assert found[0].note == "the chains differ in their means"
    assert found[1].note.startswith("T rests on the state at T=0.001, which is not-stationary")
    assert {run.temperature.status for run in found[2:]} == {DISAGREE}
