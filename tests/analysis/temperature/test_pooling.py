"""Many runs as few states."""

import numpy as np

from analysis.temperature import States, pooled


def test_many_runs_are_pooled_over_seeds_and_neighbours():
    rng = np.random.default_rng(0)
    lr = np.repeat(np.geomspace(0.01, 1, 10), 20)
    loss, entropy = lr + 0.01 * rng.normal(size=200), np.log(lr) + 0.1 * rng.normal(size=200)
    told = np.full(200, 1e-3)
    pool = pooled(States.of(lr, loss, entropy, told, told))
    # A run that has no such number counts in no mean.
    some = [None if i % 3 == 0 else float(value) for i, value in enumerate(lr)]
    known = np.array([value is not None for value in some])
    expected = [lr[known & (pool.where == state)].mean() for state in range(len(pool.states.lr))]
    np.testing.assert_allclose(pool.mean_of_known(some), expected)
    assert pool.mean_of_known([None] * len(lr)).tolist() == [0.0] * len(pool.states.lr)
    assert len(pool.states.lr) == 10
    np.testing.assert_allclose(pool.states.loss, loss.reshape(10, 20).mean(axis=1))
    # The seeds scatter ten and a hundred times more than their own errors say.
    np.testing.assert_allclose(pool.states.loss_stderr, loss.reshape(10, 20).std(axis=1, ddof=1) / np.sqrt(20))
    np.testing.assert_allclose(pool.at(lr, pool.states.loss), np.repeat(pool.states.loss, 20))
    distinct = np.geomspace(0.01, 1, 200)
    pool = pooled(States.of(distinct, distinct, np.log(distinct), told, told))
    assert len(pool.states.lr) == 64
    np.testing.assert_allclose(pool.at(distinct, pool.states.lr)[5:-5], distinct[5:-5], rtol=0.02)
    np.testing.assert_allclose(pool.states.loss_stderr, 1e-3 / np.sqrt(np.bincount(pool.where)))
    few = pooled(States.of(lr[:60], loss[:60], entropy[:60], told[:60], told[:60])).states
    np.testing.assert_array_equal(few.loss, loss[:60])
