"""Thermometers from full gradients, on Gibbs states whose temperature is exact, and on states that are none."""

import numpy as np
import pytest

from analysis.results import InsufficientData
from analysis.temperature.gradients import direction_temperatures, noise_temperature

K = np.geomspace(1.0, 100.0, 12)


def quadratic(rng, t, chains=16, n=60):
    """Gibbs state of L = ½ Σ k x²."""
    x = rng.normal(size=(chains, n, len(K))) * np.sqrt(t / K)
    return x, K * x


def fisher(rng, t, chains, n):
    """Gibbs state of L = 1 − z on the sphere in three dimensions: κ = 1/T."""
    kappa = 1 / t
    z = 1 + np.log(rng.uniform(np.exp(-2 * kappa), 1, (chains, n))) / kappa
    angle = rng.uniform(0, 2 * np.pi, z.shape)
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(angle), flat * np.sin(angle), z], axis=-1)


@pytest.mark.parametrize("t", [1e-3, 0.3])
def test_a_quadratic(t):
    found = direction_temperatures(*quadratic(np.random.default_rng(0), t))
    assert found.virial.value == pytest.approx(t, abs=4 * found.virial.stderr)
    assert found.virial.stderr < 0.02 * t
    assert found.temperatures == pytest.approx(np.full(12, t), rel=0.25)
    assert found.spread < 0.05
    assert found.p_value > 1e-3


@pytest.mark.parametrize("t", [0.05, 0.5, 2.0])
def test_wide_states_on_spheres(t):
    """At T = 2 the state covers the sphere: the naive virial of the tangent plane would read far too low."""
    rng = np.random.default_rng(1)
    radius = 0.3
    u = np.concatenate([fisher(rng, t, 16, 4000) for _ in range(2)], axis=-1)
    # Each unit's loss depends on the direction alone; here its gradient has a part along w, which must not count.
    g = np.tile([0.0, 0.0, -1.0], 2) / radius + np.zeros_like(u)
    found = direction_temperatures(radius * u, g, spheres=(3, 3))
    assert found.virial.value == pytest.approx(t, abs=4 * found.virial.stderr)
    assert found.virial.stderr < 0.03 * t
    assert len(found.temperatures) == 4


def test_a_state_with_two_temperatures_shows_its_spread():
    rng = np.random.default_rng(2)
    x, g = quadratic(rng, 1.0)
    x[..., :6] *= 2
    g[..., :6] *= 2
    found = direction_temperatures(x, g)
    # T_i is 4 along half of the directions, 1 along the others.
    assert found.spread == pytest.approx(0.6, abs=0.1)
    assert found.p_value < 1e-9
    assert found.virial.value == pytest.approx(2.5, rel=0.1)


def test_intervals_cover():
    rng = np.random.default_rng(3)
    inside = [0, 0]
    for _ in range(200):
        found = direction_temperatures(*quadratic(rng, 1.0, chains=8, n=30))
        for i, one in enumerate((found.virial, found.median)):
            inside[i] += one.lower < 1 < one.upper
    assert all(180 <= count <= 199 for count in inside)


def test_equal_temperatures_are_rarely_called_different():
    rng = np.random.default_rng(4)
    p = [direction_temperatures(*quadratic(rng, 1.0, chains=16, n=40)).p_value for _ in range(200)]
    assert np.mean(np.array(p) < 0.01) <= 0.04


def test_a_single_chain_is_cut_into_parts():
    x, g = quadratic(np.random.default_rng(5), 1.0, chains=1, n=800)
    found = direction_temperatures(x[0], g[0])
    assert found.virial.value == pytest.approx(1, abs=4 * found.virial.stderr)


def test_noise_temperature():
    rng = np.random.default_rng(6)
    full = np.full(16, 0.5)
    noisy = full + 3.0 + 0.1 * rng.normal(size=16)
    found = noise_temperature(noisy, full, lr=0.1, dim=10)
    assert found.value == pytest.approx(0.1 * 3 / 20, abs=4 * found.stderr)
    with pytest.raises(InsufficientData, match="two chains"):
        noise_temperature(noisy[:1], full[:1], 0.1, 10)


def test_bad_input():
    with pytest.raises(ValueError, match="one for each snapshot"):
        direction_temperatures(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(InsufficientData, match="need 20 snapshots"):
        direction_temperatures(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(InsufficientData, match="do not vary"):
        direction_temperatures(np.ones((30, 2)), np.ones((30, 2)))
