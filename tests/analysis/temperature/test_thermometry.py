"""Temperatures without entropy, on states whose temperature is exact."""

import numpy as np
import pytest

from analysis import testsystems as ts
from analysis.results import OK, RunResult
from analysis.study.measurement import with_equipartition
from analysis.temperature import (
    equipartition,
    fluctuation_dissipation,
    thermodynamic_consistency,
    virial_temperature,
)
from analysis.trajectory import Trajectory


class TestVirial:
    @pytest.mark.parametrize(
        "system", [ts.GibbsQuadratic(np.geomspace(1, 30, 12)), ts.DoubleWell()], ids=lambda s: s.name
    )
    def test_gibbs_states(self, system):
        """⟨(w − w̄)·∇L⟩ = dT holds for every Gibbs state on a line or in flat space, whatever the potential."""
        w = system.sample(0.4, 40_000, np.random.default_rng(0))
        assert virial_temperature(w, system.gradient(w)) == pytest.approx(0.4, rel=0.02)

    def test_shapes(self):
        with pytest.raises(ValueError, match="give one for each snapshot"):
            virial_temperature(np.ones((3, 2)), np.ones((3, 1)))


class TestEquipartition:
    def test_gibbs_quadratic(self):
        system = ts.GibbsQuadratic(np.geomspace(1, 100, 10))
        w = system.sample(0.3, 5000, np.random.default_rng(1))
        found = equipartition(w, system.potential(w))
        # The sample's principal axes are turned a little against the exact ones.
        np.testing.assert_allclose(found.curvatures, system.curvatures, rtol=0.02)
        assert abs(found.temperature - 0.3) < 4 * found.temperature_stderr
        assert found.p_value > 0.01
        assert found.spread < 0.02

    def test_directions_of_very_different_sizes(self):
        """Squares of deviations of 1e-8 beside those of 1e-3: a regression on them would drop the small ones."""
        curvatures = np.repeat([1e6, 1e16], 5)
        system = ts.GibbsQuadratic(curvatures)
        w = system.sample(1.0, 5000, np.random.default_rng(4))
        for unit in (1.0, 1e-8, 1e8):
            found = equipartition(w * unit, system.potential(w))
            assert abs(found.temperature - 1.0) < 4 * found.temperature_stderr < 0.2
            assert found.p_value > 0.01

    def test_a_state_on_the_sphere_has_no_direction_without_temperature(self):
        """Its radius is fixed: in the coordinates around it, one of three directions would seem frozen."""
        system, n = ts.VonMisesFisher(3), 4000
        w = system.sample(0.01, n, np.random.default_rng(5))
        loss = system.potential(w)
        trajectory = Trajectory(np.arange(1, n + 1), w, loss, protocol="sphere", n_weights=3)
        result = with_equipartition(RunResult("run", 0.1, 0, OK, ""), trajectory, np.arange(n))
        assert abs(result.equipartition.temperature / 0.01 - 1) < 0.06
        assert result.equipartition.p_value > 0.01

    def test_a_state_with_two_temperatures_is_no_gibbs_state(self):
        """U and dU/dS of this SGD have one T; only equipartition shows that there are two."""
        system = ts.QuadraticSGD([1.0, 1.0, 1.5, 1.5], [1.0, 1.0, 4.0, 4.0])
        w = system.sample(0.1, 5000, np.random.default_rng(2))
        found = equipartition(w, system.potential(w))
        np.testing.assert_allclose(sorted(found.temperatures), sorted(system.direction_temperatures(0.1)[0]), rtol=0.1)
        assert found.p_value < 1e-6
        assert found.spread > 0.4

    def test_noisy_losses(self):
        """Minibatch losses: more noise than signal, and still within the stated error."""
        system = ts.GibbsQuadratic(np.ones(20))
        rng = np.random.default_rng(3)
        w = system.sample(0.2, 2000, rng)
        found = equipartition(w, system.potential(w) + rng.normal(size=2000))
        assert abs(found.temperature - 0.2) < 4 * found.temperature_stderr
        assert found.p_value > 0.001

    def test_more_weights_than_snapshots(self):
        """Ten stiff directions in 400: what the loss says of the leading ones."""
        system = ts.GibbsQuadratic(np.concatenate([np.full(10, 1.0), np.full(390, 1e4)]))
        w = system.sample(0.5, 390, np.random.default_rng(4))
        found = equipartition(w, system.potential(w))
        assert abs(found.temperature - 0.5) < 4 * found.temperature_stderr
        assert found.temperature_stderr < 0.25

    @pytest.mark.parametrize(
        ("weights", "loss", "match"),
        [
            (np.ones((30, 2)), np.ones(29), "one finite number for each of the 30 snapshots"),
            (np.ones((30, 2)), np.full(30, np.nan), "one finite number"),
            (np.ones((10, 2)), np.ones(10), "at least 20 snapshots, got 10"),
            (np.ones((30, 2)), np.ones(30), "lower directions"),
        ],
    )
    def test_bad_input(self, weights, loss, match):
        with pytest.raises(ValueError, match=match):
            equipartition(weights, loss)


class TestFluctuationDissipation:
    def flat(self, lr, steps, rng, start):
        h = np.array([0.5, 1.0, 2.0])
        w, sums, halfway = start.copy(), dict.fromkeys(("steps", "wg", "gg"), 0.0), {}
        for t in range(steps):
            g = h * w + rng.normal(size=3)
            sums["steps"] += 1
            sums["wg"] += w @ g
            sums["gg"] += g @ g
            w = w - lr * g
            if t == steps // 10:
                halfway = dict(sums)
        return sums, halfway

    def test_flat_space(self):
        system = ts.QuadraticSGD([0.5, 1.0, 2.0])
        lr = 0.05
        sums, before = self.flat(lr, 60_000, np.random.default_rng(4), np.zeros(3))
        found = fluctuation_dissipation(sums, lr, 3, before=before)
        assert found.ratio == pytest.approx(1, abs=0.05)
        assert found.temperature == pytest.approx(2 * system.loss(lr)[0] / 3, rel=0.05)
        assert found.steps == 60_000 - 6001

    def test_a_descent_breaks_the_relation(self):
        sums, _ = self.flat(0.001, 1000, np.random.default_rng(5), np.full(3, 50.0))
        assert fluctuation_dissipation(sums, 0.001, 3).ratio > 2

    def test_sphere(self):
        """SGD on the sphere with a linear loss: the relation of a fixed direction, to leading order in lr."""
        d, lr, rng = 8, 0.02, np.random.default_rng(6)
        r = np.eye(d)[0]
        w = -r.copy()
        sums = dict.fromkeys(("steps", "gr", "wrgg"), 0.0)
        for t in range(80_000):
            g = 2 * r + rng.normal(size=d)
            g = g - (g @ w) * w
            if t > 1000:
                sums["steps"] += 1
                sums["gr"] += g @ r
                sums["wrgg"] += (w @ r) * (g @ g)
            w = w - lr * g
            w = w / np.linalg.norm(w)
        found = fluctuation_dissipation(sums, lr, d, on_sphere=True)
        assert found.ratio == pytest.approx(1, abs=0.05)
        assert np.isnan(found.temperature)

    def test_bad_input(self):
        with pytest.raises(ValueError, match="sums lack gg"):
            fluctuation_dissipation({"steps": 1.0, "wg": 0.0}, 0.1, 3)
        sums = {"steps": 5.0, "wg": 1.0, "gg": 1.0}
        with pytest.raises(ValueError, match="the window holds no steps"):
            fluctuation_dissipation(sums, 0.1, 3, before=sums)


class TestConsistency:
    def test_exact_system(self):
        system = ts.VonMisesProduct(np.geomspace(0.1, 1, 10))
        t = np.geomspace(0.1, 1, 25)
        found = thermodynamic_consistency(t, system.loss(t), system.entropy(t), t)
        assert found.slope == pytest.approx(1, abs=0.01)
        assert found.worst < 0.01

    def test_half_the_temperature_doubles_the_integral(self):
        system = ts.GibbsQuadratic(np.ones(5))
        t = np.geomspace(0.1, 1, 25)
        found = thermodynamic_consistency(t, system.loss(t), system.entropy(t), t / 2)
        assert found.slope == pytest.approx(2, rel=0.01)

    def test_holes_and_seeds(self):
        system = ts.GibbsQuadratic(np.ones(5))
        t = np.repeat(np.geomspace(0.1, 1, 9), 2)
        warm = t.copy()
        warm[4] = np.nan
        found = thermodynamic_consistency(t, system.loss(t), system.entropy(t), warm)
        assert len(found.integral) == 9
        assert found.slope == pytest.approx(1, abs=0.02)

    def test_bad_input(self):
        with pytest.raises(ValueError, match="make them equal"):
            thermodynamic_consistency([1, 2], [1], [1], [1])
        with pytest.raises(ValueError, match="3 different learning rates, got 2"):
            thermodynamic_consistency([1, 2, 3], [1, 2, 3], [1, 2, 3], [1, np.nan, 1])


@pytest.mark.parametrize(("d", "n"), [(20, 200), (400, 200), (100, 1000)])
@pytest.mark.parametrize("stiffest", [1.0, 100.0])
def test_equipartition_is_right_with_few_snapshots_a_weight(d, n, stiffest):
    """A sample's own leading directions are those along which it happens to vary more than the state does."""
    h, t = np.geomspace(1, stiffest, d), 0.3
    found = []
    for seed in range(12):
        x = np.random.default_rng(seed).normal(size=(n, d)) * np.sqrt(t / h)
        found.append(equipartition(x, 0.5 * (x**2 * h).sum(axis=1)).temperature)
    error = np.std(found) / np.sqrt(12)
    assert abs(np.mean(found) - t) < max(0.12 * t, 3 * error)
