"""Verdicts of the claims on studies that are made up: each holds, fails or cannot be told where it should."""

import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.results import (
    OK,
    Baselines,
    Boundary,
    Branches,
    Course,
    Estimate,
    EstimatorUsed,
    GradientCourse,
    LeaveOneOutCheck,
    PaperNumbers,
    PowerLaw,
    RunResult,
    StudyChecks,
    StudyResult,
)
from mlflow_thermo.schema import CONVERGING, STATIONARY, UNIFORM
from projects.paper.claims import FAILS, HOLDS, UNCLEAR, evaluate, subset_rows
from projects.paper.claims.claim import above, below, mean_and_error, verdict
from projects.paper.claims.quantities import levels, loss_of, rises

LRS = np.geomspace(1e-3, 1e-1, 9)
BASELINES = Baselines(loss=5.0, entropy=0.0, paper_entropy=1000.0)


def run(lr, seed, regime, **fields):
    return RunResult(f"{lr:g}-{seed}", float(lr), seed, OK, regime, **fields)


def study(runs, branches, law=None, **checks):
    return StudyResult(
        tuple(runs), EstimatorUsed("oas", dim=100), "local-quadratic", law,
        checks=StudyChecks(branches=branches, **checks), baselines=BASELINES,
    )  # fmt: skip


def checked(result, **checks):
    """The study with other checks."""
    return replace(result, checks=replace(result.checks, **checks))


def with_loss(r, value):
    """The run with another loss of the same error."""
    return replace(r, loss=replace(r.loss, value=value))


def power_law(exponent, stderr, lr_min, lr_max):
    return PowerLaw(exponent, stderr, 0.01, 0.001, lr_min, lr_max, n=9, n_excluded=0)


def boundary(lr):
    return Boundary("", "", lr, lr / 1.1, lr * 1.1, n_misplaced=0)


def gradients(full, minibatch, steps=None):
    n = len(full)
    full, minibatch = np.asarray(full, dtype=float), np.asarray(minibatch, dtype=float)
    snr = full / np.sqrt(np.maximum(minibatch**2 - full**2, 1e-12))
    return GradientCourse(
        steps=np.arange(1, n + 1) if steps is None else np.asarray(steps), full_norm=full, minibatch_norm=minibatch,
        minibatch_norm_stderr=np.zeros(n), snr=snr, snr_stderr=np.zeros(n), train_loss=np.ones(n),
    )  # fmt: skip


STEPS = np.unique(np.geomspace(1, 10_000, 60).astype(int))


def under(t=1.0, seeds=3, rng=None):
    """Plateaus that rise with lr, T ∝ lr^t, a constant gradient noise, and the uniform state at the top."""
    rng = np.random.default_rng(0) if rng is None else rng
    runs = []
    for lr in LRS:
        for seed in range(seeds):
            regime = UNIFORM if lr > 5e-2 else STATIONARY
            loss = 5.0 if regime == UNIFORM else 1 + 20 * lr
            entropy = 0.0 if regime == UNIFORM else -500 + 50 * np.log(lr / 1e-3)
            temperature = 0.01 * lr**t if regime == STATIONARY else None
            full = np.exp(rng.normal(np.log(0.1), 0.05, len(STEPS)))
            runs.append(
                run(
                    lr, seed, regime, loss=Estimate(loss + 0.002 * rng.standard_normal(), 0.002),
                    entropy=Estimate(entropy + 0.5 * rng.standard_normal(), 0.5),
                    paper=PaperNumbers(entropy=1000 + entropy),
                    temperature=temperature and Estimate(temperature, None, 0.95 * temperature, 1.05 * temperature),
                    gradients=gradients(full, np.full(len(STEPS), 1.0), STEPS), n_train=1000,
                )
            )  # fmt: skip
    branches = Branches(None, boundary(6e-2), stationary_range=(1e-3, 5e-2))
    left_out = LeaveOneOutCheck(5, 0, 0)
    return study(runs, branches, power_law(t, 0.03, 1e-3, 5e-2), convexity_p_value=0.6, leave_one_out=left_out)


def over(k=0.8, cooling=1.0, n_train=1000, warm_exponent=0.5, rng=None):
    """Convergence at low lr, with U ∝ t^-cooling and S ∝ −ln t, then a stationary branch, then the uniform state."""
    rng = np.random.default_rng(1) if rng is None else rng
    runs = []
    t = np.array([100.0, 300.0, 1000.0, 3000.0, 10_000.0])
    for lr in LRS:
        for seed in range(3):
            regime = CONVERGING if lr < 1e-2 else STATIONARY if lr < 5e-2 else UNIFORM
            scatter = np.exp(0.02 * rng.standard_normal(5))
            temperature = 1e-4 * (lr / 1e-3) ** -0.5 * (t / 100) ** -cooling * scatter
            course = Course(
                steps=t.astype(int), size=100, loss=0.1 * (t / 100) ** -cooling * scatter, loss_stderr=np.zeros(5),
                entropy=-100 * np.log(t), entropy_stderr=np.zeros(5), temperature=temperature,
                lower=0.9 * temperature, upper=1.1 * temperature, paper_entropy=-50 * np.log(t),
                paper_temperature=temperature,
            )  # fmt: skip
            full = 10 / STEPS * np.exp(0.02 * rng.standard_normal(len(STEPS)))
            warm = regime == STATIONARY
            value = 0.01 * lr**warm_exponent if warm else None
            losses = {CONVERGING: 1e-4 * (lr / 1e-3) ** -0.3, STATIONARY: 1 + 10 * lr}
            runs.append(
                run(
                    lr, seed, regime, loss=Estimate(losses.get(regime, 5.0), 1e-6), entropy=Estimate(-100.0, 1.0),
                    paper=PaperNumbers(entropy=100.0),
                    temperature=value and Estimate(value, None, 0.9 * value, 1.1 * value),
                    course=course, gradients=gradients(full, 3 * full**k, STEPS), n_train=n_train,
                )
            )  # fmt: skip
    branches = Branches(
        boundary(1e-2 * 0.8), boundary(6e-2), bistable=(0.02,), stationary_range=(9e-3, 5e-2)
    )  # fmt: skip
    return study(runs, branches, power_law(warm_exponent, 0.05, 1e-2, 5e-2))


def sizes(*pairs):
    return {f"op-{n}": over(k, n_train=n, rng=np.random.default_rng(n)) for n, k in pairs}


FALLING = sizes((200, 0.95), (500, 0.88), (1000, 0.8))


def verdicts(up, op, subsets=FALLING):
    claims, _ = evaluate("digits", up, op, subsets)
    return {claim.number: claim.verdict for claim in claims}


def test_everything_as_the_paper_says():
    claims, rows = evaluate("digits", under(), over(), FALLING)
    assert [claim.number for claim in claims] == list(range(1, 9))
    assert {claim.verdict for claim in claims} == {HOLDS}, [(c.number, c.verdict, c.measured) for c in claims]
    assert [row.n_train for row in rows] == [200, 500, 1000]
    assert "bistable at lr = 0.02" in claims[3].measured
    assert all(claim.figures for claim in claims)


def test_nothing_there():
    claims, rows = evaluate("digits", None, None, {})
    assert [claim.verdict for claim in claims] == [UNCLEAR] * 8
    assert rows == []
    assert all(claim.measured for claim in claims)


def test_a_loss_that_falls_with_lr_contradicts_1():
    up = under()
    turned = tuple(with_loss(r, 2 - 20 * r.lr) if r.regime == STATIONARY else r for r in up.runs)
    assert verdicts(replace(up, runs=turned), over())[1] == FAILS


def test_a_falling_temperature_contradicts_2():
    assert verdicts(under(t=-0.5), over())[2] == FAILS


def test_a_rejected_convexity_contradicts_2():
    up = under()
    assert verdicts(checked(up, convexity_p_value=0.001), over())[2] == FAILS


def test_states_that_miss_the_minimum_of_f_decide_2():
    """Most of them contradict the claim, a few leave it open."""
    expected = {0: HOLDS, 1: UNCLEAR, 4: FAILS}
    for missed, answer in expected.items():
        one = checked(under(), leave_one_out=LeaveOneOutCheck(5, missed, 1))
        assert verdicts(one, over())[2] == answer


def test_nothing_is_decided_on_states_that_are_not_ok():
    """Neither for a claim nor against it: those of a few learning rates that are ok are enough."""

    def doubtful(made, keep):
        runs = [r if r.lr in keep else replace(r, status="not-stationary") for r in made.runs]
        return replace(made, runs=tuple(runs))

    up, op = doubtful(under(), ()), doubtful(over(), ())
    found, _ = evaluate("digits", up, op, sizes())
    assert [found[i].verdict for i in (0, 1, 4)] == [UNCLEAR] * 3
    assert "tentative (not-stationary)" in found[1].measured
    falling = doubtful(under(t=-0.5), ())
    assert verdicts(falling, op)[2] == UNCLEAR
    three = sorted({r.lr for r in under().runs})[1:4]
    found, _ = evaluate("digits", doubtful(under(), three), over(), sizes())
    assert [found[i].verdict for i in (0, 1)] == [HOLDS] * 2
    assert "every state ok" in found[1].measured


def test_a_wide_exponent_leaves_2_and_5_open():
    up, op = under(), over()
    up = replace(up, power_law=replace(up.power_law, exponent_stderr=2.0))
    op = replace(op, power_law=replace(op.power_law, exponent_stderr=2.0))
    found = verdicts(up, op)
    assert (found[2], found[5]) == (UNCLEAR, UNCLEAR)


def test_a_temperature_that_stays_contradicts_3():
    """dU/dS that does not fall by ten, and a loss that does not fall at all."""
    assert verdicts(under(), over(cooling=0.0))[3] == FAILS


def test_no_jump_contradicts_4():
    op = over()
    smooth = tuple(with_loss(r, r.lr) for r in op.runs)
    assert verdicts(under(), replace(op, runs=smooth))[4] == FAILS


def test_a_first_change_of_the_under_parameterised_model():
    """Relaxing slowly at low lr it may have one; only a jump there contradicts, and two points tell of none."""
    up = under()
    boundary_at = float(np.sqrt(LRS[2] * LRS[3]))
    smooth = checked(up, branches=replace(up.checks.branches, to_stationary=boundary(boundary_at)))
    assert verdicts(smooth, over())[4] == HOLDS
    jump = tuple(with_loss(r, r.loss.value * (1 if r.lr > boundary_at else 0.01)) for r in smooth.runs)
    claims, _ = evaluate("digits", replace(smooth, runs=jump), over(), FALLING)
    claim = next(claim for claim in claims if claim.number == 4)
    assert claim.verdict == FAILS
    assert "without a jump" not in claim.measured
    assert "times as far as between other neighbours" in claim.measured
    few = tuple(r for r in smooth.runs if r.lr in (LRS[2], LRS[3]) or r.regime == UNIFORM)
    assert verdicts(replace(smooth, runs=few), over())[4] == UNCLEAR


def test_no_stationary_branch_leaves_5_open():
    op = over()
    runs = tuple(r for r in op.runs if r.regime != STATIONARY)
    assert verdicts(under(), replace(op, runs=runs, power_law=None))[5] == UNCLEAR


def test_norms_that_stay_contradict_6():
    op = over()
    still = tuple(replace(r, gradients=gradients(np.full(60, 2.0), np.full(60, 2.5))) for r in op.runs)
    assert verdicts(under(), replace(op, runs=still))[6] != HOLDS


def test_an_exponent_that_rises_with_the_data_contradicts_7():
    assert verdicts(under(), over(), sizes((200, 0.7), (500, 0.8), (1000, 0.95)))[7] == FAILS


def test_one_size_says_nothing_of_7():
    assert verdicts(under(), over(), sizes((1000, 0.8)))[7] == UNCLEAR
    assert subset_rows({"none": under()}) == []


def test_a_high_lr_short_of_the_uniform_state_contradicts_8():
    up = under()
    short = tuple(with_loss(r, 4.0 + 0.001 * r.seed) if r.regime == UNIFORM else r for r in up.runs)
    assert verdicts(replace(up, runs=short), over())[8] == FAILS


@pytest.mark.parametrize(
    ("answers", "expected"),
    [([True, True], HOLDS), ([True, None], UNCLEAR), ([None, False], FAILS), ([], UNCLEAR)],
)
def test_verdict(answers, expected):
    assert verdict(answers) == expected


def test_three_valued_tests():
    assert above(1.0, 0.1) is True
    assert above(-1.0, 0.1) is False
    assert above(0.1, 0.1) is None
    assert above(math.nan, 0.1) is None
    assert below(-1.0, 0.1) is True
    assert below(1.0, 0.1, border=2.0) is True


def test_levels_hold_the_scatter_of_the_seeds():
    runs = [run(0.1, seed, STATIONARY, loss=Estimate(value, 1e-6)) for seed, value in enumerate((1.0, 2.0, 3.0))]
    found = levels(runs, loss_of)
    assert found.mean[0] == 2.0
    assert found.stderr[0] == pytest.approx(1 / np.sqrt(3))


def test_rises_forgives_noise_but_no_fall():
    steady = [run(lr, 0, STATIONARY, loss=Estimate(value, 0.1)) for lr, value in enumerate((1.0, 0.95, 2.0, 3.0))]
    assert rises(levels(steady, loss_of)) is True
    fallen = [run(lr, 0, STATIONARY, loss=Estimate(value, 0.1)) for lr, value in enumerate((1.0, 3.0, 2.0, 4.0))]
    assert rises(levels(fallen, loss_of)) is False
    assert rises(levels(steady[:2], loss_of)) is None


def test_mean_and_error_has_students_interval():
    mean, stderr = mean_and_error([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert 1.959963984540054 * stderr == pytest.approx(4.303 / np.sqrt(3), rel=1e-3)
    assert math.isnan(mean_and_error([1.0])[1])
