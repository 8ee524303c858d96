"""Branch points: where they lie, how sure that is, and what happens at the edges."""

import numpy as np
import pytest

from analysis.branches import find_branches

LRS = np.geomspace(1e-3, 1e-1, 9)


def regimes(lr, first, last):
    return ["converging" if x < first else "uniform" if x > last else "stationary" for x in lr]


def test_clean_branches():
    lr = np.repeat(LRS, 3)
    found = find_branches(lr, regimes(lr, 4e-3, 4e-2))
    assert found.to_stationary.below == "converging"
    assert found.to_stationary.above == "stationary"
    assert found.to_uniform.above == "uniform"
    # Between two neighbouring learning rates nothing is known: the interval is about the gap.
    assert LRS[2] < found.to_stationary.lr < LRS[3]
    assert LRS[1] < found.to_stationary.lower < found.to_stationary.upper < LRS[4]
    assert found.to_stationary.n_misplaced == 0
    assert found.stationary_range == (LRS[3], LRS[6])
    assert found.bistable == ()
    assert found.strays == ()


def test_order_does_not_matter():
    rng = np.random.default_rng(0)
    lr = np.repeat(LRS, 2)
    names = np.array(regimes(lr, 4e-3, 4e-2))
    shuffled = rng.permutation(len(lr))
    assert find_branches(lr[shuffled], list(names[shuffled])) == find_branches(lr, list(names))


def test_one_branch_only():
    found = find_branches(LRS, ["stationary"] * 9)
    assert found.to_stationary is None
    assert found.to_uniform is None
    assert found.stationary_range == (LRS[0], LRS[-1])


def test_without_a_stationary_branch_both_boundaries_are_one():
    found = find_branches(LRS, ["converging"] * 5 + ["uniform"] * 4)
    assert found.to_stationary == found.to_uniform
    assert (found.to_uniform.below, found.to_uniform.above) == ("converging", "uniform")
    assert found.stationary_range is None


def test_bistable_where_seeds_disagree_or_a_run_hops():
    lr = np.repeat(LRS, 3)
    names = regimes(lr, 4e-3, 4e-2)
    names[20] = "uniform"  # the third seed at the largest stationary learning rate
    assert find_branches(lr, names).bistable == (LRS[6],)
    assert find_branches(LRS, regimes(LRS, 4e-3, 4e-2), hopping=[4]).bistable == (LRS[4],)


def test_a_stray_run_is_in_no_range():
    lr = np.repeat(LRS, 3)
    names = regimes(lr, 4e-3, 4e-2)
    names[1] = "stationary"
    found = find_branches(lr, names)
    assert found.strays == (1,)
    assert found.stationary_range == (LRS[3], LRS[6])
    assert found.to_stationary.n_misplaced == 1
    # One misplaced run makes the boundary less sure.
    assert found.to_stationary.upper / found.to_stationary.lower > 1


def test_runs_that_say_nothing_are_left_out():
    assert find_branches([1.0, np.nan, 2.0], ["stationary", "diverged", ""]).stationary_range == (1.0, 1.0)
    assert find_branches([], []).stationary_range is None


# One run a learning rate cannot show that none is misplaced: the interval then says more than 95 %.
@pytest.mark.parametrize(("n_seeds", "wrong", "most"), [(1, 0.0, 1.0), (3, 0.03, 0.99)])
def test_the_interval_covers(n_seeds, wrong, most):
    rng = np.random.default_rng(1)
    lr = np.repeat(np.geomspace(1e-3, 1e-1, 12), n_seeds)
    inside = []
    for _ in range(500):
        place = np.exp(rng.uniform(np.log(2e-3), np.log(5e-2)))
        warm = (lr > place) ^ (rng.random(len(lr)) < wrong)
        found = find_branches(lr, np.where(warm, "stationary", "converging").tolist()).to_stationary
        inside.append(found.lower <= place <= found.upper)
    assert 0.9 <= np.mean(inside) <= most


def test_bad_input():
    with pytest.raises(ValueError, match="2 and 1 entries"):
        find_branches([1.0, 2.0], ["stationary"])
    with pytest.raises(ValueError, match="positive"):
        find_branches([1.0, -2.0], ["stationary", "uniform"])
