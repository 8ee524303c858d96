"""Sampled states against exact answers, in flat space and on spheres."""

import numpy as np
import pytest
import torch
from scipy.special import ive

from projects.gibbs import ChartedSpheres, FlatSpace, GibbsSampler, Spheres, stacked, virial_temperature

TEMPERATURES = torch.tensor([0.1, 0.3, 1.0], dtype=torch.float64)
SPHERES = {"great circles": Spheres, "charts": ChartedSpheres}


def quadratic(stiffness):
    return lambda w: ((w.square() @ stiffness) / 2, w * stiffness)


def pole(w):
    """L = 1 + μ·w with μ along the first axis."""
    gradient = torch.zeros_like(w)
    gradient[:, 0] = 1.0
    return 1 + w[:, 0], gradient


def pole_loss(d, temperature):
    """⟨1 + μ·w⟩ on S^{d−1}: 1 − I_{d/2}(1/T)/I_{d/2−1}(1/T)."""
    return 1 - ive(d / 2, 1 / temperature) / ive(d / 2 - 1, 1 / temperature)


def start(temperatures, chains, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(temperatures), chains, d, dtype=torch.float64, generator=generator)


def sampler_of(energy, geometry, d, *, temperatures=TEMPERATURES, chains=50, seed=1, leapfrogs=5, **options):
    generator = torch.Generator().manual_seed(seed)
    weights = start(temperatures, chains, d)
    return GibbsSampler(energy, geometry, temperatures, weights, leapfrogs=leapfrogs, generator=generator, **options)


def mean_and_error(values):
    """Means (n_temps,) of values (n_draws, n_temps, n_chains) and their errors from independent chains."""
    per_chain = values.mean(dim=0)
    return per_chain.mean(dim=-1).numpy(), (per_chain.std(dim=-1) / per_chain.shape[-1] ** 0.5).numpy()


def deviations(values, expected):
    """Differences from the exact means, in standard errors."""
    mean, error = mean_and_error(values)
    return np.abs(mean - expected) / error


@pytest.mark.parametrize("mass", ["unit", "diagonal", "dense"])
def test_a_quadratic_has_half_a_temperature_a_direction(mass):
    stiffness = torch.tensor([1.0, 4.0, 0.5, 2.0], dtype=torch.float64)
    sampler = sampler_of(quadratic(stiffness), FlatSpace(mass), 4, exchange_every=0)
    sampler.adapt(150)
    samples = sampler.sample(150)
    temperatures = TEMPERATURES.numpy()
    assert (deviations(samples.losses, 4 * temperatures / 2) < 4).all()
    for i in range(4):
        variance = samples.weights[..., i].square()
        assert (deviations(variance, temperatures / float(stiffness[i])) < 4).all()
        assert (deviations(samples.weights[..., i] * samples.weights[..., i - 1], 0) < 4).all()
    assert ((sampler.acceptance > 0.65) & (sampler.acceptance < 0.95)).all()


def test_a_dense_mass_matrix_makes_a_stiff_tilted_quadratic_round():
    """Standard deviations from 1 to 100 along directions that are no axes: five leapfrogs are enough."""
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))[0]
    hessian = rotation @ torch.diag(torch.tensor([1.0, 1e-2, 1e-4], dtype=torch.float64)) @ rotation.T
    energy = stacked(lambda w: w @ hessian @ w / 2)
    sampler = sampler_of(energy, FlatSpace(), 3, temperatures=torch.tensor([0.5], dtype=torch.float64))
    sampler.adapt(400)
    samples = sampler.sample(200)
    soft = samples.weights @ rotation[:, 2]
    assert (deviations(samples.losses, 0.75) < 4).all()
    assert (deviations(soft.square(), 0.5e4) < 4).all()
    # Independent draws: the variance of the chains' means is that of 200 of them, and not that of a few.
    assert soft.mean(dim=0).var() < 3 * 0.5e4 / 200


def test_replica_exchange_fills_a_double_well():
    """A tilted double well at a temperature of a 20th of the barrier, from one side only, against quadrature."""

    def loss(w):
        return (w[0] ** 2 - 1) ** 2 + 0.1 * w[0]

    temperatures = torch.logspace(np.log10(0.05), 0, 6, dtype=torch.float64)
    grid = np.linspace(-4, 4, 20001)
    values = (grid**2 - 1) ** 2 + 0.1 * grid
    boltzmann = np.exp(-(values - values.min()) / temperatures.numpy()[:, None])
    exact = (boltzmann * values).sum(axis=1) / boltzmann.sum(axis=1)
    right = boltzmann[:, grid > 0].sum(axis=1) / boltzmann.sum(axis=1)

    generator = torch.Generator().manual_seed(0)
    weights = torch.ones(6, 100, 1, dtype=torch.float64)
    options = {"leapfrogs": 5, "generator": generator}
    sampler = GibbsSampler(stacked(loss), FlatSpace("unit"), temperatures, weights, **options)
    sampler.adapt(200)
    samples = sampler.sample(400)
    assert (deviations(samples.losses, exact) < 4).all()
    assert (deviations((samples.weights[..., 0] > 0).double(), right) < 4).all()
    assert (sampler.exchange_acceptance > 0.3).all()
    # Every temperature has seen states that began at others.
    assert (sampler.state.replicas != torch.arange(6).unsqueeze(-1)).double().mean() > 0.5

    alone = GibbsSampler(stacked(loss), FlatSpace("unit"), temperatures, weights, exchange_every=0, **options)
    # So few steps that hardly any crosses the barrier: eight generators leave 0.96 to 0.99 where they began.
    alone.adapt(50)
    stuck = (alone.sample(50).weights[:, 0] > 0).double().mean()
    assert stuck > 0.9 > 3 * right[0]


@pytest.mark.parametrize("spheres", SPHERES.values(), ids=SPHERES)
@pytest.mark.parametrize("d", [3, 10])
def test_von_mises_fisher(spheres, d):
    sampler = sampler_of(pole, spheres([d]), d)
    sampler.adapt(150)
    samples = sampler.sample(200)
    temperatures = TEMPERATURES.numpy()
    if d == 3:
        np.testing.assert_allclose(pole_loss(3, temperatures), 1 - 1 / np.tanh(1 / temperatures) + temperatures)
    assert (deviations(samples.losses, pole_loss(d, temperatures)) < 4).all()
    torch.testing.assert_close(samples.weights.norm(dim=-1), torch.ones_like(samples.losses))
    measured, error = virial_temperature(samples, [d])
    assert ((measured - TEMPERATURES).abs() < 4 * error).all()
    assert (error < 0.1 * TEMPERATURES).all()
    # The other axes are alike: their mean square is what the first leaves.
    rest = (1 - samples.weights[..., 0].square()) / (d - 1)
    assert (deviations(samples.weights[..., -1].square() - rest, 0) < 4).all()


@pytest.mark.parametrize("spheres", SPHERES.values(), ids=SPHERES)
def test_a_product_of_spheres(spheres):
    """Blocks of 3 and 5 weights are independent when the loss is a sum, and the energies add up."""

    def energy(w):
        gradient = torch.zeros_like(w)
        gradient[:, 0], gradient[:, 3] = 1.0, 2.0
        return 3 + w[:, 0] + 2 * w[:, 3], gradient

    sampler = sampler_of(energy, spheres([3, 5]), 8)
    sampler.adapt(150)
    samples = sampler.sample(200)
    temperatures = TEMPERATURES.numpy()
    first, second = pole_loss(3, temperatures), pole_loss(5, temperatures / 2)
    assert (deviations(1 + samples.weights[..., 0], first) < 4).all()
    assert (deviations(1 + samples.weights[..., 3], second) < 4).all()
    assert (deviations(samples.losses, first + 2 * second) < 4).all()
    assert sampler.geometry.dim(8) == 6


@pytest.mark.parametrize("metropolis", [True, False])
def test_without_metropolis_a_large_step_gives_a_wrong_state(metropolis):
    stiffness = torch.ones(5, dtype=torch.float64)
    sampler = sampler_of(quadratic(stiffness), FlatSpace("unit"), 5, leapfrogs=3, metropolis=metropolis)
    sampler.step[:] = 1.4 * TEMPERATURES.sqrt()
    sampler.jitter = 0.1
    for _ in range(50):
        sampler.draw()
    far = deviations(sampler.sample(200).losses, 2.5 * TEMPERATURES.numpy())
    assert (far < 4).all() if metropolis else (far > 10).all()


def test_burn_in_ends():
    """Step sizes and masses stay as they are afterwards, the counts begin, and acceptance is what was asked for."""
    sampler = sampler_of(pole, ChartedSpheres([4]), 4, target=0.7)
    sampler.adapt(200)
    step, frame = sampler.step.clone(), sampler.geometry.frame.clone()
    assert sampler.counts.trajectories == 0
    accepted = [sampler.draw() for _ in range(100)]
    assert torch.equal(step, sampler.step)
    assert torch.equal(frame, sampler.geometry.frame)
    torch.testing.assert_close(sampler.acceptance, torch.stack(accepted).double().mean(dim=(0, 2)))
    assert ((sampler.acceptance - 0.7).abs() < 0.1).all()
    assert (sampler.energy_error > 0).all()
    assert sampler.counts.tried.tolist() == [50 * 50, 50 * 50]


def test_a_seed_gives_the_same_draws():
    first, second = (sampler_of(pole, Spheres([3]), 3) for _ in range(2))
    for sampler in (first, second):
        sampler.adapt(30)
    assert torch.equal(first.sample(5).weights, second.sample(5).weights)


def test_a_trajectory_that_leaves_the_numbers_is_rejected():
    sampler = sampler_of(stacked(lambda w: w.square().sum().square()), FlatSpace("unit"), 2)
    sampler.step[:] = 1e200
    before = sampler.state.weights
    assert not sampler.draw().any()
    assert torch.isfinite(sampler.state.weights).all()
    assert sorted(before.flatten().tolist()) == sorted(sampler.state.weights.flatten().tolist())


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="n_temps, n_chains, d"):
        GibbsSampler(pole, FlatSpace(), TEMPERATURES, torch.zeros(2, 4, 3), leapfrogs=1, generator=torch.Generator())
    with pytest.raises(ValueError, match="above 0"):
        sampler_of(pole, FlatSpace(), 3, temperatures=torch.tensor([0.0, 1.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="mass must be"):
        FlatSpace("heavy")
    with pytest.raises(ValueError, match="two weights"):
        Spheres([3, 1])
