"""Exact states for the tests of temperature curves."""

import numpy as np

LR = np.geomspace(1e-3, 1e-1, 11)


def power_family(lr, exponent=0.8, prefactor=2e-3, s_slope=40.0):
    """S linear in ln lr and T = a·lr^b, so U = s_slope·a·lr^b/b in closed form."""
    entropy = -3000.0 + s_slope * np.log(lr)
    temperature = prefactor * lr**exponent
    return 1.0 + s_slope * temperature / exponent, entropy, temperature
