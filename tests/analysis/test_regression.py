"""Power laws against exact data, known noise and hostile input."""

import numpy as np
import pytest

from analysis.regression import power_law

LR = np.geomspace(1e-3, 1e-1, 12)


def test_exact():
    fit = power_law(LR, 3e-3 * LR**0.85)
    assert fit.exponent == pytest.approx(0.85, abs=1e-10)
    assert fit.prefactor == pytest.approx(3e-3, rel=1e-9)
    assert (fit.lr_min, fit.lr_max, fit.n, fit.n_excluded) == (pytest.approx(1e-3), pytest.approx(1e-1), 12, 0)
    assert "R-squared" in fit.summary()


@pytest.mark.parametrize("told", [True, False])
def test_stderr_is_the_spread_over_repetitions(told):
    rng = np.random.default_rng(0)
    relative = np.linspace(0.02, 0.15, 12)
    exact = 3e-3 * LR**0.85
    fits = []
    for _ in range(300):
        # stderr/T is the standard error of ln T.
        t = exact * np.exp(relative * rng.normal(size=12))
        fits.append(power_law(LR, t, relative * t if told else None))
    spread = np.std([f.exponent for f in fits])
    assert np.mean([f.exponent for f in fits]) == pytest.approx(0.85, abs=4 * spread / 300**0.5)
    assert np.mean([f.exponent_stderr for f in fits]) == pytest.approx(spread, rel=0.3)


def test_weights_follow_the_errors():
    t = 3e-3 * LR**0.85
    t[-1] *= 10
    error = 0.01 * t
    error[-1] *= 1000
    assert power_law(LR, t, error).exponent == pytest.approx(0.85, abs=0.01)
    assert abs(power_law(LR, t).exponent - 0.85) > 0.1


def test_what_has_no_logarithm_is_left_out_and_counted():
    t = 3e-3 * LR**0.85
    t[[0, 4, 7]] = [-1e-4, np.nan, 0.0]
    fit = power_law(LR, t)
    assert fit.exponent == pytest.approx(0.85, abs=1e-9)
    assert (fit.n, fit.n_excluded, fit.lr_min) == (9, 3, pytest.approx(LR[1]))


def test_three_points():
    fit = power_law([1e-3, 1e-2, 1e-1], [1e-5, 1.1e-4, 0.9e-3])
    assert np.isfinite(fit.exponent_stderr)


@pytest.mark.parametrize("t", [[1, 2], [1, np.nan, 2], [-1, -2, -3]])
def test_too_few(t):
    with pytest.raises(ValueError, match="at 3 different learning rates"):
        power_law(LR[: len(t)], t)
    with pytest.raises(ValueError, match="3 different learning rates, got 4"):
        power_law([0.1] * 4, [1, 2, 3, 4])


def test_lengths():
    with pytest.raises(ValueError, match="make them equal"):
        power_law([1, 2, 3], [1, 2])
