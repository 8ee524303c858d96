"""The exact systems against themselves, against other derivations and against their own simulators."""

import numpy as np
import pytest
from scipy import integrate, stats

from analysis import testsystems as ts

T = np.geomspace(0.05, 2.0, 7)
ROTATION = ts.random_rotation(6, np.random.default_rng(0))
GIBBS = [
    ts.GibbsQuadratic(np.geomspace(1, 10, 6)),
    ts.VonMisesProduct(np.geomspace(0.1, 3, 6)),
    ts.VonMisesProduct(np.geomspace(0.1, 3, 6), ROTATION),
    ts.VonMisesFisher(2),
    ts.VonMisesFisher(3),
    ts.VonMisesFisher(10),
    ts.DoubleWell(1.0),
    ts.PotentialOnLine(lambda w: w**4 / 4, lambda w: w**3, -9, 9),
]
SGD = [ts.QuadraticSGD([0.5, 1, 3], [1, 2, 0.3], beta) for beta in (0.0, 0.6, 0.9)]


def named(system):
    return f"{system.name}-{system.n_weights}"


@pytest.mark.parametrize("system", GIBBS, ids=named)
class TestGibbs:
    def test_slope_of_u_against_s_is_the_temperature(self, system):
        assert system.consistency(T) < 1e-6

    def test_samples_have_the_exact_loss(self, system):
        rng = np.random.default_rng(1)
        for t in (0.1, 0.7):
            losses = system.potential(system.sample(t, 20_000, rng))
            assert abs(losses.mean() - system.loss(t)[0]) < 4 * losses.std() / np.sqrt(20_000)

    def test_gradient_by_differences(self, system):
        rng = np.random.default_rng(2)
        w = system.sample(0.5, 5, rng)
        gradient = system.gradient(w)
        for i in range(system.n_weights):
            shift = np.zeros(system.n_weights)
            shift[i] = 1e-6
            numeric = (system.potential(w + shift) - system.potential(w - shift)) / 2e-6
            np.testing.assert_allclose(gradient[:, i], numeric, atol=1e-7)

    def test_langevin_keeps_the_state(self, system):
        rng = np.random.default_rng(3)
        chains = system.simulate(np.full(200, 0.5), 40, rng, step=0.01, spacing=10)
        assert chains.shape == (200, 40, system.n_weights)
        per_chain = system.potential(chains).mean(axis=1)
        # The chains are independent; 2 % more is the discretisation's share.
        slack = 4 * per_chain.std() / np.sqrt(200) + 0.02 * system.loss(0.5)[0]
        assert abs(per_chain.mean() - system.loss(0.5)[0]) < slack
        if system.on_sphere:
            np.testing.assert_allclose(np.linalg.norm(chains, axis=-1), 1.0)


def test_langevin_covariance_and_tau():
    system = ts.GibbsQuadratic([1.0, 4.0])
    rng = np.random.default_rng(4)
    h = 0.2
    chains = system.simulate(np.full(2000, 0.3), 20, rng, step=h, spacing=5)
    np.testing.assert_allclose(chains.var(axis=(0, 1)), system.langevin_covariance(0.3, h)[0], rtol=0.04)
    for phi, tau in zip(1 - h * system.curvatures, system.langevin_tau(h), strict=True):
        assert tau == pytest.approx(1 + 2 * sum(phi**k for k in range(1, 500)))


@pytest.mark.parametrize("system", SGD, ids=lambda s: f"momentum-{s.momentum}")
class TestQuadraticSGD:
    LR = np.array([0.02, 0.1, 0.4])

    def test_slope_of_u_against_s_is_the_temperature(self, system):
        assert system.consistency(self.LR) < 1e-6

    def test_covariance_by_iteration(self, system):
        rng = np.random.default_rng(5)
        for k, lr in enumerate(self.LR):
            chains = system.simulate(np.full(4000, lr), 4, rng, spacing=30)
            np.testing.assert_allclose(chains.var(axis=(0, 1)), system.covariance(self.LR)[k], rtol=0.06)

    def test_covariance_solves_the_lyapunov_equation(self, system):
        """Independent of the closed form: the joint covariance of (w, v) of one direction as a fixed point."""
        from scipy.linalg import solve_discrete_lyapunov

        for i, h in enumerate(system.curvatures):
            for k, lr in enumerate(self.LR):
                beta = system.momentum
                step = np.array([[1 - lr * h, beta], [-lr * h, beta]])
                kick = lr**2 * system.noise[i] * np.ones((2, 2))
                assert solve_discrete_lyapunov(step, kick)[0, 0] == pytest.approx(
                    system.covariance(self.LR)[k, i], rel=1e-9
                )

    def test_tau_by_summing_the_autocorrelation(self, system):
        lr = 0.1
        for i, h in enumerate(system.curvatures):
            beta = system.momentum
            rho = [1.0, (1 + beta - lr * h) / (1 + beta)]
            for _ in range(5000):
                rho.append((1 + beta - lr * h) * rho[-1] - beta * rho[-2])
            assert system.tau(lr)[0, i] == pytest.approx(1 + 2 * sum(rho[1:]), rel=1e-6)

    def test_stationary_start_with_velocity(self, system):
        """The first iterate already has the stationary variance: nothing is burnt in by accident."""
        chains = system.simulate(np.full(20_000, 0.3), 1, np.random.default_rng(6))
        np.testing.assert_allclose(chains[:, 0].var(axis=0), system.covariance(0.3)[0], rtol=0.05)


def test_sgd_is_gibbs_only_when_all_directions_are_equally_warm():
    # Noise proportional to the curvature gives equipartition up to terms of order ηh.
    gibbs = ts.QuadraticSGD([1.0, 5.0], [1.0, 5.0])
    warm = gibbs.direction_temperatures(1e-3)[0]
    assert warm[1] / warm[0] == pytest.approx(5, rel=0.01)
    equal = ts.QuadraticSGD([1.0, 5.0], [1.0, 1.0]).direction_temperatures(1e-3)[0]
    assert equal[1] / equal[0] == pytest.approx(1, rel=0.01)


class TestDirectional:
    def test_three_dimensions_in_closed_form(self):
        np.testing.assert_allclose(ts.VonMisesFisher(3).loss(T), 1 - 1 / np.tanh(1 / T) + T, rtol=1e-10)

    @pytest.mark.parametrize("d", [2, 3, 10, 50])
    def test_entropy_against_scipy(self, d):
        system = ts.VonMisesFisher(d)
        for t in (0.02, 0.3, 1.0):
            assert system.entropy(t)[0] == pytest.approx(stats.vonmises_fisher(np.eye(d)[0], 1 / t).entropy(), abs=1e-8)

    def test_a_thousand_dimensions(self):
        system = ts.VonMisesFisher(1000)
        t = np.geomspace(1e-4, 1e-2, 9)
        assert system.consistency(t) < 1e-6
        losses = system.potential(system.sample(1e-3, 500, np.random.default_rng(7)))
        assert abs(losses.mean() - system.loss(1e-3)[0]) < 4 * losses.std() / np.sqrt(500)

    @pytest.mark.parametrize("d", [2, 3, 100])
    def test_a_hot_state_is_the_uniform_sphere(self, d):
        hot = ts.VonMisesFisher(d).entropy(1e6)[0]
        assert hot == pytest.approx(ts.UniformSphere(d).entropy(1.0)[0], abs=1e-6)

    def test_uniform_sphere(self):
        assert ts.UniformSphere(2).entropy(3.0)[0] == pytest.approx(np.log(2 * np.pi * 3))
        assert ts.UniformSphere(3).entropy(3.0)[0] == pytest.approx(np.log(4 * np.pi * 9))
        points = ts.UniformSphere(3).sample(2.0, 4000, np.random.default_rng(8))
        np.testing.assert_allclose(np.linalg.norm(points, axis=1), 2.0)
        assert abs(ts.UniformSphere(3).potential(points / 2).mean() - 1) < 4 / np.sqrt(3 * 4000)
        assert np.isinf(ts.UniformSphere(3).temperature(2.0)).all()

    def test_von_mises_entropy_by_quadrature(self):
        system = ts.VonMisesProduct([0.7])
        for t in (0.1, 1.0):
            law = stats.vonmises(0.7 / t)
            value = integrate.quad(lambda x, law=law: -law.pdf(x) * law.logpdf(x), -np.pi, np.pi)[0]
            assert system.entropy(t)[0] == pytest.approx(value, abs=1e-9)


def test_double_well_by_another_quadrature():
    t, b = 0.3, 1.5
    system = ts.DoubleWell(b)
    z = integrate.quad(lambda w: np.exp(-b * (w * w - 1) ** 2 / t), -4, 4, points=[-1, 0, 1], epsabs=1e-13)[0]
    u = integrate.quad(
        lambda w: b * (w * w - 1) ** 2 * np.exp(-b * (w * w - 1) ** 2 / t) / z, -4, 4, points=[-1, 0, 1], epsabs=1e-13
    )[0]
    assert system.loss(t)[0] == pytest.approx(u, rel=1e-9)
    assert system.entropy(t)[0] == pytest.approx(np.log(z) + u / t, rel=1e-9)


class TestRegression:
    def test_second_moments_by_iteration(self):
        system = ts.RegressionSGD([0.3, 1.0, 2.0], label_std=0.5, batch_size=4)
        rng = np.random.default_rng(9)
        chains = system.simulate(np.full(3000, 0.2), 8, rng, spacing=25)
        np.testing.assert_allclose((chains**2).mean(axis=(0, 1)), system.covariance(0.2)[0], rtol=0.06)
        assert system.potential(chains).mean() == pytest.approx(system.loss(0.2)[0], rel=0.02)
        # The trace that the gain feeds on is the trace of the result.
        assert system.excess(0.2)[0] == pytest.approx(float(system.covariance(0.2)[0] @ system.curvatures))

    def test_samples_are_stationary(self):
        system = ts.RegressionSGD([0.5, 1.0], label_std=1.0, batch_size=2)
        states = system.sample(0.3, 4000, np.random.default_rng(10))
        np.testing.assert_allclose((states**2).mean(axis=0), system.covariance(0.3)[0], rtol=0.12)

    def test_interpolation_collapses(self):
        system = ts.RegressionSGD([0.5, 1.0], label_std=0.0, batch_size=4)
        path = system.simulate([0.2, 0.4], 60, np.random.default_rng(11), spacing=20)
        assert np.abs(path[:, -1]).max() < 1e-12
        assert system.loss(0.2)[0] == 0
        assert system.entropy(0.2)[0] == -np.inf
        assert system.temperature(0.2)[0] == 0
        assert (system.sample(0.2, 3, np.random.default_rng(0)) == 0).all()

    def test_what_it_cannot_say(self):
        with pytest.raises(ValueError, match="no closed form"):
            ts.RegressionSGD([1.0]).entropy(0.1)
        with pytest.raises(ValueError, match="lr=1.9 is unstable: its second moment grows"):
            ts.RegressionSGD([1.0], batch_size=2).loss([0.1, 1.9])


class TestControls:
    def test_autoregression(self):
        process = ts.AutoregressiveProcess(2000, 0.8)
        x = process.simulate(50, np.random.default_rng(12))
        assert x.var() == pytest.approx(1, rel=0.03)
        assert np.mean(x[1:] * x[:-1]) == pytest.approx(0.8, abs=0.03)
        assert process.tau == pytest.approx(9)

    def test_frozen_floor(self):
        floor = ts.FrozenFloor(100, active=4, floor=1e-3)
        x = floor.simulate(2.0, 5000, np.random.default_rng(13))
        assert x[:, :4].var() == pytest.approx(2, rel=0.05)
        assert x[:, 4:].std() == pytest.approx(1e-3, rel=0.02)
        assert floor.entropy_change(1.0, np.e) == pytest.approx(2.0)

    def test_drift(self):
        x = ts.DriftingWalk(50, 3.0).simulate(1000, np.random.default_rng(14))
        assert (x[-200:].mean() - x[:200].mean()) == pytest.approx(3 * 0.8, abs=0.1)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: ts.GibbsQuadratic([1.0, -1.0]), "curvatures must hold finite positive numbers"),
        (lambda: ts.GibbsQuadratic([1.0]).loss([0.0]), "temperature must hold finite positive numbers"),
        (lambda: ts.GibbsQuadratic([5.0]).langevin_covariance(1.0, 0.5), "step=0.5 is unstable"),
        (lambda: ts.QuadraticSGD([1.0]).covariance(2.5), "lr=2.5 is unstable"),
        (lambda: ts.QuadraticSGD([1.0], momentum=1.0), r"momentum must be in \[0, 1\)"),
        (lambda: ts.RegressionSGD([1.0], batch_size=0), "batch_size must be at least 1"),
        (lambda: ts.RegressionSGD([1.0], label_std=np.nan), "label_std must be a finite number"),
        (lambda: ts.VonMisesFisher(1), "n_weights must be at least 2"),
        (lambda: ts.UniformSphere(1), "n_weights must be at least 2"),
        (lambda: ts.VonMisesProduct([1.0], np.ones((2, 2))), "rotation must have shape"),
        (lambda: ts.PotentialOnLine(np.square, np.sign, 1, 0), "low must be below high"),
        (lambda: ts.calibration_systems(1, np.random.default_rng(0)), "needs d >= 2"),
    ],
)
def test_bad_input_is_named(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize("d", [2, 10, 100])
def test_calibration_systems_are_consistent(d):
    cases = ts.calibration_systems(d, np.random.default_rng(0))
    assert len({case.system.name for case in cases}) == len(cases)
    for case in cases:
        assert case.system.n_weights == d
        assert case.system.consistency(case.controls) < 1e-6
