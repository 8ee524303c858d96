"""The standard form refuses what is not a trajectory."""

import numpy as np
import pytest

from analysis.trajectory import Trajectory


def make(**changes):
    return Trajectory(**{"steps": np.arange(4), "weights": np.ones((4, 3)), "loss": np.ones(4), **changes})


def test_defaults():
    trajectory = make()
    assert len(trajectory) == 4
    assert trajectory.n_weights == 3
    assert not trajectory.on_sphere
    assert make(protocol="sphere", n_weights=7).n_weights == 7


def test_take():
    part = make(steps=np.array([1, 2, 5, 9])).take(slice(1, 3))
    assert part.steps.tolist() == [2, 5]
    assert part.weights.shape == (1, 2, 3)


def test_chains():
    weights = np.arange(24.0).reshape(2, 4, 3)
    run = Trajectory(np.array([1, 2, 5, 9]), weights, np.arange(8.0).reshape(2, 4), protocol="sphere")
    assert (run.n_chains, len(run), run.dim) == (2, 4, 2)
    part = run.take(np.array([1, 3]))
    # One chain after the other: a block of a jackknife is then a chain, or a part of one.
    np.testing.assert_array_equal(part.points, weights[:, [1, 3]].reshape(4, 3))
    assert part.losses.tolist() == [1, 3, 5, 7]
    assert part.common.shape == (4, 3)
    assert part.steps.tolist() == [2, 9]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": np.ones(4)}, "shape"),
        ({"loss": np.ones(3)}, "one entry per snapshot"),
        ({"steps": np.array([1, 2, 2, 3])}, "steps must increase"),
    ],
)
def test_bad(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
