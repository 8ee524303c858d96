"""Chains judge each other: size on stationary processes, and each planted fault by its name."""

import numpy as np
import pytest

from analysis import diagnose
from analysis.stationarity.correlation import effective_size

CHAINS, DRAWS, DIM = 12, 60, 20
SCALES = np.geomspace(1.0, 0.02, DIM)
PHI = np.geomspace(0.5, 0.01, DIM)


def process(rng, chains=CHAINS, draws=DRAWS, phi=PHI):
    """Stationary AR(1) in every direction, of scales over a factor of fifty; the slowest is the widest."""
    x = np.zeros((chains, draws, DIM))
    state = rng.normal(size=(chains, DIM))
    for t in range(draws):
        state = phi * state + np.sqrt(1 - phi**2) * rng.normal(size=(chains, DIM))
        x[:, t] = state
    return SCALES * x


def losses(x, rng):
    return np.sum((x / SCALES) ** 2, axis=-1) / DIM + 0.1 * rng.normal(size=x.shape[:2])


def judged(change, seed):
    rng = np.random.default_rng(seed)
    x = process(rng)
    loss = losses(x, rng)
    return diagnose(*change(x, loss))


def test_stationary_chains_are_ok():
    found = [judged(lambda x, loss: (x, loss), seed) for seed in range(40)]
    assert [one.status for one in found].count("ok") >= 39
    # The slowest direction has a correlation time of three draws.
    n_eff = np.mean([one.n_eff for one in found])
    assert n_eff == pytest.approx(CHAINS * DRAWS / 3, rel=0.1)


def another_level(x, loss):
    """The weights say nothing, the loss does."""
    moved = loss.copy()
    moved[3] += 0.45
    return x, moved


def drifting(x, loss):
    return x + 1.5 * np.linspace(0, 1, DRAWS)[:, None] * SCALES[0] * np.eye(DIM)[0], loss


def falling(x, loss):
    return x, loss - 0.4 * np.linspace(0, 1, DRAWS)


def widening(x, loss):
    return x * np.linspace(0.7, 1.3, DRAWS)[:, None], loss


def frozen(x, loss):
    return x * (np.arange(DIM) != 4), loss


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (another_level, "not-stationary", "chain 3 is not where the others are"),
        (drifting, "not-stationary", "all chains drift"),
        (falling, "not-stationary", "all chains drift"),
        (widening, "not-stationary", "differ in spread"),
        (frozen, "unidentified", "the others are frozen"),
    ],
)
def test_faults(fault, status, reason):
    found = [judged(fault, seed) for seed in range(20)]
    caught = [one for one in found if one.status == status and reason in one.reason]
    assert len(caught) >= 19


def test_a_chain_in_another_basin_is_named():
    def elsewhere(x, loss):
        moved = x.copy()
        moved[5] += np.ones(DIM)
        return moved, loss

    found = [judged(elsewhere, seed) for seed in range(20)]
    assert {one.status for one in found} == {"not-stationary"}
    assert all("chain 5 is not where the others are" in one.reason for one in found)


def test_chains_shorter_than_what_they_are_to_show():
    rng = np.random.default_rng(0)
    x = process(rng, draws=30, phi=np.full(DIM, 0.95))
    assert diagnose(x).status in ("autocorrelated", "not-stationary")


def test_two_chains_of_one_weight():
    rng = np.random.default_rng(1)
    assert diagnose(rng.normal(size=(2, 200, 1)), rng.normal(size=(2, 200))).status == "ok"


def test_the_units_do_not_matter():
    rng = np.random.default_rng(2)
    x = process(rng)
    one, other = diagnose(x), diagnose(1e-9 * x)
    assert one.n_eff == pytest.approx(other.n_eff)
    assert one.evidence.between_p_value == pytest.approx(other.evidence.between_p_value)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_effective_size_of_an_autoregression(phi):
    rng = np.random.default_rng(3)
    sizes = [effective_size(process(rng, 8, 400, np.full(DIM, phi))[:, :, 0]) for _ in range(20)]
    assert np.mean(sizes) == pytest.approx(8 * 400 * (1 - phi) / (1 + phi), rel=0.12)
    assert effective_size(np.ones((3, 10))) == 30
