"""What a trajectory must conserve for Metropolis' test to be exact, and the charts against finite differences."""

import pytest
import torch
from torch.func import grad, jacrev, vmap

from projects.gibbs import ChartedSpheres, FlatSpace, GibbsSampler, Spheres, stacked

SIZES = [5, 3]
GEOMETRIES = {
    "flat": lambda: FlatSpace(),
    "great circles": lambda: Spheres(SIZES),
    "charts": lambda: ChartedSpheres(SIZES),
}


def rough(w):
    """A loss with no symmetry, which depends on the norms too."""
    return torch.sin(w * torch.arange(1.0, 9.0, dtype=w.dtype)).sum() + w[0] * w[5] + w.square().sum() ** 2 / 8


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def fitted(name, generator):
    """A geometry with an inverse mass that is not the identity, at two temperatures."""
    geometry = GEOMETRIES[name]()
    mean = torch.randn(2, 1, 8, generator=generator, dtype=torch.float64)
    geometry.fit(mean + 0.5 * torch.randn(2, 40, 8, generator=generator, dtype=torch.float64))
    return geometry


@pytest.fixture(params=GEOMETRIES)
def sampler(request, generator):
    weights = torch.randn(2, 6, 8, generator=generator, dtype=torch.float64)
    temperatures = torch.tensor([0.5, 1.0], dtype=torch.float64)
    return GibbsSampler(
        stacked(rough), fitted(request.param, generator), temperatures, weights, leapfrogs=20, generator=generator
    )


def test_trajectories_are_reversible(sampler):
    state, geometry = sampler.state, sampler.geometry
    step = torch.full((2, 6, 1), 0.03, dtype=torch.float64)
    begin = geometry.position(state.weights)
    momentum = geometry.draw_momentum(begin, sampler.generator)
    position, back, _, gradients = sampler.integrate(begin, momentum, state.gradients, step)
    assert (position - begin).abs().max() > 0.1
    position, back, losses, _ = sampler.integrate(position, -back, gradients, step)
    torch.testing.assert_close(position, begin, atol=1e-10, rtol=0)
    torch.testing.assert_close(back, -momentum, atol=1e-10, rtol=0)
    torch.testing.assert_close(losses, state.losses, atol=1e-10, rtol=0)


def test_the_error_of_the_energy_is_of_second_order_in_the_step(sampler):
    """Kicks that are not the gradient of what Metropolis compares would leave an error of the first order."""
    state, geometry = sampler.state, sampler.geometry
    begin = geometry.position(state.weights)
    momentum = geometry.draw_momentum(begin, sampler.generator)
    errors = []
    for leapfrogs in (50, 100):
        sampler.leapfrogs = leapfrogs
        step = torch.full((2, 6, 1), 0.5 / leapfrogs, dtype=torch.float64)
        position, moved, losses, _ = sampler.integrate(begin, momentum, state.gradients, step)
        beta = 1 / sampler.temperatures.unsqueeze(-1)
        change = beta * (losses - state.losses) + geometry.kinetic(moved) - geometry.kinetic(momentum)
        errors.append(change - geometry.log_volume(position) + geometry.log_volume(begin))
    assert errors[0].abs().max() < 0.05
    torch.testing.assert_close(
        errors[0].norm() / errors[1].norm(), torch.tensor(4.0, dtype=torch.float64), rtol=0.1, atol=0
    )


def test_a_flight_stays_on_the_spheres(generator):
    spheres = Spheres(SIZES)
    position = spheres.position(torch.randn(2, 6, 8, generator=generator, dtype=torch.float64))
    momentum = spheres.draw_momentum(position, generator)
    moved, turned = spheres.flow(position, momentum, torch.full((2, 6, 1), 2.0, dtype=torch.float64))
    torch.testing.assert_close(spheres.sum(moved.square()), torch.ones(2, 6, 2, dtype=torch.float64))
    torch.testing.assert_close(spheres.sum(turned.square()), spheres.sum(momentum.square()))
    assert spheres.sum(moved * turned).abs().max() < 1e-12


def test_a_chart_is_the_inverse_of_its_coordinates(generator):
    charts = fitted("charts", generator)
    weights = torch.randn(2, 6, 8, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(charts.weights(charts.position(weights)), charts.unit(weights))
    assert charts.sum(charts.position(weights) * charts.centre).abs().max() < 1e-12


def test_the_area_and_the_gradient_of_a_chart(generator):
    """Both against automatic differentiation in an orthonormal basis of the tangent space."""
    charts = ChartedSpheres([5])
    charts.fit(torch.randn(1, 3, 5, generator=generator, dtype=torch.float64))
    basis = torch.linalg.qr(charts.frame[0])[0]
    y = torch.randn(6, 4, generator=generator, dtype=torch.float64)

    def weights(y):
        return charts.weights((y @ basis.T).view(1, 1, -1)).flatten()

    jacobian = vmap(jacrev(weights))(y)
    area = torch.linalg.det(jacobian.mT @ jacobian).sqrt().log()
    position = (y @ basis.T).unsqueeze(0)
    torch.testing.assert_close(charts.log_volume(position)[0], area)

    def loss(w):
        return torch.sin(w * torch.arange(1.0, 6.0, dtype=w.dtype)).sum()

    slope = vmap(grad(loss))(charts.weights(position)[0]).unsqueeze(0)
    expected = vmap(grad(lambda y: -loss(weights(y)) + charts.log_volume((y @ basis.T).view(1, 1, -1)).sum()))(y)
    torch.testing.assert_close(charts.force(position, slope)[0], expected @ basis.T @ charts.frame[0])
