"""Power laws against exact data, known noise and hostile input."""

import numpy as np
import pytest

from analysis.temperature import power_law, power_law_over_seeds

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


def test_errors_of_neighbours_that_go_together():
    """Temperatures that share an error scatter less about a line than they are uncertain."""
    rng = np.random.default_rng(3)
    x = np.log(LR)
    together = 0.01 * np.exp(-0.5 * ((x[:, None] - x[None, :]) / 2.0) ** 2)
    root = np.linalg.cholesky(together + 1e-8 * np.eye(12))
    fits = []
    for _ in range(300):
        t = 3e-3 * LR**0.85 * np.exp(root @ rng.normal(size=12))
        fits.append((power_law(LR, t), power_law(LR, t, covariance=together * np.outer(t, t))))
    spread = np.std([f.exponent for f, _ in fits])
    assert np.mean([f.exponent_stderr for f, _ in fits]) < 0.6 * spread
    assert np.mean([f.exponent_stderr for _, f in fits]) == pytest.approx(spread, rel=0.1)
    prefactor = np.std(np.log([f.prefactor for f, _ in fits]))
    assert np.mean([f.prefactor_stderr / f.prefactor for _, f in fits]) == pytest.approx(prefactor, rel=0.1)
    with pytest.raises(ValueError, match=r"covariance has shape \(2, 2\)"):
        power_law(LR, LR, covariance=np.eye(2))


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


def test_robust_fit_survives_an_outlier():
    rng = np.random.default_rng(5)
    t = 3e-3 * LR**0.85 * np.exp(0.02 * rng.normal(size=12))
    t[9] *= 8
    assert power_law(LR, t, robust=True).exponent == pytest.approx(0.85, abs=0.03)
    assert abs(power_law(LR, t).exponent - 0.85) > 0.1
    weighted = power_law(LR, t, 0.02 * t, robust=True)
    assert weighted.exponent == pytest.approx(0.85, abs=0.03)


class TestSeeds:
    def runs(self, rng, n_seeds, between=0.3, within=0.05):
        lr, seed = np.tile(LR, n_seeds), np.repeat(np.arange(n_seeds), len(LR))
        tilt = between * rng.normal(size=n_seeds)
        x = np.log(lr) - np.log(LR).mean()
        t = 3e-3 * np.exp(0.85 * x + tilt[seed] * x / 4 + within * rng.normal(size=len(lr)))
        return lr, t, seed

    def test_bootstrap_error_is_the_spread_over_repetitions(self):
        rng = np.random.default_rng(8)
        fits = [power_law_over_seeds(*self.runs(rng, 10)) for _ in range(40)]
        spread = np.std([f.exponent for f in fits])
        assert np.mean([f.exponent_stderr for f in fits]) == pytest.approx(spread, rel=0.35)
        assert np.mean([f.lower <= 0.85 <= f.upper for f in fits]) > 0.75
        # Taken as independent, 120 points with the same scatter would claim far less.
        lr, t, seed = self.runs(rng, 10)
        assert power_law(lr, t).exponent_stderr < power_law_over_seeds(lr, t, seed).exponent_stderr

    def test_bad_input(self):
        with pytest.raises(ValueError, match="runs of 1 seed .* run the sweep with more seeds"):
            power_law_over_seeds(LR, LR, np.zeros(12))
        with pytest.raises(ValueError, match="seed has shape"):
            power_law_over_seeds(LR, LR, [1, 2])
