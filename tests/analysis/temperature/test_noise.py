"""How the local fit answers to noise, and what cancels."""

import numpy as np
import pytest

from analysis.temperature import States, temperature_curve
from analysis.temperature.guide import power_law_guide
from analysis.temperature.linear import local_polynomial
from analysis.temperature.noise import Noise
from analysis.temperature.selection import GuidedFit, Scaled
from benchmarks.families import families

from .exact import LR, X, law


class TestNoise:
    def errors(self, shared, reps=60):
        """Median |T̂/T − 1| where every state is measured at a temperature that is 1 % off in U and S alike."""
        rng = np.random.default_rng(2)
        found = []
        for _ in range(reps):
            off = 0.01 * rng.normal(size=(2, 11))
            if shared:
                off[1] = off[0]
            u, s = 10 * np.exp(X + off[0]), 10 * (X + off[1])
            curve = temperature_curve(LR, u, s, 0.1 * np.exp(X), np.full(11, 0.1))
            found.append(np.abs(curve.temperature / np.exp(X) - 1))
        return float(np.median(found))

    def test_noise_that_u_and_s_share_drops_out(self):
        assert self.errors(shared=True) < 0.6 * self.errors(shared=False)

    def test_the_interval_knows_that_it_does(self):
        rng = np.random.default_rng(3)
        widths, hits = {}, []
        for shared in (True, False):
            width = []
            for _ in range(60):
                off = 0.01 * rng.normal(size=(2, 11))
                off[1] = off[0] if shared else off[1]
                u, s = 10 * np.exp(X + off[0]), 10 * (X + off[1])
                curve = temperature_curve(LR, u, s, 0.1 * np.exp(X), np.full(11, 0.1))
                width.append(np.median(curve.upper - curve.lower))
                if shared:
                    hits.append(np.mean((curve.lower <= np.exp(X)) & (np.exp(X) <= curve.upper)))
            widths[shared] = np.median(width)
        assert widths[True] < 0.8 * widths[False]
        assert np.mean(hits) > 0.9

    def fitted(self, u, s, du, ds, bandwidth=1.5):
        """A guided fit of one bandwidth, whose answers to the data are linear as long as the noise is small."""
        data = Scaled.of(States(LR, u, s, du, ds))
        guide = power_law_guide(data.x, data.u, data.s, data.du, data.ds)
        return GuidedFit.of(data, guide, local_polynomial(data.x, np.ones((11, 11)), bandwidth, 2))

    @pytest.mark.parametrize("correlation", [0.0, 0.9])
    def test_moments_of_the_residuals_find_the_noise(self, correlation):
        """Although the residuals of U answer to the noise of S too, through the guide."""
        rng = np.random.default_rng(5)
        u, s, t = law(0.8)
        du, ds = 1e-4 * t * np.ptp(u), np.full(11, 1e-4 * np.ptp(u))
        found = []
        for _ in range(400):
            e = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size=11).T
            # The told errors are half the true ones: what is found widens them.
            noise = Noise.of(self.fitted(u + du * e[0], s + ds * e[1], du / 2, ds / 2))
            unit = np.ptp(u + du * e[0]), np.ptp(s + ds * e[1])
            found.append((np.mean(noise.u * unit[0] / du), np.mean(noise.s * unit[1] / ds), noise.correlation))
        u_scale, s_scale, shared = np.transpose(found)
        # Root mean squares: it is the variances that are without bias.
        assert np.sqrt(np.mean(u_scale**2)) == pytest.approx(1, abs=0.1)
        assert np.sqrt(np.mean(s_scale**2)) == pytest.approx(1, abs=0.05)
        assert np.median(shared) == pytest.approx(correlation, abs=0.05)

    def test_a_state_much_sharper_than_its_neighbours_does_not_forbid_short_bandwidths(self):
        """A temperature that levels off, with errors in proportion to it."""
        states = families()["plateau"]
        rng = np.random.default_rng(8)
        du, ds = 1e-4 * states.temperature / states.temperature.mean(), np.full(11, 0.03)
        hits = []
        for _ in range(30):
            u, s = states.loss + du * rng.normal(size=11), states.entropy + ds * rng.normal(size=11)
            curve = temperature_curve(LR, u, s, du, ds)
            hits.append((curve.lower <= states.temperature) & (states.temperature <= curve.upper))
        # Where the stiff fits are off, one interval in ten held the temperature.
        assert np.mean(hits, axis=0)[5:8].min() > 0.6

    def test_a_correlation_that_is_told_counts(self):
        u, s, _ = law(1.0)
        errors = 0.01 * np.ptp(u) * np.exp(X) / np.exp(X[-1]), np.full(11, 0.01 * np.ptp(s))
        widths = [
            np.median(np.subtract(curve.upper, curve.lower))
            for curve in (temperature_curve(LR, u, s, *errors, correlation=c) for c in (-1.0, 0.0, 0.9, 1.0))
        ]
        assert widths == sorted(widths, reverse=True)
        assert widths[-1] < 0.85 * widths[1]
        with pytest.raises(ValueError, match="correlation must lie between -1 and 1, got 2"):
            temperature_curve(LR, u, s, correlation=2)

    @pytest.mark.parametrize("n", [3, 4, 5, 6, 7])
    def test_few_learning_rates_are_served(self, n):
        # Three points of a wider range would have the parabola through them fall at its end.
        lr = np.geomspace(0.03, 0.1, n)
        curve = temperature_curve(lr, lr, np.log(lr), np.full(n, 1e-4), np.full(n, 1e-3))
        assert np.isfinite(curve.temperature).all()
        assert (curve.lower <= curve.temperature).all()
        assert (curve.temperature <= curve.upper).all()

    def test_scaled_states(self):
        data = Scaled.of(States.of(LR, np.full(11, 2.0), np.arange(11.0)))
        assert data.u.tolist() == [0.0] * 11
        assert np.ptp(data.s) == pytest.approx(1)
        assert data.unit == pytest.approx(1 / 10)
        assert [one.tolist() for one in data.inner_states()] == [[i] for i in range(1, 10)]
