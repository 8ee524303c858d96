"""Families of stationary states with a known temperature, for studies of intervals and tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import cumulative_simpson

from analysis.testsystems import GibbsQuadratic, QuadraticSGD, System, VonMisesFisher

#: Learning rates of the families that are given by formulas.
LR = np.geomspace(1e-3, 1e-1, 11)


@dataclass(frozen=True)
class ExactStates:
    """States at LR without noise: losses, entropies, temperatures, (11,) each."""

    loss: np.ndarray
    entropy: np.ndarray
    temperature: np.ndarray


def family(temperature: Callable, entropy_slope: Callable) -> ExactStates:
    """U = ∫ T dS by a fine rule; both functions are of x = ln(lr/0.01)."""
    x = np.log(LR / 1e-2)
    fine = np.linspace(x[0], x[-1], 20001)
    slope, t = entropy_slope(fine), temperature(fine)
    s, u = (np.interp(x, fine, cumulative_simpson(y, x=fine, initial=0)) for y in (slope, slope * t))
    return ExactStates(u, s, temperature(x))


def families() -> dict[str, ExactStates]:
    """T that is a power law and T that is none; the last has an entropy that saturates."""
    flat = lambda x: np.full_like(x, 40.0)  # noqa: E731
    unit = 5e-5
    return {
        "power law": family(lambda x: unit * np.exp(0.8 * x), flat),
        "kink": family(lambda x: unit * np.exp(np.where(x > 0, 1.2 * x, 0.1 * x)), flat),
        "plateau": family(lambda x: unit * (1.02 + np.tanh(x)), flat),
        "wave": family(lambda x: unit * np.exp(0.6 * x + 0.35 * np.sin(1.8 * x)), flat),
        "saturating entropy": family(lambda x: unit * np.exp(0.6 * x), lambda x: 5 + 40 / (1 + np.exp(x))),
    }


def sampled(rng: np.random.Generator) -> dict[str, tuple[System, np.ndarray]]:
    """Systems whose states are measured on snapshots, so that U and S share their noise; nine states each."""
    decade = np.geomspace(0.1, 1.0, 9)
    return {
        "quadratic, d = 10": (GibbsQuadratic(np.geomspace(1, 10, 10)), decade),
        "von Mises-Fisher, d = 10": (VonMisesFisher(10), decade / 10),
        "SGD on a quadratic, d = 10, lr·h from 0.01 to 1": (QuadraticSGD(np.ones(10)), np.geomspace(0.01, 1.0, 9)),
    }
