"""States of a study: means over seeds, missing errors."""

import numpy as np
import pytest

from analysis.temperature import States

LR = np.array([0.1, 0.2, 0.4, 0.2, 0.8])


def states(du=None, ds=None):
    return States.of(LR, 10 * LR, np.arange(5.0), du, ds, 0.5)


def test_means_over_repeated_learning_rates():
    mean, where = states([1, 3, 2, 4, 5], [1, 1, 1, 1, 2]).by_lr()
    assert mean.lr.tolist() == [0.1, 0.2, 0.4, 0.8]
    assert mean.entropy.tolist() == [0, 2, 2, 4]
    assert where.tolist() == [0, 1, 2, 1, 3]
    np.testing.assert_allclose(mean.loss_stderr, [1, 2.5, 2, 5])
    np.testing.assert_allclose(mean.entropy_stderr, [1, 2**-0.5, 1, 2])
    assert mean.correlation == 0.5
    assert states().by_lr()[0].loss_stderr is None


def test_take():
    part = states([1, 3, 2, 4, 5]).take(np.array([4, 0]))
    assert part.lr.tolist() == [0.8, 0.1]
    assert part.loss_stderr.tolist() == [5, 1]
    assert part.entropy_stderr is None


@pytest.mark.parametrize("hole", [0.0, np.nan])
def test_a_missing_error_is_the_largest_of_its_neighbours(hole):
    complete, notes = states([1, hole, 2, 4, 5], [1, 1, 3, 2, hole]).completed()
    # Another seed at its own learning rate, and the only neighbour of an end.
    assert complete.loss_stderr.tolist() == [1, 4, 2, 4, 5]
    assert complete.entropy_stderr.tolist() == [1, 1, 3, 2, 3]
    assert [note.split(":")[0] for note in notes] == [
        "1 of 5 states have no standard error of the loss",
        "1 of 5 states have no standard error of the entropy",
    ]
    assert states([1, 2, hole, 4, 5]).completed()[0].loss_stderr.tolist() == [1, 2, 5, 4, 5]


def test_no_error_at_all_is_none():
    complete, notes = states(np.zeros(5), np.full(5, np.nan)).completed()
    assert complete.loss_stderr is None
    assert complete.entropy_stderr is None
    assert notes == ()
    with pytest.raises(ValueError, match="a test needs standard errors: give loss_stderr and entropy_stderr"):
        complete.errors("a test")
