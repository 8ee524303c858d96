"""Exact samples of p(w) ∝ exp(−L(w)/T) at set temperatures: Hamiltonian Monte Carlo with replica exchange.

Temperatures and chains are one batch. Natural units: k_B = 1, temperatures in units of the loss.
"""

from __future__ import annotations

import torch
from torch import Tensor

from projects.gibbs.adaptation import DualAveraging
from projects.gibbs.energy import Energy, evaluate
from projects.gibbs.exchange import exchange
from projects.gibbs.geometry import Geometry
from projects.gibbs.states import Counts, Samples, State

#: Step size that the burn-in starts with, in units of the geometry's inverse mass.
FIRST_STEP = 0.1


class GibbsSampler:
    """Draws from p(w) ∝ exp(−L(w)/T) with the area of `geometry`, for each temperature and chain.

    Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011): leapfrog steps and Metropolis' test, which makes the state
    exact whatever the step size is. After each, states of neighbouring temperatures and equal chains are exchanged.

    Parameters
    ----------
    energy : L and its gradient, in the weights' dtype.
    geometry : the space and its inverse mass; `adapt` tunes it, so that it belongs to this sampler alone.
    temperatures : (n_temps,), in units of L, ascending or descending.
    weights : (n_temps, n_chains, d) to start from.
    leapfrogs : steps of a trajectory, one gradient each.
    generator : of the processor; all that is random comes from it.
    jitter : each trajectory multiplies its step size by a number drawn from 1 − jitter to 1 + jitter, so that no
        trajectory length fits a period of the motion.
    exchange_every : trajectories from exchange to exchange, 0 for none.
    target : wanted acceptance.
    metropolis : False accepts every trajectory and samples another state; to show that the test is needed.
    """

    def __init__(
        self,
        energy: Energy,
        geometry: Geometry,
        temperatures: Tensor,
        weights: Tensor,
        *,
        leapfrogs: int,
        generator: torch.Generator,
        jitter: float = 0.3,
        exchange_every: int = 1,
        target: float = 0.8,
        metropolis: bool = True,
    ) -> None:
        if temperatures.shape != weights.shape[:1] or weights.ndim != 3:
            raise ValueError(
                f"weights must be (n_temps, n_chains, d) with {len(temperatures)} temperatures, got "
                f"{tuple(weights.shape)}"
            )
        if leapfrogs < 1 or not bool((temperatures > 0).all()):
            raise ValueError("there must be at least one leapfrog, and temperatures above 0")
        self.energy, self.geometry, self.generator = energy, geometry, generator
        self.temperatures = temperatures.to(weights)
        self.leapfrogs, self.jitter, self.exchange_every = leapfrogs, jitter, exchange_every
        self.target, self.metropolis = target, metropolis
        self.step = torch.full_like(self.temperatures, FIRST_STEP)
        self.gradient_evaluations = 0
        self._draws = 0
        weights = geometry.weights(geometry.position(weights))
        replicas = torch.arange(len(weights), device=weights.device).unsqueeze(-1).repeat(1, weights.shape[1])
        self.state = State(weights, *self._evaluate(weights), replicas)
        self.counts = self._no_counts()

    def adapt(self, draws: int, windows: int = 5) -> None:
        """Burn in: tune the step sizes all the time, and the geometry's inverse mass after each window but the last.

        Each window is about twice as long as the one before, and forgets what the earlier ones saw. Afterwards step
        sizes and inverse mass stay as they are, and `counts` begins anew.
        """
        bounds = [round(draws * (2**i - 1) / (2**windows - 1)) for i in range(windows + 1)]
        for i in range(windows):
            tuner = DualAveraging(self.step, self.target)
            seen = []
            for _ in range(bounds[i], bounds[i + 1]):
                tuner.update(self._draw()[1].mean(dim=-1))
                self.step = tuner.step
                seen.append(self.state.weights)
            self.step = tuner.average()
            if i + 1 < windows and len(seen) > 1:
                self.geometry.fit(torch.stack(seen, dim=1).flatten(1, 2))
        self.counts = self._no_counts()

    def draw(self) -> Tensor:
        """One trajectory of every chain, then the exchanges; which trajectories were accepted, (n_temps, n_chains)."""
        return self._draw()[0]

    def sample(self, draws: int, every: int = 1) -> Samples:
        """`draws` states, one after every `every` trajectories."""
        kept = []
        for _ in range(draws):
            for _ in range(every):
                self._draw()
            kept.append(self.state)
        return Samples(
            torch.stack([state.weights for state in kept]),
            torch.stack([state.gradients for state in kept]),
            torch.stack([state.losses for state in kept]),
        )

    @property
    def acceptance(self) -> Tensor:
        """Share of accepted trajectories since the burn-in, (n_temps,)."""
        return self.counts.accepted / (self.counts.trajectories * self.state.losses.shape[1])

    @property
    def exchange_acceptance(self) -> Tensor:
        """Share of accepted exchanges between neighbouring temperatures since the burn-in, (n_temps − 1,)."""
        return self.counts.swapped / self.counts.tried

    @property
    def energy_error(self) -> Tensor:
        """Root mean square of the error of H/T over a trajectory since the burn-in, (n_temps,)."""
        return (self.counts.squared_errors / (self.counts.trajectories * self.state.losses.shape[1])).sqrt()

    def _no_counts(self) -> Counts:
        zero = torch.zeros_like(self.temperatures)
        return Counts(0, zero, zero, zero[1:], zero[1:])

    def _evaluate(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        self.gradient_evaluations += weights[..., 0].numel()
        return evaluate(self.energy, weights)

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Accepted trajectories and their probabilities, both (n_temps, n_chains)."""
        end, error = self._trajectory()
        # An error that is not a number is a trajectory that left what numbers can hold.
        probability = torch.nan_to_num((-error).clamp(max=0).exp(), nan=0.0)
        uniform = torch.rand(error.shape, generator=self.generator, dtype=error.dtype).to(error.device)
        accepted = uniform < probability if self.metropolis else torch.ones_like(error, dtype=torch.bool)
        self.state = self.state.replace(accepted, end)
        counts = self.counts
        counts.trajectories += 1
        counts.accepted = counts.accepted + accepted.sum(dim=-1)
        counts.squared_errors = counts.squared_errors + torch.nan_to_num(error, 0, 0, 0).square().sum(dim=-1)
        self._draws += 1
        if self.exchange_every and self._draws % self.exchange_every == 0 and len(self.temperatures) > 1:
            self._exchange(self._draws // self.exchange_every % 2)
        return accepted, probability

    def _trajectory(self) -> tuple[State, Tensor]:
        """The end of one trajectory of every chain, and the error of H/T, (n_temps, n_chains)."""
        geometry, state = self.geometry, self.state
        per_chain = torch.rand(state.losses.shape, generator=self.generator, dtype=self.step.dtype).to(self.step)
        step = (self.step.unsqueeze(-1) * (1 + self.jitter * (2 * per_chain - 1))).unsqueeze(-1)
        position = geometry.position(state.weights)
        momentum = geometry.draw_momentum(position, self.generator)
        begin = self._hamiltonian(position, momentum, state.losses)
        position, momentum, losses, gradients = self.integrate(position, momentum, state.gradients, step)
        error = self._hamiltonian(position, momentum, losses) - begin
        return State(geometry.weights(position), losses, gradients, state.replicas), error

    def integrate(
        self, position: Tensor, momentum: Tensor, gradients: Tensor, step: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Positions, momenta, losses and gradients after the leapfrogs of one trajectory.

        Parameters
        ----------
        step : (n_temps, n_chains, 1).
        """
        geometry = self.geometry
        beta = 1 / self.temperatures.view(-1, 1, 1)
        losses = self.state.losses
        momentum = momentum + step / 2 * geometry.force(position, beta * gradients)
        for i in range(self.leapfrogs):
            position, momentum = geometry.flow(position, momentum, step)
            losses, gradients = self._evaluate(geometry.weights(position))
            kick = step if i + 1 < self.leapfrogs else step / 2
            momentum = momentum + kick * geometry.force(position, beta * gradients)
        return position, momentum, losses, gradients

    def _hamiltonian(self, position: Tensor, momentum: Tensor, losses: Tensor) -> Tensor:
        """L/T + kinetic − ln volume, (n_temps, n_chains)."""
        energy = losses / self.temperatures.unsqueeze(-1) + self.geometry.kinetic(momentum)
        return energy - self.geometry.log_volume(position)

    def _exchange(self, parity: int) -> None:
        source, swapped = exchange(self.state.losses, self.temperatures, parity, self.generator)
        self.state = self.state.take(source)
        counts = self.counts
        tried = torch.zeros_like(counts.tried)
        tried[parity::2] = swapped.shape[1]
        counts.tried = counts.tried + tried
        counts.swapped = counts.swapped + swapped.sum(dim=-1)
