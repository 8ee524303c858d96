"""Exact states for the tests of temperature curves."""

import numpy as np
from scipy.integrate import cumulative_simpson

LR = np.geomspace(1e-3, 1e-1, 11)
X = np.log(LR) - np.log(LR).mean()


def power_family(lr, exponent=0.8, prefactor=2e-3, s_slope=40.0):
    """S linear in ln lr and T = a·lr^b, so U = s_slope·a·lr^b/b in closed form."""
    entropy = -3000.0 + s_slope * np.log(lr)
    temperature = prefactor * lr**exponent
    return 1.0 + s_slope * temperature / exponent, entropy, temperature


def law(exponent):
    """S a cubic in ln lr and T = lr^b about the middle; U = ∫ T dS by a fine Simpson rule."""
    fine = np.linspace(X[0], X[-1], 20001)
    slope = np.polynomial.Polynomial([40.0, -5.0, 0.8])
    steps = np.exp(exponent * fine) * slope(fine)
    u = np.interp(X, fine, cumulative_simpson(steps, x=fine, initial=0))
    return u, slope.integ()(X), np.exp(exponent * X)
