"""The paper's interval: its formula written out again."""

import math

import numpy as np
import pytest

from analysis.results import EMPTY, OK, UNIDENTIFIED
from analysis.temperature import temperature_curve

from .exact import LR, power_family


def paper_interval(lr, u, s, eps=0.0):
    """The estimate of arXiv 2505.23489, by loops over pairs."""
    x = [math.log(v) for v in lr]

    def smooth(y):
        out = list(y)
        for i in range(1, len(x) - 1):
            k = [max(0.3 - abs(a - x[i]), 0.0) for a in x]
            out[i] = sum(a * b for a, b in zip(k, y, strict=True)) / sum(k)
        return out

    u, s = smooth(u), smooth(s)
    out = []
    for i in range(len(x)):
        if i in (0, len(x) - 1):
            out.append((math.nan, math.nan, math.nan))
            continue
        high = min((u[i] - u[j] - eps) / (s[i] - s[j]) for j in range(i + 1, len(x)))
        low = max(0.0, max((u[i] - u[j] - eps) / (s[i] - s[j]) for j in range(i)))
        low = high if low == 0 else low  # a bound left unset takes the other's value
        out.append((math.sqrt(low * high), low, high))
    return np.array(out).T


class TestInterval:
    @pytest.mark.parametrize("eps", [0.0, 1e-3])
    @pytest.mark.parametrize("n", [5, 11, 40])
    def test_is_the_paper_s_formula(self, n, eps):
        lr = np.geomspace(1e-3, 1e-1, n)
        loss, entropy, exact = power_family(lr)
        t, low, high = paper_interval(lr, loss, entropy, eps)
        curve = temperature_curve(lr, loss, entropy, method="interval", epsilon=eps)
        np.testing.assert_allclose(curve.temperature, t, rtol=1e-9)
        np.testing.assert_allclose(curve.lower, low, rtol=1e-9)
        np.testing.assert_allclose(curve.upper, high, rtol=1e-9)
        assert set(curve.status[1:-1]) == {OK}
        assert set(curve.status[[0, -1]]) == {UNIDENTIFIED}
        if n == 40 and eps == 0:
            # The kernel reaches 2 points to each side; nearer the ends it averages one-sidedly.
            np.testing.assert_allclose(curve.temperature[4:-4], exact[4:-4], rtol=0.02)

    def test_contradicting_bounds_are_named(self):
        # A loss that is concave in the entropy has no temperature at which it is a minimum.
        curve = temperature_curve(LR, np.sqrt(np.arange(1.0, 12)), np.arange(11.0), method="interval")
        assert EMPTY in curve.status

    def test_end_points_get_none(self):
        loss, entropy, _ = power_family(LR)
        curve = temperature_curve(LR, loss, entropy, method="interval")
        assert np.isnan(curve.temperature[[0, -1]]).all()
        assert math.isnan(curve.level)
