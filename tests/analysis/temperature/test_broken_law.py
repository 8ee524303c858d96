"""One power law or two, from the states."""

import numpy as np
import pytest

from analysis.temperature import broken_power_law
from analysis.temperature.power import thermal_integral

LR = np.geomspace(1e-3, 1e-1, 13)
X = np.log(LR / 1e-2)


def states(below, above, s_slope=40.0):
    """T with exponents below and above lr = 1e-2; S linear in ln lr, so that U is known in closed form."""

    def half(b, x):
        return x if b == 0 else np.expm1(b * x) / b

    u = s_slope * np.where(X < 0, half(below, X), half(above, X))
    return u, s_slope * X


def noisy(rng, below, above, du, ds):
    u, s = states(below, above)
    return LR, u + du * rng.normal(size=13), s + ds * rng.normal(size=13), np.full(13, du), np.full(13, ds)


def test_finds_a_break():
    fit = broken_power_law(*noisy(np.random.default_rng(0), 3.0, 0.8, 0.05, 0.01))
    assert fit.preferred
    assert fit.lr_break == pytest.approx(1e-2, rel=0.5)
    assert fit.exponent_below == pytest.approx(3.0, abs=0.5)
    assert fit.exponent_above == pytest.approx(0.8, abs=0.1)


def test_a_break_without_noise_is_exact():
    u, s = states(2.0, 0.5)
    fit = broken_power_law(LR, u, s, np.full(13, 1e-4), np.full(13, 1e-5))
    assert fit.lr_break == pytest.approx(1e-2)
    assert (fit.exponent_below, fit.exponent_above) == (pytest.approx(2.0, abs=1e-3), pytest.approx(0.5, abs=1e-3))


def test_prefers_one_law_where_there_is_one():
    rng = np.random.default_rng(1)
    chosen = [broken_power_law(*noisy(rng, 0.8, 0.8, 0.3, 0.3)).preferred for _ in range(60)]
    # BIC with 13 points lets a fitted break through now and then.
    assert np.mean(chosen) < 0.15


def test_sees_a_clear_break_through_noise():
    rng = np.random.default_rng(2)
    assert np.mean([broken_power_law(*noisy(rng, 3.0, 0.5, 0.3, 0.1)).preferred for _ in range(20)]) > 0.9


def test_bad_input():
    with pytest.raises(ValueError, match="8 different learning rates, got 7"):
        broken_power_law(LR[:7], LR[:7], X[:7])
    with pytest.raises(ValueError, match="leave collapsed runs out"):
        broken_power_law(LR, LR, np.full(13, -np.inf))
    with pytest.raises(ValueError, match="no power law with a positive temperature"):
        broken_power_law(LR, -LR, X, np.ones(13), np.ones(13))
    with pytest.raises(ValueError, match="a break needs standard errors: give loss_stderr and entropy_stderr"):
        broken_power_law(LR, LR, X)


def test_the_law_is_integrated_exactly():
    x = np.linspace(-1, 1, 9)
    for b in (0.0, 1e-9, 0.7, -30.0):
        exact = x + 1 if b == 0 else np.exp(-b) * np.expm1(b * (x + 1)) / b
        np.testing.assert_allclose(thermal_integral(b * x, x), exact, rtol=1e-12)
