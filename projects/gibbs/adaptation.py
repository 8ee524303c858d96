"""The step size that gives a wanted acceptance, found during the burn-in."""

from __future__ import annotations

import torch
from torch import Tensor


class DualAveraging:
    """Step sizes by dual averaging of the acceptance's error (Hoffman & Gelman 2014, section 3.2.1).

    With the error averaged to H_t = (1 − 1/(t + t0))·H_{t−1} + (target − acceptance)/(t + t0), the steps are
    ln ε_t = μ − H_t·√t/γ, and their average with the weights t^{−κ} is what is kept. Their constants γ = 0.05, t0 = 10,
    κ = 0.75, μ = ln 10ε₀.

    Parameters
    ----------
    step : ε₀, (n_temps,).
    target : wanted mean acceptance.
    """

    GAMMA, T0, KAPPA = 0.05, 10.0, 0.75

    def __init__(self, step: Tensor, target: float) -> None:
        self.target = target
        self.step = step.clone()
        self._centre = torch.log(10 * step)
        self._error = torch.zeros_like(step)
        self._log_average = torch.log(step)
        self._count = 0

    def update(self, acceptance: Tensor) -> None:
        """Take the acceptance (n_temps,) of a trajectory into account."""
        self._count += 1
        weight = 1 / (self._count + self.T0)
        self._error = (1 - weight) * self._error + weight * (self.target - acceptance)
        log_step = self._centre - self._error * self._count**0.5 / self.GAMMA
        share = self._count**-self.KAPPA
        self._log_average = share * log_step + (1 - share) * self._log_average
        self.step = log_step.exp()

    def average(self) -> Tensor:
        """The step sizes to keep, (n_temps,)."""
        return self._log_average.exp()
