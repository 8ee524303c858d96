"""Branch points: where they lie, how sure that is, and what happens at the edges."""

import numpy as np
import pytest

from analysis.study.branches import find_branches, one_sided, strays

LRS = np.geomspace(1e-3, 1e-1, 9)


def regimes(lr, first, last):
    return ["converging" if x < first else "uniform" if x > last else "stationary" for x in lr]


def test_clean_branches():
    lr = np.repeat(LRS, 3)
    found = find_branches(lr, regimes(lr, 4e-3, 4e-2))
    assert found.to_stationary.below == "converging"
    assert found.to_stationary.above == "stationary"
    assert found.to_uniform.above == "uniform"
    # Between two neighbouring learning rates nothing is known: the interval is 95 % of the gap.
    assert found.to_stationary.lr == pytest.approx(np.sqrt(LRS[2] * LRS[3]))
    low, high = LRS[2] * (LRS[3] / LRS[2]) ** np.array([0.025, 0.975])
    assert (found.to_stationary.lower, found.to_stationary.upper) == pytest.approx((low, high), rel=1e-3)
    assert found.to_stationary.n_misplaced == 0
    assert found.stationary_range == (LRS[3], LRS[6])
    assert found.bistable == ()
    assert strays(lr, regimes(lr, 4e-3, 4e-2), found) == ()


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
    assert strays(lr, names, found) == (1,)
    assert found.stationary_range == (LRS[3], LRS[6])
    assert found.to_stationary.n_misplaced == 1
    # One misplaced run makes the boundary less sure.
    sure = find_branches(lr, regimes(lr, 4e-3, 4e-2)).to_stationary
    assert found.to_stationary.upper / found.to_stationary.lower > sure.upper / sure.lower


def test_runs_that_say_nothing_are_left_out():
    assert find_branches([1.0, np.nan, 2.0], ["stationary", "diverged", ""]).stationary_range == (1.0, 1.0)
    assert find_branches([], []).stationary_range is None


def test_strays_at_the_edge_do_not_name_the_boundary():
    """No regime gives way to one that comes before it."""
    lr, names = [1.0, 2.0, 3.0], ["stationary", "converging", "uniform"]
    found = find_branches(lr, names)
    assert (found.to_stationary.below, found.to_stationary.above) == ("converging", "uniform")
    assert (found.to_uniform.below, found.to_uniform.above) == ("converging", "uniform")
    assert strays(lr, names, found) == (0,)


def test_regimes_without_order_have_no_boundary():
    assert find_branches([1.0, 1.0, 2.0, 2.0], ["uniform", "stationary"] * 2).to_uniform is None
    alone = find_branches([1e-2, 1e-2], ["uniform", "stationary"])
    assert alone.to_uniform is None
    assert alone.bistable == (1e-2,)


def test_a_change_outside_of_the_study_is_said_to_be_there():
    low, high = "below the smallest lr = 0.001", "above the largest lr = 0.1"
    cases = {"converging": (high, high), "stationary": (low, high), "uniform": (low, low)}
    for name, expected in cases.items():
        said = one_sided(LRS[::-1], [name] * 9)
        assert [sentence.split(" lies ")[1] for sentence in said] == list(expected)
        assert [sentence.split(" lies ")[0] for sentence in said] == [
            "the change away from converging",
            "the change to uniform",
        ]
    assert len(one_sided([0.5], ["stationary"])) == 2
    assert one_sided(LRS, regimes(LRS, 4e-3, 4e-2)) == ()
    assert one_sided([], []) == one_sided([1.0], ["diverged"]) == ()


# One run a learning rate cannot show that none is misplaced: the interval then says more than 95 %.
@pytest.mark.parametrize(
    ("n_seeds", "wrong", "most"), [(1, 0.0, 1.0), (1, 0.03, 0.99), (3, 0.0, 0.99), (3, 0.03, 0.99)]
)
def test_the_interval_covers(n_seeds, wrong, most):
    rng = np.random.default_rng(1)
    lr = np.repeat(np.geomspace(1e-3, 1e-1, 12), n_seeds)
    inside = []
    for _ in range(500):
        place = np.exp(rng.uniform(np.log(lr[0]), np.log(lr[-1])))
        warm = (lr > place) ^ (rng.random(len(lr)) < wrong)
        found = find_branches(lr, np.where(warm, "stationary", "converging").tolist()).to_stationary
        inside.append(found is not None and found.lower <= place <= found.upper)
    assert 0.9 <= np.mean(inside) <= most


def test_bad_input():
    with pytest.raises(ValueError, match="2 and 1 entries"):
        find_branches([1.0, 2.0], ["stationary"])
    with pytest.raises(ValueError, match="positive"):
        find_branches([1.0, -2.0], ["stationary", "uniform"])
