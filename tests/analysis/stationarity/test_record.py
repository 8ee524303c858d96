"""Records that are not those of free weights: each fault is named, small and large, and an honest record is not."""

import numpy as np
import pytest

from analysis import diagnose
from analysis.stationarity.record import count_stays, record_problem
from analysis.trajectory import Trajectory
from mlflow_thermo.schema import METROPOLIS, REPEATS, ParameterSlice


def layout(*sizes):
    offsets = np.cumsum([0, *sizes])
    return tuple(ParameterSlice(f"layer{i}.weight", (size,), int(offsets[i]), size) for i, size in enumerate(sizes))


def run(x, **options):
    return Trajectory(np.arange(1, x.shape[-2] + 1), x, np.zeros(x.shape[:-1]), **options)


@pytest.mark.parametrize("d", [4, 3000])
@pytest.mark.parametrize("n", [30, 400])
class TestFaults:
    def weights(self, n, d):
        return (np.random.default_rng(0).normal(size=(2, n, d)) + 5).astype(np.float32)

    def test_an_honest_record(self, n, d):
        assert record_problem(run(self.weights(n, d), layout=layout(d - 1, 1))) == ""

    @pytest.mark.parametrize("factor", [1.0, -0.5])
    def test_a_weight_under_two_names(self, n, d, factor):
        x = self.weights(n, d)
        x[..., -1] = factor * x[..., 1]
        found = record_problem(run(x, layout=layout(d - 1, 1)))
        assert found.startswith("layer0.weight[1] and layer1.weight[0] move in proportion: one weight under two names")

    def test_weights_that_never_move(self, n, d):
        x = self.weights(n, d)
        x[..., 2] = 0.7
        assert "1 of" in record_problem(run(x))
        assert "weight 2 and such" in record_problem(run(x))

    def test_another_number_of_weights(self, n, d):
        x = self.weights(n, d)
        found = record_problem(run(x, layout=layout(d), n_weights=d + d // 4))
        assert f"the layout names {d} weights, the snapshots count {d + d // 4}" in found


def test_twins_that_only_look_alike_are_two():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 3))
    x[:, 2] = x[:, 1] + 1e-3 * rng.normal(size=200)
    assert record_problem(run(x)) == ""


def test_stays():
    x = np.random.default_rng(2).normal(size=(2, 50, 3))
    assert count_stays(x) == 0
    x[0, 10:13] = x[0, 10]
    x[1, 40] = x[1, 39]
    assert count_stays(x) == 3


@pytest.mark.parametrize("chains", [1, 8])
def test_repeats_of_the_snapshot_before_are_correlation(chains):
    """A sampler that rejects 15 % of its moves, and a loop that calls the recorder four times an update."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(chains, 600, 4))
    for t in range(1, 600):
        stays = rng.random(chains) < 0.15
        x[stays, t] = x[stays, t - 1]
    x = x if chains > 1 else x[0]
    found = diagnose(x)
    # One chain has nothing to compare itself with; a study thins it.
    assert found.status in (("ok", "autocorrelated") if chains == 1 else ("ok",))
    assert found.evidence.stays == pytest.approx(0.15 * 600 * chains, rel=0.25)
    # The correlation time of such a chain is (1 + r)/(1 − r).
    assert found.n_eff == pytest.approx(600 * chains * 0.85 / 1.15, rel=0.25)
    four = np.repeat(x[..., :150, :], 4, axis=-2)
    found = diagnose(four)
    assert found.status in ("ok", "autocorrelated")
    assert found.n_eff == pytest.approx(150 * chains * 0.74, rel=0.5)


def test_a_state_that_returns_is_a_fault_unless_a_sampler_says_so():
    x = np.random.default_rng(4).normal(size=(4, 100, 3))
    x[2, 70] = x[2, 20]
    assert diagnose(run(x)).status == "duplicates"
    assert diagnose(run(x, attributes={REPEATS: METROPOLIS})).status == "ok"
