"""From runs to temperatures: what is said of errors that runs do not know."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.results import NO_INTERVAL, OK, Estimate, RunResult
from analysis.study.temperatures import with_temperatures
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
